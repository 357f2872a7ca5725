"""Images are cut, resized and normalised bit by bit as transformers does it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmsearch_app.inference import InvalidWeights
from mmsearch_app.rerankers.idefics3.pictures import TileCutter
from tests.rerankers.idefics3.exports import noise

SIZES = [(3, 400), (1, 1), (400, 2), (97, 101), (300, 150), (150, 300), (33, 31), (1000, 37)]
OPTIONS: dict[str, dict[str, Any]] = {
    "whole": {"size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 64}},
    "whole, then smaller": {"size": {"longest_edge": 90}, "max_image_size": {"longest_edge": 26}},
    "four tiles each way": {
        "size": {"longest_edge": 128},
        "max_image_size": {"longest_edge": 32},
        "do_image_splitting": True,
    },
    "no multiple": {
        "size": {"longest_edge": 91},
        "max_image_size": {"longest_edge": 26},
        "do_image_splitting": True,
    },
    "one tile": {
        "size": {"longest_edge": 20},
        "max_image_size": {"longest_edge": 26},
        "do_image_splitting": True,
    },
    "as it is": {"do_resize": False, "max_image_size": {"longest_edge": 50}},
    "a fixed size": {"size": {"height": 40, "width": 70}, "max_image_size": {"longest_edge": 40}},
    "other numbers": {
        "size": {"longest_edge": 64},
        "max_image_size": {"longest_edge": 64},
        "resample": Image.Resampling.BICUBIC,
        "image_mean": [0.48, 0.45, 0.4],
        "image_std": [0.26, 0.27, 0.28],
        "rescale_factor": 1 / 127.5,
    },
    "bytes": {
        "size": {"longest_edge": 64},
        "max_image_size": {"longest_edge": 64},
        "do_rescale": False,
        "do_normalize": False,
    },
}


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("family", ["Idefics3ImageProcessorPil", "SmolVLMImageProcessorPil"])
def test_tiles_are_those_of_transformers(family: str, name: str, size: tuple[int, int]) -> None:
    from transformers.models.idefics3 import image_processing_pil_idefics3
    from transformers.models.smolvlm import image_processing_pil_smolvlm

    modules = [image_processing_pil_idefics3, image_processing_pil_smolvlm]
    build: Any = next(getattr(module, family) for module in modules if hasattr(module, family))
    theirs = build(**({"do_image_splitting": False} | OPTIONS[name]))
    image = noise(*size)
    expected = theirs([image], return_row_col_info=True, return_tensors="np")

    grid, pixels = TileCutter(theirs.to_dict(), changed={}).cut(image)

    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(pixels, expected["pixel_values"][0])
    assert ([[grid.rows]], [[grid.columns]]) == (expected["rows"], expected["cols"])
    assert expected["pixel_attention_mask"].all()  # nothing is padded, so no mask is needed


def test_the_largest_side_is_limited() -> None:
    options = {"size": {"longest_edge": 5000}, "max_image_size": {"longest_edge": 2048}}

    grid, _ = TileCutter(options, changed={}).cut(Image.new("RGB", (50, 10)))

    assert grid == (1, 2)


def test_an_option_replaces_that_of_the_model() -> None:
    options = {"size": {"longest_edge": 128}, "max_image_size": {"longest_edge": 32}}

    grid, pixels = TileCutter(options, changed={"do_image_splitting": False}).cut(noise(9, 9))

    assert grid == (0, 0)
    assert pixels.shape == (1, 3, 32, 32)


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(ValueError, match=r"has no option 'longest_edge'; it has do_resize, size"):
        TileCutter({}, changed={"longest_edge": 512})


@pytest.mark.parametrize(
    "options", [{"max_image_size": 32}, {"image_mean": [0.5, 0.5]}, {"size": {"shortest": 3}}]
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidWeights, match="options of the image processor cannot be used"):
        TileCutter(options, changed={})
