"""Finding what a model answers in what it writes: without its thoughts and control tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

HEARD = 400_000
"""Characters of a reply that are looked at: its last ones, since thoughts come first."""
ATTEMPTS = 256
"""How many opening brackets, from the end of a text, may begin a JSON value."""

_THOUGHTS = (
    "think|thinking|thoughts?|thought_process|reasoning|analysis|reflection|scratchpad|draft|"
    "planning|monologue|inner_monologue|chain_of_thought|cot|longcat_think"
)
_MARK = re.compile(
    rf"""
      [<◁]\|?(?P<end>/?)(?:\w{{1,20}}:)?(?:{_THOUGHTS})(?:\s[^<>◁▷]{{0,80}})?\|?[>▷]
    | (?-i:\[(?P<bracket>/?)(?:THINK|THINKING|THOUGHT|REASONING)\])
    | <\|(?:(?:begin|start)_of_|start_)(?:thought|thinking|think|reasoning)\|>
    | (?P<over><\|(?:end_of_|end_)(?:thought|thinking|think|reasoning)\|>)
    | <\|inner_prefix\|> | (?P<outer><\|inner_suffix\|>)
    | <unused94> | (?P<used><unused95>)
    | <\|channel\|?>\s{{0,9}}(?P<channel>\w{{1,20}})[^<\n]{{0,80}}(?:<\|message\|>)?
    | (?P<closed><channel\|>)
    | (?-i:\A\s{{0,9}}(?:analysis|commentary)(?=[A-Z{{\[]))
    | (?-i:(?P<skipped>assistantfinal))
    | \bhere(?:\x20is|['’]s)\x20my\x20(?:thought\x20process|thinking|reasoning)\s{{0,3}}:
    | (?P<said>\bhere(?:\x20is|['’]s)\x20my\x20(?:final\x20)?(?:response|answer)\s{{0,3}}:)
    """,
    re.I | re.X,
)
"""Where a thought begins or ends: tags of Qwen, DeepSeek, Magistral, Kimi, Seed, MiniMax,
OpenThinker, Command A, Apertus, MedGemma; channels of gpt-oss ("harmony"), also without its
control tokens, and of Gemma 4; headings of Granite."""
_ENDS = ("end", "bracket", "over", "outer", "used", "closed", "skipped", "said")
_FINAL = ("final", "answer", "response", "output")
"""Names of the channel that the user sees."""
_ANSWER = re.compile(r"<(/?)(?:answer|final_answer|solution|response|output)>", re.I)
_BOX = re.compile(r"<\|(?:begin|end)_of_(?:box|solution)\|>", re.I)
_BEHIND = re.compile(r"(?:\s|```|<[^<>\s]{1,40}>)*")
"""What may follow the last JSON value of a reply: the end of its fence, control tokens."""

_TURN_END = re.compile(
    r"<[|｜](?:end|im_end|eot_id|eom_id|eot|endoftext|end_of_text|end[_▁]of[_▁]sentence"
    r"|end_of_turn|return|call|user|user_end|assistant_end)[|｜]>|</s>|<eos>|<end_of_turn>|<turn\|>"
    r"|<end_of_utterance>|<\|END_OF_TURN_TOKEN\|>|\[EOS\]|\[e~\[",
    re.I,
)
"""Tokens that end a model's turn; what follows belongs to another one."""
_TOKEN = re.compile(
    r"(?:<\|im_start\|>|<\|start\|>|<start_of_turn>|<\|turn>)(?:assistant|model)\b"
    r"|<\|start_header_id\|>\w{1,24}<\|end_header_id\|>"
    r"|<[|｜][^<>|｜\s]{1,48}[|｜]>|<[|｜]\w{1,24}>|<\w{1,24}[|｜]>"
    r"|</?(?:s|eos|bos|pad|unk|mask|sep|cls|eot|eop|eod|eom|endoftext|end_of_text|begin_of_text"
    r"|start_of_turn|end_of_turn|end_of_utterance|start_of_image|end_of_image|image_soft_token"
    r"|fake_token_around_image|global-img|image|video|audio|unused\d{1,4}|extra_id_\d{1,4}"
    r"|reserved_\d{1,4}|0x[0-9a-f]{2}|row_\d{1,2}_col_\d{1,2})>"
    r"|\[/?INST\]|\[/?SYSTEM_PROMPT\]|<</?SYS>>|\[/?(?:AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]"
    r"|(?-i:\[(?:BOS|EOS|PAD|SEP|CLS|UNK|MASK|gMASK|sMASK|IMG|IMG_BREAK|IMG_END|EOT)\])"
    r"|◁[^◁▷\s]{1,24}▷",
    re.I,
)
"""Control tokens of the families that this package knows, as text."""


def find_answer(reply: str, *, cut: bool = False) -> str:
    """Return what the model says after its thoughts; "" if there are only thoughts.

    If a thought began in the prompt, only its end is in the reply. A thought that never ends says
    nothing, unless the reply ends with a JSON value on lines of its own: some models leave the
    mark out. `cut` says that the reply was cut at the limit of its tokens.
    """
    text = reply[-HEARD:]
    kept: list[str] = []
    place, thinking = 0, False
    for mark in _MARK.finditer(text):
        ends = _is_end(mark)
        if ends and not thinking:
            kept.clear()  # the thought began in the prompt
        elif not thinking:
            kept.append(text[place : mark.start()])
        thinking = not ends
        place = mark.end()
    rest = text[place:]
    if thinking:
        rest = "" if cut else _closing_json(rest)
    return _unwrap("".join([*kept, rest])).strip()


def _is_end(mark: re.Match[str]) -> bool:
    if mark["channel"]:
        return mark["channel"].lower() in _FINAL
    return any(mark[name] for name in _ENDS)


def _unwrap(text: str) -> str:
    """What stands in the last answer's tags, if there are any."""
    text = _BOX.sub("", text)
    marks = list(_ANSWER.finditer(text))
    opening = [mark for mark in marks if not mark[1]]
    if not opening:
        return _ANSWER.sub("", text)
    begin = opening[-1].end()
    closing = (mark.start() for mark in marks if mark[1] and mark.start() >= begin)
    return text[begin : next(closing, len(text))]


def _closing_json(text: str) -> str:
    """The JSON value with which a text ends, if it begins a line; else ""."""
    for begin, value_end, _ in decode(text, "{["):
        line = text[text.rfind("\n", 0, begin) + 1 : begin]
        if not line.strip() and _BEHIND.fullmatch(text, value_end):
            return text[begin:]
    return ""


_DECODER = json.JSONDecoder(object_pairs_hook=tuple)
"""An object becomes a tuple of pairs, so that repeated keys are kept; a list stays a list."""


def decode(text: str, marks: str) -> Iterator[tuple[int, int, object]]:
    """Yield begin, end and value of each JSON value that begins with one of the marks.

    From left to right, values inside values too. An object is a tuple of its pairs. Of many
    brackets the last `ATTEMPTS` are tried.
    """
    begins = [place for place, letter in enumerate(text) if letter in marks]
    for begin in begins[-ATTEMPTS:]:
        try:
            value, end = _DECODER.raw_decode(text, begin)
        except (ValueError, RecursionError):
            continue
        yield begin, end, value


def drop_tokens(words: str) -> str:
    """Return a model's words without its control tokens, up to the one that ends its turn."""
    turns = (_TOKEN.sub(" ", turn) for turn in _TURN_END.split(words))
    return next((turn for turn in turns if turn.strip()), "")
