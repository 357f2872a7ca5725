"""MagicLens compared with the results of its upstream code, and with the released layout."""

import json
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mmsearch_app.embedders.magiclens.architecture import MAGICLENS_ARCHITECTURES
from mmsearch_app.embedders.magiclens.embedder import MagicLens
from mmsearch_app.inference.content import Content
from mmsearch_app.inference.weights import InvalidWeights, shapes_of
from tests.embedders.kit import LENS, TINY_LENS, TOLERANCE, gap, magic_lens, picture, read

torch = pytest.importorskip("torch")
msgpack = pytest.importorskip("msgpack", reason="MagicLens needs msgpack: mmsearch[models]")
CPU = torch.device("cpu")
Arrays = Mapping[str, NDArray[Any]]


@pytest.fixture(scope="module")
def network() -> Any:
    from mmsearch_app.embedders.magiclens.checkpoint import read_parameters
    from mmsearch_app.embedders.magiclens.network import load_magiclens

    file = LENS / "tiny" / "magic_lens.pkl"
    return load_magiclens(TINY_LENS, read_parameters(file), origin=file)


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> MagicLens:
    return magic_lens(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def numbers() -> Arrays:
    return read(LENS / "tiny")


def test_pictures_are_resized_as_jax_does(numbers: Arrays) -> None:
    from mmsearch_app.inference.pixels import normalise_pixels, stretch

    # The fixture's images are 53 × 41, and upstream crops them to the largest square first.
    squares = [stretch(image[:, 6:47], 32) for image in numbers["image"]]
    pixels = normalise_pixels(squares, device=CPU, dtype=torch.float32)
    assert gap(pixels.permute(0, 2, 3, 1), numbers["preprocessed"]) < TOLERANCE


def test_vectors_are_those_of_upstream(network: Any, numbers: Arrays) -> None:
    pixels = torch.from_numpy(numbers["preprocessed"]).permute(0, 3, 1, 2)
    with torch.inference_mode():
        fused = network(pixels, torch.from_numpy(numbers["ids"]).long())
    vectors = torch.nn.functional.normalize(fused, dim=-1)
    assert gap(vectors, numbers["embedding"]) < TOLERANCE


def test_the_embedder_gives_upstreams_vectors_for_images_and_ids(
    embedder: MagicLens, numbers: Arrays
) -> None:
    from mmsearch_app.inference.pixels import stretch

    encoder: Any = embedder._loaded(download=False)
    letters = encoder.words._tokenizer
    squares = [stretch(image[:, 6:47], 32) for image in numbers["image"]]
    texts = [
        "".join(letters.convert_ids_to_tokens([i for i in row[1:] if 0 < i < 62]))
        for row in numbers["ids"].tolist()
    ]
    assert texts[0] == ""
    with torch.inference_mode():
        vectors = encoder.embed(squares, texts)
    assert gap(vectors, numbers["embedding"]) < TOLERANCE


def test_all_released_keys_and_shapes_match_the_network() -> None:
    from mmsearch_app.embedders.magiclens.checkpoint import name_parameter, reorient
    from mmsearch_app.embedders.magiclens.network import MagicLensNetwork

    released = json.loads((LENS / "base_flax_keys.json").read_text(encoding="utf-8"))
    turned = {
        name_parameter(key): reorient(key, torch.empty(shape, device="meta"))
        for key, shape in released.items()
    }
    with torch.device("meta"):
        expected = MagicLensNetwork(MAGICLENS_ARCHITECTURES["base"]).state_dict()
    assert len(turned) == len(released) == 474
    assert shapes_of(turned) == shapes_of(expected)


def test_the_large_model_has_the_keys_of_the_base_one() -> None:
    from mmsearch_app.embedders.magiclens.network import MagicLensNetwork

    def collapse(model: str) -> set[str]:
        with torch.device("meta"):
            state = MagicLensNetwork(MAGICLENS_ARCHITECTURES[model]).state_dict()
        return {re.sub(r"\.\d+\.", ".#.", key) for key in state}

    assert collapse("large") == collapse("base")


def test_id_0_is_masked_even_between_words(network: Any) -> None:
    from copy import deepcopy

    ids = torch.tensor([[62, 5, 0, 7, 63]])
    pixels = torch.zeros(1, 3, 32, 32)
    other = deepcopy(network)
    other.clip.text_model.embeddings.token_embedding.weight[0] += 1
    with torch.inference_mode():
        assert gap(other(pixels, ids), network(pixels, ids).numpy()) == 0
        seen = torch.tensor([[62, 5, 1, 7, 63]])
        assert gap(network(pixels, seen), network(pixels, ids).numpy()) > 1e-4


def test_an_image_is_divided_by_its_own_maximum(embedder: MagicLens) -> None:
    noise = np.random.default_rng(2).integers(0, 120, (40, 60, 3), dtype=np.uint8)
    noise[0, 0, 0] = 120
    dark, bright = (Content(image=Image.fromarray(noise * factor)) for factor in (1, 2))
    vectors = embedder.embed_documents([dark, bright])
    assert gap(vectors[:1], vectors[1:]) < TOLERANCE


def test_a_black_image_has_a_finite_vector(embedder: MagicLens) -> None:
    vector = embedder.embed_documents([Content(image=Image.new("RGB", (9, 9)))])
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


def test_html_entities_are_read_as_upstream_reads_them(embedder: MagicLens) -> None:
    image = picture("grey")
    plain, escaped, twice = embedder.embed_queries(
        [Content(image=image, text=text) for text in ("a é", "a &eacute;", "a &amp;eacute;")]
    )
    np.testing.assert_allclose(escaped, plain, atol=TOLERANCE)
    np.testing.assert_allclose(twice, plain, atol=TOLERANCE)


class Bomb:
    """Pickles as a call that would write a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return Path.touch, (self.trace,)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    file = tmp_path / "weights.pkl"
    file.write_bytes(pickle.dumps(Bomb(tmp_path / "trace")))
    with pytest.raises(InvalidWeights, match="weights need no code"):
        magic_lens(tmp_path, path=file).warm_up()
    assert not (tmp_path / "trace").exists()


def _array(dtype: str) -> Any:
    return msgpack.ExtType(1, msgpack.packb(((1,), dtype, b"\0" * 8)))


@pytest.mark.parametrize(
    ("held", "complaint"),
    [
        ({"params": 1}, "a bytes-like object is required|not .*dict"),
        (msgpack.packb({"params": msgpack.ExtType(3, b"x")}), "extension type 3"),
        (msgpack.packb({"params": _array("object")}), "an array of 'object'"),
        (msgpack.packb({"params": {"clip": 1}}), "more than arrays"),
        (msgpack.packb({"params": 1})[:-1], "incomplete"),
        (msgpack.packb({"params": msgpack.ExtType(1, b"\xc1")}), "no released MagicLens"),
    ],
    ids=["no-bytes", "other-extension", "other-dtype", "other-leaf", "cut-msgpack", "broken"],
)
def test_a_file_that_is_not_a_released_checkpoint_is_refused(
    tmp_path: Path, held: Any, complaint: str
) -> None:
    file = tmp_path / "weights.pkl"
    file.write_bytes(pickle.dumps(held))
    with pytest.raises(InvalidWeights, match=complaint):
        magic_lens(tmp_path, path=file).warm_up()


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    whole = (LENS / "tiny" / "magic_lens.pkl").read_bytes()
    (tmp_path / "weights.pkl").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidWeights, match="no released MagicLens"):
        magic_lens(tmp_path, path=tmp_path / "weights.pkl").warm_up()


def test_a_file_of_the_other_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidWeights, match="are not this model's weights"):
        magic_lens(tmp_path, architecture=MAGICLENS_ARCHITECTURES["base"]).warm_up()
