"""Visualized BGE compared with the results of its upstream code, and with released layouts."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mmsearch_app.embedders.visualized_bge.architecture import BGE_ARCHITECTURES
from mmsearch_app.embedders.visualized_bge.embedder import VisualizedBGE
from mmsearch_app.inference.content import Content
from mmsearch_app.inference.weights import InvalidWeights, MissingWeights
from tests.embedders.kit import (
    PICTURES,
    TOLERANCE,
    VISUALIZED,
    describe,
    gap,
    picture,
    read,
    tiny_architecture,
    visualized,
)

torch = pytest.importorskip("torch")
CPU = torch.device("cpu")
Arrays = Mapping[str, NDArray[Any]]


@pytest.fixture(scope="module", params=["base", "m3"])
def model(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def embedder(model: str) -> VisualizedBGE:
    return visualized(model)


@pytest.fixture(scope="module")
def encoder(embedder: VisualizedBGE) -> Any:
    return embedder._loaded(download=False)


@pytest.fixture(scope="module")
def numbers(model: str) -> Arrays:
    return read(VISUALIZED / f"tiny-{model}")


@pytest.fixture(scope="module")
def texts(model: str) -> list[str]:
    found: list[str] = describe(VISUALIZED / f"tiny-{model}")["texts"]
    return found


@pytest.mark.parametrize("name", PICTURES)
def test_pixels_are_exactly_those_of_upstream(encoder: Any, numbers: Arrays, name: str) -> None:
    from mmsearch_app.inference.pixels import normalise_pixels

    pixels = normalise_pixels([encoder.prepare(picture(name))], device=CPU, dtype=torch.float32)
    np.testing.assert_array_equal(pixels.numpy(), numbers[f"pixels/{name}"])


@pytest.mark.parametrize("name", PICTURES)
def test_the_tower_gives_upstreams_patch_tokens(encoder: Any, numbers: Arrays, name: str) -> None:
    with torch.inference_mode():
        tokens = encoder.network.vision(torch.from_numpy(numbers[f"pixels/{name}"]))
    assert gap(tokens, numbers[f"tokens/{name}"][:, 1:]) < TOLERANCE


def test_token_ids_are_those_of_upstream(encoder: Any, numbers: Arrays, texts: list[str]) -> None:
    for place, text in enumerate(texts):
        ids, _ = encoder.words([text], limit=100, device=CPU)
        np.testing.assert_array_equal(ids.numpy(), numbers[f"ids/{place}"])


@pytest.mark.parametrize("name", PICTURES)
def test_an_image_alone_is_embedded_as_upstream_does(
    embedder: VisualizedBGE, numbers: Arrays, name: str
) -> None:
    vector = embedder.embed_documents([Content(image=picture(name))])
    assert gap(vector, numbers[f"emb_image/{name}"]) < TOLERANCE


def test_words_alone_are_embedded_as_upstream_does(
    embedder: VisualizedBGE, numbers: Arrays, texts: list[str]
) -> None:
    for place, text in enumerate(texts):
        vector = embedder.embed_queries([Content(text=text)])
        assert gap(vector, numbers[f"emb_text/{place}"]) < TOLERANCE


@pytest.mark.parametrize("name", ["rgb_landscape", "rgb_portrait"])
def test_an_image_with_words_is_composed_as_upstream_does(
    embedder: VisualizedBGE, numbers: Arrays, texts: list[str], name: str
) -> None:
    for place, text in enumerate(texts):
        vector = embedder.embed_queries([Content(image=picture(name), text=text)])
        assert gap(vector, numbers[f"emb_mm/{name}/{place}"]) < TOLERANCE


def test_a_padded_batch_of_words_is_embedded_as_upstream_does(
    embedder: VisualizedBGE, numbers: Arrays, texts: list[str]
) -> None:
    vectors = embedder.embed_queries([Content(text=text) for text in texts])
    assert gap(vectors, numbers["batch/emb_text"]) < TOLERANCE


def test_rotary_tables_are_those_of_the_file(embedder: VisualizedBGE, model: str) -> None:
    from mmsearch_app.inference.weights import read_checkpoint

    state = read_checkpoint(VISUALIZED / f"tiny-{model}" / "weights.pth")
    embedder.warm_up()
    tables = embedder._loaded(download=False).network.vision.rope  # type: ignore[attr-defined]
    for wave in ("cos", "sin"):
        expected = state[f"model_visual.visual.blocks.1.attn.rope.freqs_{wave}"].numpy()
        assert gap(getattr(tables, f"freqs_{wave}"), expected) == 0


def test_every_key_and_shape_of_the_released_file_is_known(model: str) -> None:
    from mmsearch_app.embedders.visualized_bge.network import released_bge_layout

    file = VISUALIZED / f"{model}_state_dict_layout.json"
    layout = json.loads(file.read_text(encoding="utf-8"))["layout"]
    released = {key: tuple(shape) for key, (shape, _) in layout.items()}
    assert len(released) == {"base": 488, "m3": 956}[model]
    assert released_bge_layout(BGE_ARCHITECTURES[model]) == released


@pytest.mark.parametrize(("model", "alone", "beside"), [("base", 512, 316), ("m3", 8192, 7938)])
def test_words_are_truncated_at_the_last_position(model: str, alone: int, beside: int) -> None:
    assert BGE_ARCHITECTURES[model].text_limit == alone
    assert BGE_ARCHITECTURES[model].composed_limit == beside


def test_words_up_to_the_last_position_count(embedder: VisualizedBGE) -> None:
    room = embedder.architecture.composed_limit - 2
    fits, cut = ["a"] * room, ["a"] * (room + 1)
    last = ["a"] * (room - 1) + ["red"]
    image = picture("grey")
    contents = [Content(image=image, text=" ".join(words)) for words in (fits, cut, last)]
    whole, shortened, changed = embedder.embed_queries(contents)
    np.testing.assert_allclose(whole, shortened, atol=TOLERANCE)
    assert np.abs(whole - changed).max() > 1e-4


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda state: state.pop("visual_proj.bias"), "visual_proj.bias is missing"),
        (lambda state: state.update(extra=torch.zeros(1)), "extra is unknown"),
        (
            lambda state: state.update({"visual_proj.bias": torch.zeros(31)}),
            r"visual_proj.bias has shape \[31\] instead of \[32\]",
        ),
    ],
)
def test_a_file_of_another_layout_is_refused(tmp_path: Path, change: Any, complaint: str) -> None:
    state = torch.load(VISUALIZED / "tiny-base" / "weights.pth", weights_only=True)
    change(state)
    torch.save(state, tmp_path / "weights.pth")
    embedder = visualized("base", path=tmp_path / "weights.pth")
    with pytest.raises(InvalidWeights, match=complaint):
        embedder.warm_up()


def test_the_other_model_is_refused() -> None:
    with pytest.raises(InvalidWeights, match="are not this model's weights"):
        visualized("m3", path=VISUALIZED / "tiny-base" / "weights.pth").warm_up()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_files_of_half_precision_are_computed_with_as_upstream_does(
    tmp_path: Path, model: str, dtype: str
) -> None:
    """Upstream copies all tensors, tables too, into a network of float32."""
    state = torch.load(VISUALIZED / f"tiny-{model}" / "weights.pth", weights_only=True)
    half = {key: tensor.to(getattr(torch, dtype)) for key, tensor in state.items()}
    torch.save(half, tmp_path / "half.pth")
    torch.save({key: tensor.float() for key, tensor in half.items()}, tmp_path / "single.pth")
    contents = [Content(image=picture("grey"), text="red shoe"), Content(image=picture("rgba"))]

    found = visualized(model, path=tmp_path / "half.pth").embed_queries(contents)

    assert gap(found, visualized(model, path=tmp_path / "single.pth").embed_queries(contents)) == 0
    assert gap(found, visualized(model).embed_queries(contents)) < 5e-2
    exact = {key: state[key] if "rope" in key else half[key].float() for key in half}
    torch.save(exact, tmp_path / "exact.pth")
    recomputed = visualized(model, path=tmp_path / "exact.pth").embed_queries(contents)
    assert gap(found, recomputed) > 1e-7  # the rounded tables make the difference


def test_a_folder_with_the_released_names_needs_no_other_option(tmp_path: Path) -> None:
    tiny = VISUALIZED / "tiny-base"
    shutil.copytree(tiny / "text_config", tmp_path, dirs_exist_ok=True)
    shutil.copy(tiny / "weights.pth", tmp_path / "Visualized_base_en_v1.5.pth")
    embedder = VisualizedBGE(path=tmp_path, architecture=tiny_architecture("base"))
    contents = [Content(text="red shoe")]
    assert gap(embedder.embed_queries(contents), visualized("base").embed_queries(contents)) == 0


def test_a_folder_without_the_file_is_refused_with_the_expected_names(tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match=r"folder with Visualized_base_en_v1\.5\.pth"):
        VisualizedBGE(path=tmp_path, tokenizer=tmp_path).warm_up()
