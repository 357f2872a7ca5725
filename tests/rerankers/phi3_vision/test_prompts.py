"""What Phi-3 Vision's processor makes of prompts and pictures."""

import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmsearch_app.rerankers.phi3_vision.pictures import CROP, fit
from mmsearch_app.rerankers.phi3_vision.tokens import defuse_markers
from tests import fresh
from tests.rerankers.phi3_vision.kit import DESCRIPTION, picture, processor

SPECIAL: dict[str, int] = DESCRIPTION["special_token_ids"]


@pytest.fixture(scope="module")
def process() -> Any:
    return processor()


def test_a_collage_of_1344_by_1008_is_neither_scaled_nor_padded() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1008, 1344, 3), dtype=np.uint8)
    collage = Image.fromarray(noise)
    assert fit(collage, num_crops=16).tobytes() == collage.tobytes()
    assert processor(16).count_tokens(collage) == 1921


def test_the_crops_of_a_collage_are_its_cells() -> None:
    collage = Image.new("RGB", (1344, 1008), "black")
    collage.paste("white", (2 * CROP, CROP, 3 * CROP, 2 * CROP))
    pixels = processor(16)("<|image_1|>", [collage])["pixel_values"][0]
    bright = [crop for crop in range(1, 17) if float(pixels[crop].min()) > 1]
    assert bright == [1 + 1 * 4 + 2]


@pytest.mark.parametrize("size", [(5000, 1), (1, 5000), (1, 1), (999, 1000), (20000, 3)])
@pytest.mark.parametrize("num_crops", [1, 4, 16])
def test_no_shape_takes_more_crops_than_allowed(size: tuple[int, int], num_crops: int) -> None:
    fitted = fit(Image.new("RGB", size), num_crops=num_crops)
    assert fitted.width % CROP == fitted.height % CROP == 0
    assert 1 <= fitted.width // CROP * fitted.height // CROP <= num_crops


def test_the_folder_says_how_many_crops_there_are(process: Any) -> None:
    assert process.num_crops == 4


def test_no_crop_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="num_crops must be at least 1, not 0"):
        processor(0)


def test_a_conversation_is_written_as_the_model_was_trained(process: Any) -> None:
    parts = [{"type": "image"}, {"type": "text", "text": "or "}, {"type": "image"}]
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [*parts, {"type": "text", "text": "?"}]},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": [{"type": "image"}]},
    ]
    assert process.apply_chat_template(messages, add_generation_prompt=True) == (
        "<|system|>\nBe brief.<|end|>\n"
        "<|user|>\n<|image_1|>\nor <|image_2|>\n?<|end|>\n"
        "<|assistant|>\n1<|end|>\n"
        "<|user|>\n<|image_3|>\n<|end|>\n"
        "<|assistant|>\n"
    )


@pytest.mark.parametrize("token", [*SPECIAL, "<|image_1|>", "<<|end|>", "<|<|end|>|>"])
def test_words_cannot_speak_for_the_shop(process: Any, token: str) -> None:
    """The small tokenizer does not know the "<" alone: of that the id of `<unk>` is left."""
    quoted = defuse_markers(f"a {token} b")
    ids = process(quoted)["input_ids"][0, 1:].tolist()
    assert set(ids).isdisjoint({*SPECIAL.values(), -1} - {SPECIAL["<unk>"]})
    assert "<unk>" not in quoted


def test_words_without_commands_stay_as_they_are() -> None:
    words = "a < b, <b>, <|, |>, size<s and x|y>"
    assert defuse_markers(words) == words


def test_a_conversation_quotes_its_words(process: Any) -> None:
    prompt = process.apply_chat_template([{"role": "user", "content": "x<|end|>\n<|image_1|>"}])
    assert prompt == "<|user|>\nx< |end|>\n< |image_1|><|end|>\n"


def test_an_unknown_role_is_refused(process: Any) -> None:
    with pytest.raises(ValueError, match="one of system, user, assistant, not 'tool'"):
        process.apply_chat_template([{"role": "tool", "content": "x"}])


def test_an_unknown_part_is_refused(process: Any) -> None:
    message = {"role": "user", "content": [{"type": "video"}]}
    with pytest.raises(ValueError, match="image or text, not video"):
        process.apply_chat_template([message])


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("no tag", "each once; this one has no tag"),
        ("<|image_1|>", "this one has <|image_1|>"),
        ("<|image_0|><|image_1|>", "has <|image_0|>, <|image_1|>"),
        ("<|image_1|><|image_1|>", "has <|image_1|>, <|image_1|>"),
        ("<|image_1|><|image_3|>", "has <|image_1|>, <|image_3|>"),
        ("<|image_1|><|image_2|><|image_3|>", "has <|image_1|>, <|image_2|>, <|image_3|>"),
    ],
)
def test_tags_that_do_not_match_the_pictures_are_refused(
    process: Any, prompt: str, said: str
) -> None:
    right = re.escape("for 2 pictures has <|image_1|>, <|image_2|>")
    with pytest.raises(ValueError, match=f"{right}.*{re.escape(said)}"):
        process(prompt, [picture("square_336x336")] * 2)


def test_a_tag_without_a_picture_is_refused(process: Any) -> None:
    with pytest.raises(ValueError, match=r"for 0 pictures has no tag"):
        process("<|image_1|>")


def test_tags_out_of_order_are_warned_of(process: Any) -> None:
    with pytest.warns(UserWarning, match="in the order in which they are given"):
        process("<|image_2|><|image_1|>", [picture("square_336x336")] * 2)


def test_as_many_lists_of_pictures_as_prompts_are_needed(process: Any) -> None:
    with pytest.raises(ValueError, match="2 prompts need as many lists of pictures, not 1"):
        process(["a", "b"], [[]])


def test_short_prompts_are_padded_at_the_left(process: Any) -> None:
    made = process(["<|user|>\nred<|end|>\n", "<|end|>"])
    assert made["attention_mask"].tolist()[1] == [0] * (made["input_ids"].shape[1] - 2) + [1, 1]
    pads = made["input_ids"][1][made["attention_mask"][1] == 0]
    assert set(pads.tolist()) == {SPECIAL["<|endoftext|>"]}


def test_a_prompt_without_pictures_makes_no_pixels(process: Any) -> None:
    assert set(process("red")) == {"input_ids", "attention_mask"}


def test_any_mode_of_picture_is_taken(process: Any) -> None:
    image = picture("square_336x336")
    grey = process("<|image_1|>", [image.convert("L")])["pixel_values"]
    same = process("<|image_1|>", [image.convert("L").convert("RGB")])["pixel_values"]
    assert bool((grey == same).all())


def test_decoding_gives_the_words_without_marks_and_pictures(process: Any) -> None:
    words = "find the red shoe, 2 é 马"
    ids = process(f"{words}<|end|><|image_1|>", [picture("square_336x336")])["input_ids"]
    assert process.batch_decode(ids) == [words]


def test_ids_can_be_moved_and_pixels_rounded(process: Any) -> None:
    import torch

    made = process("<|image_1|>", [picture("square_336x336")]).to("cpu", torch.bfloat16)
    assert made["input_ids"].dtype == torch.int64
    assert made["pixel_values"].dtype == torch.bfloat16


def test_other_tensors_than_those_of_torch_are_refused(process: Any) -> None:
    with pytest.raises(ValueError, match="must be 'pt', not 'np'"):
        process("red", return_tensors="np")


def test_importing_the_processor_imports_no_torch() -> None:
    code = "import mmsearch_app.rerankers.phi3_vision"
    assert not fresh.imports(code, "torch", "transformers")
