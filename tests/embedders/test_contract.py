"""The contract of every embedder that runs in the process."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmsearch_app.embedders.base import Embedder
from mmsearch_app.embedders.runtime import TorchEmbedder
from mmsearch_app.embedders.visualized_bge.embedder import VisualizedBGE
from mmsearch_app.inference.content import Content
from mmsearch_app.inference.words import WordTokenizer, load_tokenizer
from tests.embedders.kit import CLIP, FAMILIES, TOLERANCE, gap, make, picture, run_threads

LONG = "red shoe " * 9000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tokenizer")


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def embedder(family: str, folder: Path) -> TorchEmbedder:
    return make(family, folder, batch_size=2)


def mixed() -> list[Content]:
    grey, small = picture("grey").convert("RGB"), picture("rgb_small")
    return [
        Content(text="find the red shoe , but blue"),
        Content(image=grey),
        Content(image=small, text="but blue"),
        Content(text="a"),
        Content(image=picture("rgb_portrait")),
        Content(image=grey, text="phone case with this image theme"),
        Content(text=""),
        Content(image=small),
        Content(text="in green"),
        Content(image=grey, text="a"),
    ]


def test_it_fulfils_the_embedder_protocol(embedder: TorchEmbedder) -> None:
    assert isinstance(embedder, Embedder)


def test_a_mixed_batch_keeps_its_order_and_equals_single_calls(embedder: TorchEmbedder) -> None:
    contents = mixed()
    together = embedder.embed_queries(contents)
    alone = np.concatenate([embedder.embed_queries([content]) for content in contents])
    assert gap(together, alone) < TOLERANCE


def test_vectors_are_float32_of_length_1(embedder: TorchEmbedder) -> None:
    vectors = embedder.embed_queries(mixed())
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(mixed()), embedder.dimension)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_each_kind_of_content_has_a_different_vector(embedder: TorchEmbedder) -> None:
    image = picture("grey").convert("RGB")
    kinds = [Content(image=image), Content(text="shoe"), Content(image=image, text="shoe")]
    vectors = embedder.embed_queries(kinds)
    assert (vectors @ vectors.T)[np.triu_indices(3, 1)].max() < 0.9999


def test_no_contents_give_no_rows(embedder: TorchEmbedder) -> None:
    assert embedder.embed_documents([]).shape == (0, embedder.dimension)


@pytest.mark.parametrize("pictured", [False, True])
def test_long_words_are_cut_and_never_an_error(embedder: TorchEmbedder, pictured: bool) -> None:
    image = picture("rgb_small") if pictured else None
    texts = [LONG, LONG + "and something else at the end"]
    first, second = embedder.embed_queries([Content(image=image, text=text) for text in texts])
    np.testing.assert_allclose(first, second, atol=TOLERANCE)


@pytest.mark.parametrize("blank", ["", "  \n"])
def test_blank_words_with_an_image_are_ignored(embedder: TorchEmbedder, blank: str) -> None:
    image = picture("rgb_small")
    alone, blanked = embedder.embed_queries(
        [Content(image=image), Content(image=image, text=blank)]
    )
    assert gap(alone, blanked) < TOLERANCE


@pytest.mark.parametrize(
    "text", ["\ud800 shoe", "\0", "🦔" * 40, "<|endoftext|>", "[PAD][MASK]</s>", "&#0;&#xD800;"]
)
def test_unusual_words_have_a_finite_vector(embedder: TorchEmbedder, text: str) -> None:
    vectors = embedder.embed_queries([Content(text=text)])
    assert np.isfinite(vectors).all()


def test_a_url_or_a_path_is_plain_text(embedder: TorchEmbedder) -> None:
    file = CLIP / "images" / "rgb_small.png"
    with Image.open(file) as image:
        seen = embedder.embed_queries([Content(image=image.convert("RGB"))])
    for address in (str(file), file.as_uri(), "http://127.0.0.1:9/picture.png"):
        assert gap(embedder.embed_queries([Content(text=address)]), seen) > 1e-3


@pytest.mark.parametrize("size", [(1, 1), (1024, 1), (1, 1024), (2, 700)])
def test_extreme_images_are_embedded(embedder: TorchEmbedder, size: tuple[int, int]) -> None:
    image = Image.new("RGB", size, (200, 30, 30))
    assert np.isfinite(embedder.embed_documents([Content(image=image)])).all()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_gives_nearly_the_same_float32_vectors(
    family: str, embedder: TorchEmbedder, folder: Path, dtype: Any
) -> None:
    half = make(family, folder, dtype=dtype)
    vectors = half.embed_queries(mixed())
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert (vectors * embedder.embed_queries(mixed())).sum(1).min() > 0.995
    assert half.fingerprint == embedder.fingerprint
    assert precisions(half) == {dtype}


def test_titles_are_used_only_on_request(
    family: str, embedder: TorchEmbedder, folder: Path
) -> None:
    document = Content(image=picture("rgb_small"), text="red shoe")
    alone = embedder.embed_documents([Content(image=document.image)])
    assert gap(embedder.embed_documents([document]), alone) == 0
    both = make(family, folder, documents="both")
    assert gap(both.embed_documents([document]), embedder.embed_queries([document])) < TOLERANCE
    assert gap(both.embed_documents([document]), alone) > 1e-3
    assert both.fingerprint != embedder.fingerprint


def test_a_document_without_an_image_is_its_words(embedder: TorchEmbedder) -> None:
    title = [Content(text="red shoe")]
    assert gap(embedder.embed_documents(title), embedder.embed_queries(title)) == 0


def test_the_fingerprint_contains_the_dimension_and_fits_the_ledger(
    embedder: TorchEmbedder,
) -> None:
    assert embedder.fingerprint.endswith(f"/{embedder.dimension}")
    assert len(embedder.fingerprint) < 255


def test_eight_threads_get_the_vectors_of_one(embedder: TorchEmbedder) -> None:
    contents = mixed()
    expected = embedder.embed_queries(contents)
    found: list[Any] = [None] * 8

    def ask(place: int) -> None:
        found[place] = embedder.embed_queries(contents[place:] + contents[:place])

    run_threads(ask, range(8))
    for place, vectors in enumerate(found):
        assert gap(np.roll(vectors, place, axis=0), expected) < TOLERANCE


def test_threads_do_not_truncate_each_others_words() -> None:
    import torch

    words = WordTokenizer(load_tokenizer(CLIP))
    found: dict[int, set[int]] = {}

    def cut(limit: int) -> None:
        rows = (
            words(["red shoe " * 50], limit=limit, device=torch.device("cpu")) for _ in range(99)
        )
        found[limit] = {ids.shape[1] for ids, _ in rows}

    run_threads(cut, range(4, 12))
    assert found == {limit: {limit} for limit in range(4, 12)}


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"model": "huge"}, "model must be one of base, "),
        ({"dtype": "int8"}, "dtype must be one of float32, bfloat16, float16, not 'int8'"),
        ({"documents": "title"}, "documents must be one of picture, both"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
    ],
)
def test_wrong_options_are_refused_at_once(
    family: str, folder: Path, options: dict[str, Any], complaint: str
) -> None:
    if family == "visualized-m3" and "model" in options:
        options = {"model": "huge"}
    with pytest.raises(ValueError, match=complaint):
        build(family, folder, **options)


def precisions(embedder: TorchEmbedder) -> set[str]:
    """The dtypes of the loaded weights."""
    network: Any = embedder._network
    module = getattr(network, "network", None) or network.model
    return {str(weight.dtype).removeprefix("torch.") for weight in module.parameters()}


def build(family: str, folder: Path, **options: Any) -> TorchEmbedder:
    if family.startswith("visualized"):
        return VisualizedBGE(**options)
    return make(family, folder, **options)
