"""BGE-VL compared with the results of its upstream code."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mmsearch_app.embedders.bge_vl import BGEVL
from mmsearch_app.inference.content import Content
from mmsearch_app.inference.weights import InvalidWeights, MissingWeights
from tests.embedders.kit import CLIP, PICTURES, TOLERANCE, describe, gap, picture, read

torch = pytest.importorskip("torch")
CPU = torch.device("cpu")
TEXTS: list[str] = describe(CLIP)["texts"]
LONG: str = describe(CLIP)["long_text"]
Arrays = Mapping[str, NDArray[Any]]


@pytest.fixture(scope="module")
def embedder() -> BGEVL:
    return BGEVL(path=CLIP)


@pytest.fixture(scope="module")
def clip(embedder: BGEVL) -> Any:
    return embedder._loaded(download=False)


@pytest.fixture(scope="module")
def numbers() -> Arrays:
    return read(CLIP)


@pytest.mark.parametrize("name", PICTURES)
def test_pixels_are_exactly_those_of_upstream(clip: Any, numbers: Arrays, name: str) -> None:
    from mmsearch_app.inference.pixels import normalise_pixels

    prepared = clip.prepare(picture(name, family="bge_vl"))
    pixels = normalise_pixels([prepared], device=CPU, dtype=torch.float32)
    np.testing.assert_array_equal(pixels.numpy(), numbers[f"pixels/{name}"])


@pytest.mark.parametrize("name", PICTURES)
def test_an_image_alone_is_embedded_as_upstream_does(
    embedder: BGEVL, numbers: Arrays, name: str
) -> None:
    vector = embedder.embed_documents([Content(image=picture(name, family="bge_vl"))])
    assert gap(vector, numbers[f"emb_image/{name}"]) < TOLERANCE


@pytest.mark.parametrize("place", range(len(TEXTS)))
def test_words_alone_are_embedded_as_upstream_does(
    embedder: BGEVL, clip: Any, numbers: Arrays, place: int
) -> None:
    ids, _ = clip.words([TEXTS[place]], limit=77, device=CPU)
    np.testing.assert_array_equal(ids.numpy(), numbers[f"ids/{place}"])
    vector = embedder.embed_queries([Content(text=TEXTS[place])])
    assert gap(vector, numbers[f"emb_text/{place}"]) < TOLERANCE


@pytest.mark.parametrize("name", ["rgb_landscape", "rgb_portrait"])
@pytest.mark.parametrize("place", [place for place, text in enumerate(TEXTS) if text])
def test_an_image_with_words_is_composed_as_upstream_does(
    embedder: BGEVL, numbers: Arrays, name: str, place: int
) -> None:
    content = Content(image=picture(name, family="bge_vl"), text=TEXTS[place])
    vector = embedder.embed_queries([content])
    assert gap(vector, numbers[f"emb_mm/{name}/{place}"]) < TOLERANCE


def test_batches_are_embedded_as_upstream_does(embedder: BGEVL, numbers: Arrays) -> None:
    pictures = [Content(image=picture(name, family="bge_vl")) for name in describe(CLIP)["images"]]
    words = [Content(text=text) for text in TEXTS]
    assert gap(embedder.embed_queries(pictures), numbers["batch/emb_image"]) < TOLERANCE
    assert gap(embedder.embed_queries(words), numbers["batch/emb_text"]) < TOLERANCE


def test_long_words_are_cut_at_77_tokens_alone(embedder: BGEVL, numbers: Arrays) -> None:
    vector = embedder.embed_queries([Content(text=LONG)])
    assert gap(vector, numbers["long77/emb_text"]) < TOLERANCE


def test_long_words_are_cut_at_75_tokens_beside_an_image(
    embedder: BGEVL, clip: Any, numbers: Arrays
) -> None:
    image = picture("grey", family="bge_vl")
    ids = torch.from_numpy(numbers["long75/ids"])
    with torch.inference_mode():
        read_features = clip.model.get_text_features(input_ids=ids)
    features = getattr(read_features, "pooler_output", read_features).numpy()
    summed = features + numbers["image_features/grey"]
    vector = embedder.embed_queries([Content(image=image, text=LONG)])
    assert gap(vector, summed / np.linalg.norm(summed)) < TOLERANCE


@pytest.mark.parametrize("size", [(200, 120), (121, 200), (64, 64), (65, 64), (33, 500), (7, 5)])
def test_pixels_are_those_of_transformers_own_processor(size: tuple[int, int]) -> None:
    from mmsearch_app.inference.pixels import crop_square, floor_half, normalise_pixels

    processors = pytest.importorskip("transformers.models.clip.image_processing_pil_clip")
    noise = np.random.default_rng(1).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    options = {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}}
    processor = processors.CLIPImageProcessorPil(**options)
    ours = normalise_pixels(
        [crop_square(image, 64, begin=floor_half)], device=CPU, dtype=torch.float32
    )
    theirs = processor(image, return_tensors="np")["pixel_values"]
    np.testing.assert_array_equal(ours.numpy(), theirs)


@pytest.mark.parametrize(
    ("vision", "text", "dimension", "parameters"),
    [
        ((768, 12, 12, 16), (512, 8), 512, 149_620_737),
        ((1024, 24, 16, 14), (768, 12), 768, 427_616_513),
    ],
    ids=["base", "large"],
)
def test_the_full_models_have_the_keys_of_the_small_one(
    vision: tuple[int, int, int, int], text: tuple[int, int], dimension: int, parameters: int
) -> None:
    from safetensors import safe_open
    from transformers import CLIPConfig, CLIPModel

    width, layers, heads, patch = vision
    config = CLIPConfig(
        vision_config={
            "hidden_size": width,
            "intermediate_size": 4 * width,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "patch_size": patch,
        },
        text_config={
            "hidden_size": text[0],
            "intermediate_size": 4 * text[0],
            "num_attention_heads": text[1],
        },
        projection_dim=dimension,
    )
    with torch.device("meta"):
        state = CLIPModel(config).state_dict()
    with safe_open(CLIP / "model.safetensors", "pt") as file:
        small = {re.sub(r"\.\d+\.", ".#.", key) for key in file.keys()}  # noqa: SIM118
    assert sum(tensor.numel() for tensor in state.values()) == parameters
    assert {re.sub(r"\.\d+\.", ".#.", key) for key in state} == small


def test_both_return_types_of_transformers_are_supported() -> None:
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    from mmsearch_app.embedders.bge_vl import pooled

    features = torch.ones(1, 2)
    assert pooled(features) is features
    assert pooled(BaseModelOutputWithPooling(pooler_output=features)) is features


def test_a_file_without_a_tensor_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(CLIP, tmp_path, dirs_exist_ok=True)
    state = load_file(tmp_path / "model.safetensors")
    del state["text_projection.weight"]
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InvalidWeights, match=r"text_projection\.weight is missing"):
        BGEVL(path=tmp_path).warm_up()


def test_the_dimension_of_a_folder_is_read_from_its_configuration() -> None:
    expected = json.loads((CLIP / "config.json").read_text(encoding="utf-8"))["projection_dim"]
    assert BGEVL(path=CLIP).dimension == expected == 24


@pytest.mark.parametrize(("model", "dimension"), [("base", 512), ("large", 768)])
def test_the_dimensions_of_the_released_models_are_known(model: str, dimension: int) -> None:
    assert BGEVL(model=model).dimension == dimension


def test_a_missing_folder_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match=r"nowhere/config\.json; `path` must be a folder"):
        BGEVL(path=tmp_path / "nowhere")
