"""The tokenizer: one token for each fixed sentence of the prompts, and for each common word.

The sentences of the prompts are long and always the same, so that a model of this size would
spend nearly all of its time on them. As tokens of their own they cost one step each.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from example_shop.llvm.network import BEGIN, END, LONGEST, MARKS, PAD
from mmsearch_app.rerankers.replies.schemas import LABELS

_CLAUSE = re.compile(r"[^\n]+?(?:[.?!:;,](?=[ \n])|$)")
"""A part of a line up to a mark that ends a clause."""
_WORD = r" ?[A-Za-z]+(?:-[A-Za-z]+)*| ?[0-9]{1,2}|\s+| ?[^\sA-Za-z0-9]+"
SHORTEST = 12
"""Characters: a shorter clause is read word by word."""
COMMON = 0.2
"""A line in a larger share of the prompts is one token; of others, each clause is."""
MERGES = 500
"""Tokens that are parts of words, for words that are not among the frequent ones."""


def build_tokenizer(tasks: Sequence[Sequence[str]], texts: Sequence[str], *, variable: str) -> Any:
    """A tokenizer for transformers.

    `tasks` are the prompts of each task with the text `variable` where visitors' and shops' words
    stand; `texts` are prompts and replies with such words.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    sentences = (piece for prompts in tasks for piece in find_fixed(prompts, variable))
    fixed = sorted({*_glue(), *sentences}, key=lambda text: (-len(text), text))
    pattern = "|".join([*map(re.escape, fixed), _WORD])
    words = Counter(
        piece for text in texts for piece in re.findall(pattern, text) if piece not in set(fixed)
    )
    vocabulary, merges = _learn_merges(words)
    common = sorted(word for word, count in words.items() if count >= 2)
    for piece in (*common, *fixed):
        vocabulary.setdefault(_spell(piece), len(vocabulary))
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(mark, special=True) for mark in MARKS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=LONGEST,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        additional_special_tokens=[mark for mark in MARKS if mark not in {BEGIN, END, PAD}],
    )


def find_fixed(prompts: Sequence[str], variable: str) -> Iterator[str]:
    """Lines, with their ends, that are the same in many prompts, and the clauses of the others."""
    lines = Counter(line for text in prompts for line in set(text.splitlines(keepends=True)))
    for line, count in lines.items():
        pieces = [line] if count >= COMMON * len(prompts) else _CLAUSE.findall(line)
        yield from (p for p in pieces if variable not in p and len(p) >= SHORTEST)


def _glue() -> Iterator[str]:
    """The text around grades in a reply and around titles in a prompt."""
    yield from ("QUERY:", "CANDIDATE:", ', "reason": "', '"}')
    for label in LABELS:
        yield from (f"{label}:", f'{{"{label}": ', f', "{label}": ', f'"; {label}: "')


def _learn_merges(words: Counter[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Byte-pair merges of these words; control tokens have the first ids."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(
        vocab_size=len(MARKS) + 256 + MERGES,
        special_tokens=list(MARKS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_repeat(words), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(pair) for pair in model["merges"]]


def _repeat(words: Counter[str]) -> Iterable[str]:
    for word, count in sorted(words.items()):
        yield from [word] * min(count, 50)


def _spell(piece: str) -> str:
    """The piece in the alphabet of byte-level tokenizers (GPT-2)."""
    from tokenizers import pre_tokenizers

    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return "".join(text for text, _ in splitter.pre_tokenize_str(piece))
