"""Models of OpenCLIP, which needs torchvision: many tests run only if it is installed."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmsearch_app.embedders.base import Embedder
from mmsearch_app.embedders.open_clip import OpenCLIPEmbedder
from mmsearch_app.inference.content import Content
from mmsearch_app.inference.weights import MissingWeights
from tests import fresh
from tests.embedders.checkpoints import train_tokenizer
from tests.pictures import PICTURE

with_library = pytest.mark.open_clip
MIXED = [
    Content(text="red shoe"),
    Content(image=PICTURE),
    Content(image=PICTURE.rotate(180), text="in blue"),
    Content(text="a large blue bag " * 20),
    Content(image=PICTURE.rotate(90), text=" "),
]
VISION = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8}
WORDS = {"context_length": 16, "width": 32, "heads": 2, "layers": 2}


def write(folder: Path, *, own_tokenizer: bool) -> Path:
    """Write a tiny random model in the hub's layout, with CLIP's tokenizer or its own."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder.mkdir()
    text: dict[str, Any] = WORDS | {"vocab_size": 49408}
    if own_tokenizer:
        tokenizer = train_tokenizer("<s>", "</s>", limit=16)
        tokenizer.save_pretrained(folder)
        text |= {"vocab_size": len(tokenizer), "hf_tokenizer_name": "somebody/somewhere"}
        text |= {"pool_type": "last", "no_causal_mask": True}
    config = {"embed_dim": 16, "vision_cfg": VISION, "text_cfg": text}
    config |= {"custom_text": True} if own_tokenizer else {}
    transform = {"mean": [0.5] * 3, "std": [0.5] * 3, "resize_mode": "squash"}
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": transform if own_tokenizer else {}})
    )
    torch.manual_seed(6)
    model = open_clip.create_model(f"local-dir:{folder}")
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture(scope="module", params=["clip's tokenizer", "its own tokenizer"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("open-clip") / "model"
    return write(path, own_tokenizer=request.param == "its own tokenizer")


@pytest.fixture(scope="module")
def embedder(folder: Path) -> OpenCLIPEmbedder:
    return OpenCLIPEmbedder(path=folder, dimension=16, batch_size=2)


def one(embedder: OpenCLIPEmbedder, **content: Any) -> Any:
    return embedder.embed_queries([Content(**content)])[0]


@with_library
def test_rows_are_unit_float32_and_differ(embedder: OpenCLIPEmbedder) -> None:
    assert isinstance(embedder, Embedder)
    embedder.warm_up()
    vectors = embedder.embed_queries(MIXED)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert (vectors @ vectors.T - np.eye(len(MIXED))).max() < 0.9999


@with_library
def test_a_mixed_batch_gives_each_row_what_it_gets_alone(embedder: OpenCLIPEmbedder) -> None:
    alone = np.concatenate([embedder.embed_queries([content]) for content in MIXED])
    np.testing.assert_allclose(embedder.embed_queries(MIXED), alone, atol=1e-5)


@with_library
def test_vectors_are_those_of_the_library(folder: Path, embedder: OpenCLIPEmbedder) -> None:
    import open_clip
    import torch

    model, transform = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    model.eval()
    words = open_clip.get_tokenizer(f"local-dir:{folder}")
    with torch.no_grad():
        seen = model.encode_image(transform(PICTURE).unsqueeze(0), normalize=True)[0].numpy()
        said = model.encode_text(words(["red shoe"]), normalize=True)[0].numpy()
    np.testing.assert_allclose(one(embedder, image=PICTURE), seen, atol=1e-6)
    np.testing.assert_allclose(one(embedder, text="red shoe"), said, atol=1e-6)


@with_library
def test_an_image_with_words_is_the_weighted_sum(folder: Path) -> None:
    weighted = OpenCLIPEmbedder(path=folder, dimension=16, image_weight=0.3)
    expected = 0.3 * one(weighted, image=PICTURE) + 0.7 * one(weighted, text="in blue")
    expected /= np.linalg.norm(expected)
    np.testing.assert_allclose(one(weighted, image=PICTURE, text="in blue"), expected, atol=1e-6)


@with_library
def test_half_precision_is_close_and_still_float32(
    folder: Path, embedder: OpenCLIPEmbedder
) -> None:
    half = OpenCLIPEmbedder(path=folder, dimension=16, dtype="bfloat16")
    rough = half.embed_queries(MIXED)
    towers: Any = half._network
    assert {str(weight.dtype) for weight in towers._model.parameters()} == {"torch.bfloat16"}
    assert rough.dtype == np.float32
    assert (rough * embedder.embed_queries(MIXED)).sum(1).min() > 0.99


@with_library
def test_several_threads_get_the_same_vectors(folder: Path, embedder: OpenCLIPEmbedder) -> None:
    fresh = OpenCLIPEmbedder(path=folder, dimension=16)
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(fresh.embed_queries, [MIXED] * 6))
    for result in results:
        np.testing.assert_allclose(result, embedder.embed_queries(MIXED), atol=1e-5)


@with_library
def test_a_wrong_dimension_is_an_error_that_names_the_right_one(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"have 16 dimensions: set dimension=16\."):
        OpenCLIPEmbedder(path=folder, dimension=512).warm_up()


@with_library
def test_missing_weights_are_not_replaced_by_random_ones(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    (copy / "open_clip_model.safetensors").unlink()
    with pytest.raises(RuntimeError, match="could not be loaded"):
        OpenCLIPEmbedder(path=copy, dimension=16).warm_up()


@with_library
def test_unusual_texts_and_images_are_embedded(embedder: OpenCLIPEmbedder) -> None:
    line = Image.linear_gradient("L").resize((1, 4000)).convert("RGB")
    vectors = embedder.embed_queries(
        [Content(text="red \ud83d shoe"), Content(text=""), Content(image=line)]
    )
    assert np.isfinite(vectors).all()


def write_empty_model(folder: Path, text: str = "{}") -> Path:
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(text)
    return folder


def test_a_fingerprint_depends_on_model_and_options(tmp_path: Path) -> None:
    first, second = write_empty_model(tmp_path / "a"), write_empty_model(tmp_path / "b", "{ }")
    copy = write_empty_model(tmp_path / "c")
    options: list[dict[str, Any]] = [
        {"path": first},
        {"path": second},
        {"path": first, "image_weight": 0.4},
        {"path": first, "documents": "both"},
        {"model": "owner/name"},
        {"model": "owner/name", "revision": "v2"},
    ]
    found = [OpenCLIPEmbedder(dimension=16, **o).fingerprint for o in options]
    assert len(set(found)) == len(options)
    assert OpenCLIPEmbedder(dimension=16, path=copy).fingerprint == found[0]


def test_a_folder_without_a_configuration_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match=r"open_clip_config\.json"):
        assert OpenCLIPEmbedder(path=tmp_path, dimension=16).fingerprint


@pytest.mark.parametrize("options", [{}, {"model": "owner/name", "path": "folder"}])
def test_path_and_model_exclude_each_other(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="one of the two"):
        OpenCLIPEmbedder(dimension=8, **options)


def test_an_image_weight_above_one_is_refused() -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        OpenCLIPEmbedder(model="owner/name", dimension=8, image_weight=1.1)


def test_constructing_imports_and_opens_nothing() -> None:
    code = (
        "from mmsearch_app.embedders.open_clip import OpenCLIPEmbedder\n"
        "assert OpenCLIPEmbedder(model='owner/name', dimension=8).fingerprint"
    )
    assert not fresh.imports(code, "torch", "torchvision", "open_clip")


def test_without_its_library_it_says_what_to_install(tmp_path: Path) -> None:
    folder = write_empty_model(tmp_path / "model")
    code = (
        "from mmsearch_app.embedders.open_clip import OpenCLIPEmbedder\n"
        f"OpenCLIPEmbedder(path={str(folder)!r}, dimension=8).warm_up()"
    )
    assert "'mmsearch[open-clip]'" in fresh.error_without("open_clip", code)
