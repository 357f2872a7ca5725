"""The shop's own vision-language model: what it learns from, and that learning works."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs torch: mmsearch[models]")

import torch
from PIL import Image

from example_shop.llvm import train
from example_shop.llvm.batches import Writer, collate
from example_shop.llvm.judging import Reader
from example_shop.llvm.lessons import Lesson, Shelf, find_candidates, list_prompts, teach
from example_shop.llvm.looks import Look, held_out, is_named_so, looks_to_learn, sold
from example_shop.llvm.network import Size, build_network, build_processor, save_checkpoint
from example_shop.llvm.seeing import see
from example_shop.llvm.wishes import (
    FORMS,
    HELD_OUT_FORMS,
    Wish,
    forms_to_learn,
    is_true,
    name_look,
    read_look,
)
from mmsearch_app.inference import Content
from mmsearch_app.rerankers.llvm import VisionReranker
from mmsearch_app.rerankers.local import LocalVLM
from mmsearch_app.rerankers.local_network import load_local
from mmsearch_app.rerankers.replies.parsing import read_grades
from mmsearch_app.rerankers.replies.schemas import LABELS, grades_form

TINY = Size(width=32, inner=64, heads=2, seeing=1, reading=2)
BLUE = Look(kind="mug", colour="blue", accent="white", pattern="striped")


@pytest.fixture(scope="module")
def shelf() -> Shelf:
    return Shelf(list(islice(looks_to_learn(3), 2000)))


@pytest.fixture(scope="module")
def processor(shelf: Shelf) -> Any:
    return build_processor(train.make_tokenizer(shelf, lessons=2000), TINY)


@pytest.fixture(scope="module")
def folder(processor: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    network = build_network(TINY, vocabulary=len(processor.tokenizer))
    found = tmp_path_factory.mktemp("llvm")
    save_checkpoint(found, network, processor)
    return found


def load(folder: Path) -> Any:
    """The production code's model of a checkpoint."""
    return load_local(
        folder, device="cpu", dtype="float32", attention=None, processing={}, temperature=0.0
    )


def lessons_of(task: str, shelf: Shelf, count: int) -> list[Lesson]:
    return list(islice(teach(shelf, random.Random(4), shares={task: 1}), count))


def test_nothing_that_is_held_out_is_learned(shelf: Shelf) -> None:
    assert len(held_out()) == 20 * 19 * 11 // 5
    assert not {look.triple for look in shelf.looks} & held_out()
    assert not set(shelf.looks) & sold()
    assert set(forms_to_learn()) == set(FORMS) - set(HELD_OUT_FORMS)


def test_stripes_are_named_by_the_stronger_colour() -> None:
    assert is_named_so(BLUE)
    assert not is_named_so(replace(BLUE, colour="white", accent="blue"))
    assert is_named_so(replace(BLUE, colour="white", accent="blue", pattern="floral"))
    striped = [look for look in sold() if look.pattern == "striped"]
    assert striped
    assert all(map(is_named_so, striped))


def test_a_grade_keeps_what_the_words_do_not_change() -> None:
    question = FORMS["but in red"](BLUE, random.Random(0))
    wish = question.wish
    same = Look(kind="mug", colour=wish.colour, accent="white", pattern="striped")
    dotted = Look(kind="mug", colour=wish.colour, accent="white", pattern="dotted")
    dress = Look(kind="dress", colour=wish.colour, accent="white", pattern="dotted")
    assert wish.colour in question.words
    assert [wish.grade(look) for look in (same, dotted, BLUE, dress)] == [10, 8, 4, 0]


@pytest.mark.parametrize("form", FORMS)
def test_what_is_asked_for_is_graded_ten(form: str, shelf: Shelf) -> None:
    chance = random.Random(form)
    for look in shelf.looks[:50]:
        wish = FORMS[form](look, chance).wish
        wanted = Look(
            kind=wish.kind,
            colour=wish.colour or look.colour,
            accent=look.accent,
            pattern=wish.pattern or look.pattern,
        )
        assert wish.grade(wanted) == 10
        assert wish.explain(wanted).endswith(", as you asked.")


def test_what_the_model_says_of_a_look_can_be_read(shelf: Shelf) -> None:
    wish = Wish(kind="mug", colour="red", pattern="striped")
    for look in {look.triple: look for look in shelf.looks}.values():
        assert read_look(name_look(look)) == look.triple
        assert is_true(wish.explain(look), wish, look)
    assert not is_true("A red striped mug, as you asked.", wish, BLUE)


def test_candidates_are_near_misses_without_order(shelf: Shelf) -> None:
    chance = random.Random(2)
    places: list[int] = []
    for number, look in enumerate(shelf.looks[:200]):
        wish = FORMS["picture"](look, chance).wish
        found = find_candidates(wish, look, shelf, chance, count=9)
        assert len(set(found)) == 9
        grades = [wish.grade(shelf.looks[n]) for n in found]
        places.append(grades.index(max(grades)))
        assert number < 0 or len(set(grades)) > 1
    assert set(places) >= set(range(6))


def test_every_reply_is_what_the_production_code_reads(shelf: Shelf) -> None:
    for lesson in lessons_of("grades", shelf, 50):
        reply = json.loads(lesson.reply)
        reason = reply.pop("reason")
        labels = LABELS[: len(reply)]
        read = read_grades(lesson.reply, labels)
        assert (read.grades, read.reason, read.repairs) == (tuple(reply.values()), reason, 0)
        grammar = grades_form(len(reply)).grammar
        state = grammar.read(lesson.reply.encode())
        assert state is not None
        assert grammar.done(state)


def test_the_odds_of_letters_follow_the_grades(shelf: Shelf) -> None:
    for lesson in lessons_of("letters", shelf, 20):
        assert lesson.first is not None
        assert sum(lesson.first.values()) == pytest.approx(1)
        assert list(lesson.first) == list(LABELS[: len(lesson.first)])


@pytest.mark.parametrize("task", ["caption", "grades", "letters", "pairs", "reason"])
def test_lessons_are_the_tokens_of_the_production_code(
    task: str, shelf: Shelf, processor: Any, folder: Path
) -> None:
    model = load(folder)
    for lesson in lessons_of(task, shelf, 6):
        exercise = Writer(processor, TINY).write(lesson)
        assert len(exercise.pictures) == len(lesson.prompt.images)
        expected = model.prepare([lesson.prompt])["input_ids"][0].tolist()
        assert list(exercise.ids[: exercise.asked]) == expected


def test_fixed_sentences_cost_few_tokens_and_strange_words_survive(processor: Any) -> None:
    tokenizer = processor.tokenizer
    longest = max((text for texts in list_prompts() for text in texts), key=len)
    assert 3 * len(tokenizer(longest).input_ids) < len(longest.split())
    strange = "a möbelhaus with ünicorns <b>"
    assert tokenizer.decode(tokenizer(strange).input_ids) == strange


def test_learning_lowers_the_loss_and_goes_on_where_it_was(tmp_path: Path) -> None:
    plan = train.Plan(
        pictures=96,
        seeing=6,
        judging=6,
        size=TINY,
        seen_at_once=32,
        read_at_once=1500,
        saved_every=3,
    )
    train.train(plan, tmp_path, jobs=1)
    for part in ("seeing", "judging"):
        figures = json.loads((tmp_path / f"{part}.json").read_text())
        assert [row["step"] for row in figures] == [3, 6]
        assert figures[1]["loss"] < figures[0]["loss"]
    model = train.train(replace(plan, judging=9), tmp_path, jobs=1)
    figures = json.loads((tmp_path / "judging.json").read_text())
    assert [row["step"] for row in figures] == [3, 6, 9]
    picture = Image.new("RGB", (40, 30), "red")
    contents = [Content(image=picture)] * 3
    reranker = VisionReranker(
        model=LocalVLM(path=model, dtype="float32", max_images=4), caption=True, language=""
    )
    ranking = reranker.rerank(Content(image=picture, text="but in blue"), contents)
    assert sorted(ranking.order) == [0, 1, 2]
    assert ranking.repairs == 0


def test_a_batch_learns_replies_and_nothing_else(shelf: Shelf, processor: Any) -> None:
    writer = Writer(processor, TINY)
    lessons = [lessons_of(task, shelf, 1)[0] for task in ("caption", "pairs")]
    exercises = [writer.write(lesson) for lesson in lessons]
    tokenizer = processor.tokenizer
    batch = collate(exercises, pad=tokenizer.pad_token_id, vocabulary=len(tokenizer))
    replied = len(exercises[0].ids) - exercises[0].asked
    assert len(batch.places) == replied + 1
    assert tokenizer.decode(batch.targets[:replied].argmax(dim=1).tolist()) == (
        f"{lessons[0].reply}{tokenizer.eos_token}"
    )
    assert batch.targets.sum(dim=1).tolist() == pytest.approx([1.0] * (replied + 1))
    assert int(batch.mask.sum()) == sum(len(exercise.ids) for exercise in exercises)


def test_what_is_trained_apart_is_what_the_whole_network_computes(
    shelf: Shelf, processor: Any, folder: Path
) -> None:
    model = load(folder)
    writer, tokenizer = Writer(processor, TINY), processor.tokenizer
    lesson = lessons_of("pairs", shelf, 1)[0]
    batch = collate([writer.write(lesson)], pad=tokenizer.pad_token_id, vocabulary=len(tokenizer))
    inputs = model.prepare([lesson.prompt])
    with torch.no_grad():
        whole = model.network(**inputs).logits[0, -1]
        seen = see(model.network, inputs["pixel_values"].flatten(0, 1))
        apart = Reader(model.network)(batch, seen)[0]
    assert torch.allclose(whole, apart, atol=1e-5)
