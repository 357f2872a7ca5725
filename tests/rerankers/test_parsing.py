"""Parsing of models' replies: the result is complete for any reply."""

from __future__ import annotations

import json
import random
import string

import pytest

from mmsearch_app.rerankers.replies.parsing import SHOWN, clean, read_grades, read_ranking

GRADES = {
    "as asked": ('{"A": 7, "B": 0, "C": 10, "reason": "red"}', (2, 0, 1), 0),
    "in a fence": ('```json\n{"A": 7, "B": 0, "C": 10, "reason": "red"}\n```', (2, 0, 1), 0),
    "after prose": ('Sure! {see} Here: {"A": 1, "B": 2, "C": 3, "reason": ""}', (2, 1, 0), 0),
    "inside an object": ('{"grades": {"A": 1, "B": 5, "C": 3}, "reason": "x"}', (1, 2, 0), 0),
    "as strings": ('{"A": "7/10", "B": "8", "C": "2,5"}', (1, 0, 2), 0),
    "cut in a reason": ('{"A": 1, "B": 9, "C": 4, "reason": "because it', (1, 2, 0), 1),
    "cut in the grades": ('{"A": 1, "B": 9, "C', (1, 0, 2), 2),
    "one missing": ('{"A": 1, "C": 9}', (2, 0, 1), 1),
    "one twice, the first wins": ('{"A": 1, "B": 5, "C": 9, "A": 10}', (2, 1, 0), 1),
    "one unknown": ('{"A": 1, "B": 5, "C": 9, "D": 10}', (2, 1, 0), 1),
    "out of range": ('{"A": -4, "B": 99, "C": 5}', (1, 2, 0), 2),
    "not a grade": ('{"A": null, "B": true, "C": 5}', (2, 0, 1), 4),
    "not a number": ('{"A": NaN, "B": Infinity, "C": 5}', (2, 0, 1), 4),
    "in prose": ("A: 3\nB - 8/10\n**C**: 5\nReason: it is red", (1, 2, 0), 1),
    "in prose, as shares": ("A: 30%, B: 80 %, C: 50%", (1, 2, 0), 1),
    "with a reason each": (
        '{"A": {"grade": 3, "reason": "no"}, "B": {"score": 8}, "C": {"is": 5}}',
        (1, 2, 0),
        0,
    ),
    "as a list of objects": ('[{"id": "A", "grade": 3}, {"id": "B", "grade": 8}]', (1, 0, 2), 1),
    "as a list of pairs": ('[{"A": 3}, {"B": 8}, {"C": 5}]', (1, 2, 0), 0),
    "as a list inside an object": ('{"grades": [1, 9, 5]}', (1, 2, 0), 0),
    "as objects inside an object": (
        '{"grades": [{"candidate": "B", "grade": 8}, {"label": "C", "score": "50%"}]}',
        (1, 2, 0),
        1,
    ),
    "as a bare list": ("[3, 8, 5]", (1, 2, 0), 0),
    "as a list that may be an order": ("[3, 1, 2]", (0, 1, 2), 3),
    "as words": ('{"A": "3 out of 10", "B": "80%", "C": "5/10"}', (1, 2, 0), 0),
    "after an example": ('Like {"A": 9}: {"A": 1, "B": 5, "C": 3}', (1, 2, 0), 0),
    "by numbers": ('{"1": 3, "2": 8, "3": 5}', (1, 2, 0), 1),
    "in wide digits": ('{"A": "３", "B": "８", "C": "５"}', (1, 2, 0), 0),
    "in Arabic digits": ('{"A": "٣", "B": "٨", "C": "٥"}', (1, 2, 0), 0),
    "in small letters": ('{"a": 3, "b": 8, "c": 5}', (1, 2, 0), 0),
    "empty": ("", (0, 1, 2), 3),
    "nothing of it": ("I cannot help with that.", (0, 1, 2), 3),
    "an empty object": ("{}", (0, 1, 2), 3),
    "a deep nest": ("[" * 5000 + "{" * 5000, (0, 1, 2), 3),
    "a huge number": ('{"A": 1e999, "B": ' + "9" * 4000 + ', "C": 1}', (1, 2, 0), 3),
}
RANKINGS = {
    "as asked": ('{"ranking": ["B", "C", "A"], "reason": "red"}', (1, 2, 0), 0),
    "as the original": ("Ranked list: [B, C, A]\nReasons: it is red", (1, 2, 0), 1),
    "by numbers from 1": ("Ranked list: [2, 3, 1]\nReasons: red", (1, 2, 0), 1),
    "by numbers from 0": ('{"ranking": [1, 2, 0]}', (1, 2, 0), 1),
    "by names": ('{"ranking": ["Candidate B", "candidate C", "Item A"]}', (1, 2, 0), 0),
    "one missing": ('{"ranking": ["C", "A"]}', (2, 0, 1), 1),
    "one twice": ('{"ranking": ["C", "A", "C", "B"]}', (2, 0, 1), 1),
    "one unknown": ('{"ranking": ["C", "Z", "A", "B"]}', (2, 0, 1), 1),
    "cut": ('{"ranking": ["C", "A"', (2, 0, 1), 2),
    "with arrows": ("C > A > B", (2, 0, 1), 1),
    "as lines": ("1. C\n2. A\n3. B", (2, 0, 1), 1),
    "after an article": ("A red mug like this is best matched by C, then B.", (2, 1, 0), 2),
    "with verbs": ("C is best, then A and B", (2, 0, 1), 1),
    "with a label like an article": ("A fits best, A is red; then C", (0, 2, 1), 3),
    "things that are no ids": ('{"ranking": [null, {"a": 1}, [], "C"]}', (2, 0, 1), 5),
    "empty": ("", (0, 1, 2), 3),
    "a refusal": ("Sorry, no.", (0, 1, 2), 3),
}


@pytest.mark.parametrize(("reply", "order", "repairs"), GRADES.values(), ids=GRADES)
def test_grades_are_read(reply: str, order: tuple[int, ...], repairs: int) -> None:
    reading = read_grades(reply, "ABC")

    assert (reading.order, reading.repairs) == (order, repairs)


@pytest.mark.parametrize(("reply", "order", "repairs"), RANKINGS.values(), ids=RANKINGS)
def test_rankings_are_read(reply: str, order: tuple[int, ...], repairs: int) -> None:
    reading = read_ranking(reply, "ABC")

    assert (reading.order, reading.repairs) == (order, repairs)


@pytest.mark.parametrize(
    "reply",
    [
        '{"A": 7, "B": 1, "reason": "It is red."}',
        '{"A": 7, "B": 1, "reason": "It is red.',
        "A: 7, B: 1\n**Reasons**: It is red.",
    ],
)
def test_the_reason_is_found_at_any_position(reply: str) -> None:
    assert read_grades(reply, "AB").reason == "It is red."


def test_the_reason_of_the_best_candidate_is_found_next_to_its_grade() -> None:
    reply = '[{"id": "A", "grade": 1, "reason": "No."}, {"id": "B", "grade": 8, "reason": "Red."}]'

    assert read_grades(reply, "AB").reason == "Red."


def test_a_candidate_without_a_grade_has_none() -> None:
    assert read_grades('{"B": 4}', "ABC").grades == (None, 4, None)


def test_a_pronoun_is_no_label() -> None:
    reading = read_ranking("I would rank them B, A, C. I'd buy B. I think.", "ABCDEFGHI")

    assert reading.order == (1, 0, 2, 3, 4, 5, 6, 7, 8)
    assert reading.repairs == 1 + 1 + 6


def test_a_label_like_the_pronoun_is_one() -> None:
    assert read_ranking("B, I and A; then I is followed by C", "ABCDEFGHI").order[:4] == (
        1,
        8,
        0,
        2,
    )


def test_candidates_without_a_grade_come_after_a_grade_of_zero() -> None:
    assert read_grades('{"B": 0}', "AB").order == (1, 0)


def test_texts_lose_control_and_direction_characters_and_are_truncated() -> None:
    assert clean("a\x00b\n\u202ec\u200b  d") == "ab c d"
    assert len(clean("word " * 500)) <= SHOWN


def spoil(reply: str, chance: random.Random) -> str:
    """Make a few random edits."""
    letters = list(reply)
    for _ in range(chance.randint(1, 12)):
        place = chance.randrange(len(letters) + 1)
        edit = chance.randrange(4)
        if edit == 0:
            letters[place : place + chance.randint(1, 8)] = []
        elif edit == 1:
            letters.insert(place, chance.choice(string.printable + '{}[]":,٣é\u202e\ud800'))
        elif edit == 2:
            letters[place:place] = letters[: chance.randint(0, 20)]
        else:
            chance.shuffle(letters[place : place + 5])
    return "".join(letters)


@pytest.mark.parametrize("seed", range(8))
def test_damaged_replies_are_read_completely(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(150):
        count = chance.randint(1, 26)
        labels = string.ascii_uppercase[:count]
        shuffled = chance.sample(labels, count)
        grades = {label: chance.randint(0, 10) for label in labels} | {"reason": "x"}
        reply = json.dumps(chance.choice([grades, {"ranking": shuffled, "reason": "x"}]))
        for reading in (r(spoil(reply, chance), labels) for r in (read_grades, read_ranking)):
            assert sorted(reading.order) == list(range(count))
            assert reading.repairs >= 0
            given = [grade for grade in reading.grades or () if grade is not None]
            assert all(0 <= grade <= 10 for grade in given)


@pytest.mark.parametrize("piece", ["{", "[", '{"A":', "A: 1 ", '"', "\\", "A - ", "reason: "])
def test_an_endless_reply_is_read_quickly(piece: str) -> None:
    for read in (read_grades, read_ranking):
        assert sorted(read(piece * 200_000, "ABC").order) == [0, 1, 2]
