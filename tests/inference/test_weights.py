"""Where weights are found, and which files are refused."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from mmsearch_app.embedders.bge_vl import BGEVL
from mmsearch_app.embedders.visualized_bge.embedder import VisualizedBGE
from mmsearch_app.inference.content import Content
from mmsearch_app.inference.weights import (
    InvalidWeights,
    MissingWeights,
    digest_files,
    read_checkpoint,
)
from mmsearch_app.inference.words import load_tokenizer
from tests.embedders.kit import CLIP, VISUALIZED, gap, tiny_architecture, visualized

torch = pytest.importorskip("torch")
COMMIT = "98db10b10d22620010d06f11733346e1c98c34aa"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache, in its real layout."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def snapshot(cache: Path, repository: str, revision: str) -> Path:
    folder = cache / f"models--{repository.replace('/', '--')}" / "snapshots" / revision
    folder.mkdir(parents=True)
    return folder


def test_a_pinned_revision_in_the_hubs_cache_is_used(cache: Path) -> None:
    tiny = VISUALIZED / "tiny-base"
    weights = snapshot(cache, "BAAI/bge-visualized", COMMIT)
    shutil.copy(tiny / "weights.pth", weights / "Visualized_base_en_v1.5.pth")
    words = snapshot(cache, "BAAI/bge-base-en-v1.5", "a5beb1e3e68b9ab74eb54cfd186867f64f240e1a")
    load_tokenizer(tiny / "text_config").save_pretrained(words)
    embedder = VisualizedBGE(architecture=tiny_architecture("base"))
    contents = [Content(text="red shoe")]
    assert gap(embedder.embed_queries(contents), visualized("base").embed_queries(contents)) == 0


def test_another_revision_in_the_cache_is_not_used(cache: Path) -> None:
    weights = snapshot(cache, "BAAI/bge-visualized", COMMIT)
    shutil.copy(VISUALIZED / "tiny-base" / "weights.pth", weights / "Visualized_base_en_v1.5.pth")
    embedder = VisualizedBGE(revision="0" * 40, tokenizer=VISUALIZED / "tiny-base" / "text_config")
    with pytest.raises(MissingWeights, match="at revision 0000"):
        embedder.embed_queries([Content(text="a")])


@pytest.mark.parametrize("call", ["embed_queries", "embed_documents"])
def test_missing_weights_say_how_to_get_them(cache: Path, call: str) -> None:
    with pytest.raises(MissingWeights, match=r"BAAI/BGE-VL-base .* mmsearch_check"):
        getattr(BGEVL(), call)([Content(text="a")])


def test_an_incomplete_download_is_not_used(cache: Path) -> None:
    folder = snapshot(cache, "BAAI/BGE-VL-base", "1" * 40)
    shutil.copy(CLIP / "config.json", folder)
    with pytest.raises(MissingWeights, match=r"model\.safetensors"):
        BGEVL(revision="1" * 40).warm_up()


def test_revision_and_model_are_in_the_fingerprint() -> None:
    prints = {
        BGEVL().fingerprint,
        BGEVL(model="large").fingerprint,
        BGEVL(revision="1" * 40).fingerprint,
        VisualizedBGE().fingerprint,
        VisualizedBGE(model="m3").fingerprint,
        VisualizedBGE(revision="1" * 40).fingerprint,
    }
    assert len(prints) == 6


def test_the_fingerprint_of_local_weights_depends_on_their_content_not_on_their_path(
    tmp_path: Path,
) -> None:
    shutil.copytree(CLIP, tmp_path / "copy")
    assert BGEVL(path=tmp_path / "copy").fingerprint == BGEVL(path=CLIP).fingerprint


def test_other_local_weights_have_another_fingerprint(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(CLIP, tmp_path, dirs_exist_ok=True)
    trained = {key: value + 1e-3 for key, value in load_file(CLIP / "model.safetensors").items()}
    save_file(trained, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert BGEVL(path=tmp_path).fingerprint != BGEVL(path=CLIP).fingerprint


def test_another_tokenizer_has_another_fingerprint(tmp_path: Path) -> None:
    shutil.copytree(CLIP, tmp_path, dirs_exist_ok=True)
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    assert BGEVL(path=tmp_path).fingerprint != BGEVL(path=CLIP).fingerprint


def test_a_digest_covers_the_first_and_last_bytes_and_the_size_of_a_large_file(
    tmp_path: Path,
) -> None:
    content = bytearray(1 << 20)
    digests = set()
    for place in (None, 0, len(content) - 1):
        changed = bytearray(content)
        if place is not None:
            changed[place] = 1
        (tmp_path / "file").write_bytes(changed)
        digests.add(digest_files([tmp_path / "file"]))
    (tmp_path / "file").write_bytes(content + b"\0")
    digests.add(digest_files([tmp_path / "file"]))
    assert len(digests) == 4


class Bomb:
    """Pickles as a call that would write a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return Path.touch, (self.trace,)


def test_a_checkpoint_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"weight": Bomb(tmp_path / "trace")}, tmp_path / "weights.pth")
    with pytest.raises(InvalidWeights, match="no file of weights"):
        read_checkpoint(tmp_path / "weights.pth")
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"<html>404</html>"])
def test_a_file_that_is_not_a_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "weights.pth").write_bytes(content)
    with pytest.raises(InvalidWeights, match="no file of weights"):
        read_checkpoint(tmp_path / "weights.pth")


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    torch.save([torch.zeros(1)], tmp_path / "weights.pth")
    with pytest.raises(InvalidWeights, match="holds list, not tensors by key"):
        read_checkpoint(tmp_path / "weights.pth")


def test_a_folder_without_a_tokenizer_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match=r"tokenizer\.json"):
        load_tokenizer(tmp_path)
