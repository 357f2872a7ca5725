"""Phi-3 Vision against numbers of its upstream code."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from tests.embedders.kit import gap
from tests.rerankers.phi3_vision.kit import (
    CASES,
    DESCRIPTION,
    NUMBERS,
    TOLERANCE,
    answer,
    at_stored_positions,
    inputs,
    load,
    picture,
    processor,
)

torch = pytest.importorskip("torch")
PICTURED = [name for name, case in CASES.items() if case["images"]]
PIXELS = [(name, kind) for name, kinds in DESCRIPTION["images"].items() for kind in kinds]


@pytest.fixture(scope="module")
def model() -> Any:
    return load()


@pytest.mark.parametrize(("name", "kind"), PIXELS)
def test_pixels_are_exactly_those_of_upstream(name: str, kind: str) -> None:
    expected = DESCRIPTION["images"][name][kind]
    process = processor(expected["num_crops"])
    made = process("<|image_1|>", [picture(name)])
    digest = hashlib.sha256(made["pixel_values"].numpy().tobytes()).hexdigest()
    assert digest == expected["pixel_values_sha256_f32"]
    assert made["image_sizes"].tolist() == [expected["image_sizes_hw"]]
    assert process.count_tokens(picture(name)) == expected["num_img_tokens"]


@pytest.mark.parametrize("name", CASES)
def test_ids_are_exactly_those_of_upstream(name: str) -> None:
    made = inputs(name)
    np.testing.assert_array_equal(made["input_ids"].numpy(), NUMBERS[f"{name}/input_ids"])
    assert made["attention_mask"].tolist() == [[1] * CASES[name]["prompt_tokens"]]
    assert int((made["input_ids"] < 0).sum()) == CASES[name]["image_tokens"]


@pytest.mark.parametrize("name", PICTURED)
def test_words_and_pictures_are_embedded_as_upstream_does(model: Any, name: str) -> None:
    made = inputs(name)
    rows = model.embed(made["input_ids"], made["pixel_values"], made["image_sizes"])[0]
    found, expected = at_stored_positions(rows, name, "inputs_embeds")
    assert gap(found, expected) < TOLERANCE


@pytest.mark.parametrize("name", CASES)
def test_logits_are_those_of_upstream(model: Any, name: str) -> None:
    found, expected = at_stored_positions(model(**inputs(name)).logits[0], name, "logits")
    assert gap(found, expected) < TOLERANCE


@pytest.mark.parametrize("name", CASES)
def test_a_greedy_answer_is_that_of_upstream(model: Any, name: str) -> None:
    options = {"return_dict_in_generate": True, "output_logits": True}
    given = inputs(name)
    made = model.generate(**given, max_new_tokens=12, do_sample=False, **options)
    new = made.sequences[0, given["input_ids"].shape[1] :]
    assert new.tolist() == CASES[name]["greedy12"]
    assert gap(torch.cat(made.logits), NUMBERS[f"{name}/greedy12_logits"]) < TOLERANCE


@pytest.mark.parametrize("name", ["text", "two", "cross_1024"])
def test_the_next_logits_are_those_of_the_first_new_token(model: Any, name: str) -> None:
    found = model.next_logits(**inputs(name))
    assert gap(found, NUMBERS[f"{name}/greedy12_logits"][:1]) < TOLERANCE


def test_an_answer_across_the_switch_is_the_same_without_a_cache(model: Any) -> None:
    given = inputs("cross_1024")
    assert answer(model, given, use_cache=False) == answer(model, given)


def test_a_cache_kept_across_the_switch_gives_the_other_answer_of_upstream(model: Any) -> None:
    from mmsearch_app.rerankers.phi3_vision.model import CACHE

    made = model(**inputs("cross_1024"), use_cache=True)
    ids = [int(made.logits[0, -1].argmax())]
    while len(ids) < 12:
        made = model(torch.tensor([ids[-1:]]), **{CACHE: made[CACHE]})
        ids.append(int(made.logits[0, -1].argmax()))
    assert ids == NUMBERS["cross_1024/greedy12_upstream_cached"].tolist()
    assert ids != CASES["cross_1024"]["greedy12"]


def test_generating_computes_no_logits_of_the_prompt(model: Any) -> None:
    sizes = []
    watch = model.lm_head.register_forward_hook(lambda *seen: sizes.append(seen[2].shape[1]))
    answer(model, inputs("img_300x900"), max_new_tokens=2)
    watch.remove()
    assert sizes == [1, 1]


def test_a_batch_answers_as_each_row_alone(model: Any) -> None:
    """One row switches its factors while a longer one has switched and a shorter one has not."""
    names = ("two", "cross_1024", "text")
    assert answer(model, inputs(*names)) == [CASES[name]["greedy12"] for name in names]


def test_the_next_logits_of_a_batch_are_those_of_each_row_alone(model: Any) -> None:
    names = ("text", "two", "img_300x900")
    expected = np.concatenate([NUMBERS[f"{name}/greedy12_logits"][:1] for name in names])
    assert gap(model.next_logits(**inputs(*names)), expected) < TOLERANCE


def test_short_and_long_prompts_at_once_do_not_disturb_each_other(model: Any) -> None:
    names = ("text", "two") * 4
    given = {name: inputs(name) for name in set(names)}
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda name: answer(model, given[name]), names))
    assert found == [[CASES[name]["greedy12"]] for name in names]


@pytest.mark.parametrize("stop", ["<|end|>", "<|endoftext|>"])
def test_an_answer_stops_at_the_end_of_a_turn(model: Any, stop: str) -> None:
    given = inputs("text")
    end = DESCRIPTION["special_token_ids"][stop]
    length = given["input_ids"].shape[1]

    def end_soon(ids: Any, scores: Any) -> Any:
        if ids.shape[1] == length + 2:
            scores[:, end] = scores.max() + 1
        return scores

    expected = [*CASES["text"]["greedy12"][:2], end]
    assert answer(model, given, logits_processor=[end_soon]) == [expected]


def test_an_answer_can_be_held_to_a_list(model: Any) -> None:
    given = inputs("img_300x900")
    wanted = [7, 9, 11, DESCRIPTION["special_token_ids"]["<|end|>"]]
    length = given["input_ids"].shape[1]

    def allow(row: int, ids: Any) -> list[int]:
        return [wanted[len(ids) - length]]

    assert answer(model, given, prefix_allowed_tokens_fn=allow) == [wanted]


def test_sampled_answers_follow_the_seed(model: Any) -> None:
    def sample() -> list[list[int]]:
        torch.manual_seed(5)
        return answer(model, inputs("text"), do_sample=True, temperature=2.0)

    assert sample() == sample()
    assert sample() != [CASES["text"]["greedy12"]]


def test_pictures_that_do_not_belong_to_the_ids_are_refused(model: Any) -> None:
    given = inputs("img_640x480")
    others = inputs("img_300x900")
    pixels = {key: others[key] for key in ("pixel_values", "image_sizes")}
    with pytest.raises(ValueError, match="room for 757 tokens of images, the images make 625"):
        model(input_ids=given["input_ids"], **pixels)


def test_ids_of_pictures_without_pictures_are_refused(model: Any) -> None:
    given = inputs("img_640x480")
    with pytest.raises(ValueError, match="room for 757 tokens"):
        model(input_ids=given["input_ids"], attention_mask=given["attention_mask"])
