"""Examples to learn from: prompts of the production code with the replies that are right."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from PIL import Image

from example_shop.catalogue import write_title
from example_shop.llvm.looks import Look
from example_shop.llvm.wishes import FORMS, Question, Wish, forms_to_learn, name_look
from mmsearch_app.inference import Content
from mmsearch_app.rerankers.prompts import words
from mmsearch_app.rerankers.prompts.collage import GENERIC
from mmsearch_app.rerankers.prompts.scene import Scene
from mmsearch_app.rerankers.vlm import Capabilities, Prompt

MOST = 9
"""Candidates of a prompt: a window of the production code."""
CAPABILITIES: Final = Capabilities(logits=True, constrained=True, max_images=MOST + 1)
LANGUAGES = (
    "",
    "",
    "British English",
    "English",
    "German",
    "French",
    "Spanish",
    "Italian",
    "Dutch",
)
"""What prompts ask for. The model writes English whatever is asked for."""
SOFTNESS = 1.5
"""Grades by which the odds of two letters differ by e."""
TITLED = 0.15
"""The share of the scenes whose candidates have titles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """A prompt and what the model should reply."""

    task: str
    prompt: Prompt
    pictures: tuple[int, ...]
    """The number of each picture of the prompt."""
    reply: str = ""
    """The whole reply, or "" if only its first word counts."""
    first: Mapping[str, float] | None = None
    """How likely each first word should be."""


class Shelf:
    """Numbered pictures, found by what they show."""

    def __init__(self, looks: Sequence[Look]) -> None:
        self.looks = tuple(looks)
        self._by: dict[tuple[str, str, str], list[int]] = {}
        for number, look in enumerate(self.looks):
            for key in _keys(look):
                self._by.setdefault(key, []).append(number)

    def find(
        self, chance: random.Random, *, kind: str = "", colour: str = "", pattern: str = ""
    ) -> int | None:
        """Any picture with these attributes, "" for whatever; None if there is none."""
        found = self._by.get((kind, colour, pattern))
        return chance.choice(found) if found else None


def _keys(look: Look) -> Iterator[tuple[str, str, str]]:
    for kind in (look.kind, ""):
        for colour in (look.colour, ""):
            for pattern in (look.pattern, ""):
                yield kind, colour, pattern


def find_candidates(
    wish: Wish, shown: Look | None, shelf: Shelf, chance: random.Random, *, count: int
) -> list[int]:
    """Pictures that an index would find: near misses of the wish and of the picture, shuffled."""
    colour = wish.colour or (shown.colour if shown else chance.choice(shelf.looks).colour)
    pattern = wish.pattern or (shown.pattern if shown else chance.choice(shelf.looks).pattern)
    kind = wish.kind
    ways: list[tuple[float, dict[str, str]]] = [
        (2.0, {"kind": kind, "colour": colour, "pattern": pattern}),
        (2.0, {"kind": kind, "colour": colour}),
        (2.0, {"kind": kind, "pattern": pattern}),
        (1.5, {"kind": kind}),
        (0.7, {"colour": colour, "pattern": pattern}),
        (0.4, {}),
    ]
    if shown is not None:
        ways += [
            (0.7, {"kind": shown.kind, "colour": shown.colour}),
            (0.7, {"kind": shown.kind, "pattern": shown.pattern}),
            (0.7, {"kind": kind, "colour": shown.colour}),
            (0.7, {"kind": kind, "pattern": shown.pattern}),
        ]
    weights = [weight for weight, _ in ways]
    found: dict[int, None] = {}
    while len(found) < count:
        way = chance.choices(ways, weights)[0][1]
        number = shelf.find(chance, **way)
        if number is not None:
            found[number] = None
    numbers = list(found)
    chance.shuffle(numbers)
    return numbers


def ask(
    form: str, shelf: Shelf, chance: random.Random, *, shown: int | None = None
) -> tuple[Question, int]:
    """A question of the form about a picture of the shelf, and the number of the picture."""
    number = chance.randrange(len(shelf.looks)) if shown is None else shown
    return FORMS[form](shelf.looks[number], chance), number


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A question with its candidates, as numbers of pictures."""

    question: Question
    shown: int
    """The query's picture; without meaning if the question has none."""
    candidates: tuple[int, ...]
    grades: tuple[int, ...]
    scene: Scene

    @property
    def pictures(self) -> tuple[int, ...]:
        """The pictures of a prompt that shows all."""
        query = () if self.question.shown is None else (self.shown,)
        return (*query, *self.candidates)

    @property
    def best(self) -> int:
        """The place of the best candidate, the first of equals."""
        return self.grades.index(max(self.grades))

    def pair(self, place: int) -> tuple[int, ...]:
        """The pictures of a prompt that shows one candidate."""
        query = () if self.question.shown is None else (self.shown,)
        return (*query, self.candidates[place])


def stand_in() -> Image.Image:
    """A picture for the prompt; what the model sees of it comes from the picture's number."""
    return Image.new("RGB", (1, 1))


def make_case(shelf: Shelf, chance: random.Random, *, count: int) -> Case:
    """A question of a form that is trained, with that many candidates."""
    form = chance.choice(tuple(forms_to_learn()))
    question, shown = ask(form, shelf, chance)
    wish, look = question.wish, question.shown
    candidates = find_candidates(wish, look, shelf, chance, count=count)
    titled = chance.random() < TITLED
    caption = ""
    if look is not None and chance.random() < 0.7:
        caption = name_look(look)
    return build_case(question, shown, candidates, shelf, chance, titled=titled, caption=caption)


def build_case(
    question: Question,
    shown: int,
    candidates: Sequence[int],
    shelf: Shelf,
    chance: random.Random,
    *,
    titled: bool = False,
    caption: str = "",
) -> Case:
    """The case with its scene as the production code describes it."""
    looks = [shelf.looks[number] for number in candidates]
    titles = [write_title(chance, look.kind, look.cloth) if titled else None for look in looks]
    scene = Scene(
        query=Content(
            image=None if question.shown is None else stand_in(), text=question.words or None
        ),
        candidates=tuple(Content(image=stand_in(), text=title) for title in titles),
        layout=GENERIC,
        caption=caption,
        language=chance.choice(LANGUAGES),
    )
    grades = tuple(question.wish.grade(look) for look in looks)
    return Case(
        question=question, shown=shown, candidates=tuple(candidates), grades=grades, scene=scene
    )


def teach_caption(shelf: Shelf, chance: random.Random) -> Lesson:
    """Say what a picture shows."""
    number = chance.randrange(len(shelf.looks))
    prompt = Prompt(parts=(stand_in(), words.ask_for_caption(language=chance.choice(LANGUAGES))))
    reply = name_look(shelf.looks[number])
    return Lesson(task="caption", prompt=prompt, pictures=(number,), reply=reply)


def teach_grades(case: Case, shelf: Shelf) -> Lesson:
    """Grade every candidate, and say why the best one fits."""
    best = shelf.looks[case.candidates[case.best]]
    reason = case.question.wish.explain(best)
    reply = dict(zip(case.scene.labels, case.grades, strict=True)) | {"reason": reason}
    prompt = Prompt(parts=(*case.scene.show_all(CAPABILITIES), words.ask_for_grades(case.scene)))
    return Lesson(task="grades", prompt=prompt, pictures=case.pictures, reply=json.dumps(reply))


def teach_letters(case: Case) -> Lesson:
    """Name the best candidate: the odds of the letters follow the grades."""
    prompt = Prompt(parts=(*case.scene.show_all(CAPABILITIES), words.ask_for_letter(case.scene)))
    odds = [math.exp((grade - max(case.grades)) / SOFTNESS) for grade in case.grades]
    first = {label: odd / sum(odds) for label, odd in zip(case.scene.labels, odds, strict=True)}
    return Lesson(task="letters", prompt=prompt, pictures=case.pictures, first=first)


def teach_pair(case: Case, place: int) -> Lesson:
    """Say yes as likely as the grade is high."""
    shown = case.scene.show_pair(place, CAPABILITIES)
    prompt = Prompt(parts=(*shown, words.ask_for_match(case.scene, place)))
    yes = case.grades[place] / 10
    first = {"yes": yes, "no": 1 - yes}
    return Lesson(task="pairs", prompt=prompt, pictures=case.pair(place), first=first)


def teach_reason(case: Case, place: int, shelf: Shelf) -> Lesson:
    """Say why one candidate fits."""
    shown = case.scene.show_pair(place, CAPABILITIES)
    prompt = Prompt(parts=(*shown, words.ask_for_reason(case.scene, place)))
    reply = case.question.wish.explain(shelf.looks[case.candidates[place]])
    return Lesson(task="reason", prompt=prompt, pictures=case.pair(place), reply=reply)


VARIABLE = "zzz"
"""In place of words that differ from prompt to prompt; part of no word of the prompts."""


def list_prompts() -> list[list[str]]:
    """The words of every task's prompts in all their variations, without pictures."""
    scenes = [
        Scene(
            query=Content(image=stand_in() if shown else None, text=text),
            candidates=tuple([Content(image=stand_in(), text=title)] * count),
            layout=GENERIC,
            caption=caption if shown else "",
            language=language,
        )
        for count in range(2, MOST + 1)
        for language in dict.fromkeys(LANGUAGES)
        for shown, text in ((True, VARIABLE), (True, None), (False, VARIABLE))
        for title in (VARIABLE, None)
        for caption in (VARIABLE, "")
    ]
    about_one = (words.ask_for_match, words.ask_for_reason)
    about_all = (words.ask_for_grades, words.ask_for_letter)
    captions = [words.ask_for_caption(language=language) for language in LANGUAGES]
    return [
        captions,
        *([write(scene, 0) for scene in scenes] for write in about_one),
        *([write(scene) for scene in scenes] for write in about_all),
    ]


Shares: TypeAlias = Mapping[str, float]
SHARES: Shares = {"caption": 0.1, "grades": 0.4, "letters": 0.2, "pairs": 0.2, "reason": 0.1}
"""How many of the lessons are of each task, in the end."""


def teach(
    shelf: Shelf, chance: random.Random, *, shares: Shares = SHARES, most: int = MOST
) -> Iterator[Lesson]:
    """Lessons without end."""
    tasks: Mapping[str, Callable[[], Lesson]] = {
        "caption": lambda: teach_caption(shelf, chance),
        "grades": lambda: teach_grades(_case(shelf, chance, most), shelf),
        "letters": lambda: teach_letters(_case(shelf, chance, most)),
        "pairs": lambda: teach_pair(make_case(shelf, chance, count=1), 0),
        "reason": lambda: teach_reason(make_case(shelf, chance, count=1), 0, shelf),
    }
    names, weights = list(shares), list(shares.values())
    while True:
        yield tasks[chance.choices(names, weights)[0]]()


def _case(shelf: Shelf, chance: random.Random, most: int) -> Case:
    count = most if chance.random() < 0.5 else chance.randint(2, most)
    return make_case(shelf, chance, count=count)
