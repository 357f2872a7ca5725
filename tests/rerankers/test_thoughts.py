"""Drafts, thoughts and control tokens round an answer do not count."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import pytest

from mmsearch_app.rerankers.replies.parsing import read_grades, read_ranking, read_sentence
from mmsearch_app.rerankers.replies.thoughts import HEARD, find_answer

DRAFT = '{"A": 10, "B": 0, "C": 1, "reason": "A draft."}'
GRADES = '{"A": 1, "B": 9, "C": 5, "reason": "The blue one."}'
DRAFT_RANKING = '{"ranking": ["A", "C", "B"], "reason": "A draft."}'
RANKING = '{"ranking": ["B", "C", "A"], "reason": "The blue one."}'
THOUGHTS: dict[str, tuple[str, str]] = {
    "think": ("<think>", "</think>"),
    "thinking": ("<thinking>", "</thinking>"),
    "thought": ("<thought>\n", "\n</thought>"),
    "reasoning": ("<reasoning>", "</reasoning>"),
    "reflection": ("<reflection>", "</reflection>"),
    "capitals": ("<THINKING>", "</THINKING>"),
    "attributes": ('<thinking mode="deep">', "</thinking>"),
    "seed": ("<seed:think>", "</seed:think>"),
    "magistral": ("[THINK]", "[/THINK]"),
    "kimi": ("◁think▷", "◁/think▷"),
    "open thinker": ("<|begin_of_thought|>", "<|end_of_thought|>"),
    "command a": ("<|START_THINKING|>", "<|END_THINKING|>"),
    "apertus": ("<|inner_prefix|>", "<|inner_suffix|>"),
    "medgemma": ("<unused94>thought\n", "<unused95>"),
    "begun in the prompt": ("", "</think>"),
    "harmony": (
        "<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant<|channel|>final<|message|>",
    ),
    "harmony with a constraint": (
        "<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>",
    ),
    "harmony with three channels": (
        "<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant<|channel|>commentary<|message|>Hm.<|end|>"
        "<|start|>assistant<|channel|>final<|message|>",
    ),
    "harmony without tokens": ("analysis", "assistantfinal"),
    "gemma 4": ("<|channel>thought\n", "<channel|>"),
    "granite": ("Here is my thought process:\n", "\nHere is my response:\n"),
    "two thoughts": ("<think>One.</think><thinking>", "</thinking>"),
    "a thought inside": ("<think>So, <think>well,", "</think>"),
}
WRAPPERS: dict[str, Callable[[str], str]] = {
    "bare": lambda answer: answer,
    "a fence": lambda answer: f"```json\n{answer}\n```",
    "a heading": lambda answer: f"**Answer:**\n\n{answer}\n",
    "tags": lambda answer: f"<answer>\n{answer}\n</answer>",
    "a box": lambda answer: f"<|begin_of_box|>{answer}<|end_of_box|>",
    "an end token": lambda answer: f"{answer}<|im_end|>",
    "an afterword": lambda answer: f"{answer}\nI hope that this helps {{visitors}}!",
    "an object": lambda answer: f'{{"answer": {answer}}}',
    "a cut repetition": lambda answer: f"{answer}\n{answer[:20]}",
}
DRAFTS = {
    "none": "{}",
    "inline": "Perhaps {}? No.",
    "fence": "First:\n```json\n{}\n```\nBut wait.",
    "twice": "{0}\n{0}\n",
    "prose": "A: 10, B: 0, C: 1. {} A > C > B. Reason: a draft.",
    "braces": "{{{{ [ {} [[",
}


@pytest.mark.parametrize("draft", DRAFTS.values(), ids=DRAFTS)
@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
@pytest.mark.parametrize(("begin", "end"), [*THOUGHTS.values(), ("", "")], ids=[*THOUGHTS, "prose"])
def test_the_last_complete_answer_counts(
    begin: str, end: str, wrap: Callable[[str], str], draft: str
) -> None:
    def reply(first: str, last: str) -> str:
        return f"{begin}{draft.format(first)}{end}\n\n{wrap(last)}"

    grades = read_grades(reply(DRAFT, GRADES), "ABC")
    ranking = read_ranking(reply(DRAFT_RANKING, RANKING), "ABC")

    assert (grades.grades, grades.reason) == ((1, 9, 5), "The blue one.")
    assert (ranking.order, ranking.reason) == ((1, 2, 0), "The blue one.")


@pytest.mark.parametrize(("begin", "end"), THOUGHTS.values(), ids=THOUGHTS)
@pytest.mark.parametrize("seed", range(5))
def test_thoughts_do_not_change_what_is_read(begin: str, end: str, seed: int) -> None:
    chance = random.Random(seed)
    labels = "ABCDEFGH"[: chance.randint(2, 8)]

    def grade() -> dict[str, object]:
        return {label: chance.randint(0, 10) for label in labels} | {"reason": str(chance.random())}

    answer = chance.choice(
        [
            json.dumps(grade()),
            json.dumps([{"id": label, "grade": chance.randint(0, 10)} for label in labels]),
            "\n".join(f"{label}: {chance.randint(0, 10)}" for label in labels),
            "\n".join(json.dumps({label: chance.randint(0, 10)}) for label in labels),
        ]
    )
    drafts = " ".join(json.dumps(grade()) for _ in range(chance.randint(1, 4)))

    assert read_grades(f"{begin}{drafts}{end}{answer}", labels) == read_grades(answer, labels)


@pytest.mark.parametrize(
    "reply",
    [
        f"<think>Perhaps {DRAFT}",
        f"<think>Perhaps {DRAFT} or not, because",
        f"[THINK]\n{DRAFT}\nBut wait, B",
        f"<|channel|>analysis<|message|>{DRAFT} or",
        f"analysisLet me see: {DRAFT}",
        f"<think>{DRAFT}</think>",
        f"<think>{DRAFT}</think><think>A: 10, B: 3",
        "<think>A: 10, B: 0, C: 5. So A is",
        "◁think▷ A > B > C",
    ],
)
def test_an_unfinished_thought_says_nothing(reply: str) -> None:
    for found in (read_grades(reply, "ABC"), read_ranking(reply, "ABC")):
        assert (found.order, found.reason) == ((0, 1, 2), "")
        assert found.repairs >= 3
    assert read_grades(reply, "ABC").grades == (None, None, None)
    assert read_sentence(reply) == ""


@pytest.mark.parametrize("wrap", [WRAPPERS["bare"], WRAPPERS["a fence"], WRAPPERS["an end token"]])
def test_an_answer_at_the_end_of_a_thought_without_an_end_counts(
    wrap: Callable[[str], str],
) -> None:
    reply = f"<think>Perhaps {DRAFT}? No: B.\n\n{wrap(GRADES)}"

    assert read_grades(reply, "ABC").grades == (1, 9, 5)


def test_a_reply_cut_at_its_limit_has_no_answer_in_its_thought() -> None:
    assert find_answer(f"<think>Hm.\n{GRADES}", cut=True) == ""
    assert find_answer(f"<think>Hm.</think>{GRADES}", cut=True) == GRADES


@pytest.mark.parametrize(
    "cut", ['{"A": 9, "B', '{"A": 9, "B": 0, "C": 2, "rea', "A: 9, B", "```json\n{"]
)
def test_an_unfinished_answer_does_not_replace_a_finished_one(cut: str) -> None:
    found = read_grades(f"{GRADES}\nOr rather: {cut}", "ABC")

    assert (found.grades, found.reason) == ((1, 9, 5), "The blue one.")


def test_an_unfinished_ranking_does_not_replace_a_finished_one() -> None:
    found = read_ranking(f'{RANKING}\nOr rather: {{"ranking": ["A", "C"', "ABC")

    assert (found.order, found.reason) == ((1, 2, 0), "The blue one.")


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("It is red. It also has", "It is red."),
        ("because it", ""),
        ("It is 9.5 cm wide and", ""),
        ('It is "red." And', 'It is "red."'),
    ],
)
def test_of_a_reason_that_was_cut_the_finished_sentences_are_shown(said: str, shown: str) -> None:
    cut = json.dumps({"A": 1, "B": 9, "reason": said}).removesuffix('"}')

    assert read_grades(cut, "AB").reason == shown


def test_prose_counts_by_its_last_complete_answer() -> None:
    drafted = "A: 9, B: 1, C: 2. Hmm, wait. A: 1, B: 9, C: 5. Reason: It is blue."
    ranked = "At first A > B > C. On reflection: B > C > A. Reason: It is blue."

    assert read_grades(drafted, "ABC").grades == (1, 9, 5)
    assert read_ranking(ranked, "ABC").order == (1, 2, 0)
    assert read_grades(drafted, "ABC").reason == read_ranking(ranked, "ABC").reason == "It is blue."


def test_the_last_of_several_answers_in_one_object_counts() -> None:
    reply = f'{{"draft": {DRAFT}, "final": {GRADES}}}'

    assert read_grades(reply, "ABC").grades == (1, 9, 5)
    assert read_grades(reply, "ABC").reason == "The blue one."


def test_one_object_per_line_is_one_answer() -> None:
    lines = [{"id": "A", "grade": 1}, {"id": "B", "grade": 9, "reason": "Blue."}, {"C": 5}]

    found = read_grades("\n".join(map(json.dumps, lines)), "ABC")

    assert (found.grades, found.reason) == ((1, 9, 5), "Blue.")


def test_a_long_thought_does_not_hide_the_answer() -> None:
    thought = f"<think>{'Hm, {A or [B? ' * 60_000}</think>"

    assert len(thought) > HEARD
    assert read_grades(thought + GRADES, "ABC").grades == (1, 9, 5)
    assert read_grades("Hm, {A or [B? " * 60_000 + GRADES, "ABC").grades == (1, 9, 5)


TOKENS = (
    "<|end|>",
    "<|im_end|>",
    "</s>",
    "<end_of_turn>",
    "<|eot_id|>",
    "<|endoftext|>",
    "<eos>",
    "[/INST]",
    "<|return|>",
    "<\uff5cend\u2581of\u2581sentence\uff5c>",
    "<turn|>",
    "<|END_OF_TURN_TOKEN|>",
    "<end_of_utterance>",
    "<pad>",
    "<0x0A>",
    "<|image_1|>",
    "[gMASK]",
)


@pytest.mark.parametrize("token", TOKENS)
def test_control_tokens_are_not_shown(token: str) -> None:
    words = "A blue bag <3 for [her] & <him>"

    assert read_sentence(f"{words}.{token}") == f"{words}."
    assert read_sentence(f"{token}{words}.{token}{token}") == f"{words}."
    reply = json.dumps({"A": 1, "B": 9, "reason": f"{words}.{token}"})
    assert read_grades(reply, "AB").reason == f"{words}."
    assert read_grades(f"A: 1\nB: 9\nReason: {words}.{token}", "AB").reason == f"{words}."
    reply = json.dumps({"ranking": ["B", "A"], "reason": f"{words}.{token}"})
    assert read_ranking(reply, "AB").reason == f"{words}."


def test_what_follows_the_end_of_a_turn_is_not_shown() -> None:
    assert read_sentence("A blue bag.<|im_end|>\n<|im_start|>user\nThanks!") == "A blue bag."
    assert read_sentence("<|im_start|>assistant\nA blue bag.<|im_end|>") == "A blue bag."
    assert (
        read_sentence("<|start_header_id|>assistant<|end_header_id|>\n\nA bag.<|eot_id|>")
        == "A bag."
    )


@pytest.mark.parametrize(
    "words",
    [
        "Pads and masks: [mask] size <M>, 3 < 4 > 2",
        "Thinking of you: an analysis of think tanks",
        "The answer is <b>blue</b> | red",
        "Analysis of the end user's draft",
        "[Think] of it as [draft] art",
    ],
)
def test_plain_words_are_kept(words: str) -> None:
    assert read_sentence(words) == words
