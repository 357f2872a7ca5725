"""Tokens that a grammar allows, and models that are constrained to them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from mmsearch_app.inference.content import ModelFailed
from mmsearch_app.rerankers.replies.grammar import Choice, Grammar, Permutation, Text, exactly
from mmsearch_app.rerankers.replies.schemas import (
    REASON_BYTES,
    grades_form,
    labels_for,
    ranking_form,
)
from mmsearch_app.rerankers.vlm import Prompt

torch = pytest.importorskip("torch", reason="the models need torch")

FORMS = {"grades": grades_form, "ranking": ranking_form}
VOCABULARY = (
    '{"', '": ', ', "', '"]', '", "', '["', '{"ranking": ["', "10", '0, "', '1, "', '"A": ',
    '"B": 1', 'A", "B', '"reason": "', '"}', '."}', " {", ' {"A', "the", " red", "é", "ü",
)  # fmt: skip


def make_tokenizer() -> Any:
    """A byte-level tokenizer with tokens that span several parts of a reply."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    spelled = [level.pre_tokenize_str(word)[0][0] for word in VOCABULARY]
    ids = {
        word: place for place, word in enumerate(["<end>", *dict.fromkeys([*letters, *spelled])])
    }
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=[]))
    tokenizer.pre_tokenizer = level
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")


@pytest.fixture(scope="module")
def vocabulary() -> Any:
    from mmsearch_app.rerankers.replies.constraints import Vocabulary

    return Vocabulary(make_tokenizer().backend_tokenizer)


def constrain(grammar: Grammar, vocabulary: Any) -> Any:
    """A logits processor for replies that end with the id 0."""
    from mmsearch_app.rerankers.local_network import Constraint, PlacedTokens
    from mmsearch_app.rerankers.replies.constraints import Tracker

    return Constraint(Tracker(grammar, vocabulary, [0]), PlacedTokens())


def walk(vocabulary: Any, grammar: Grammar, chance: random.Random) -> bytes:
    """Append random allowed tokens until the reply is complete."""
    state, written = grammar.start, b""
    while not grammar.done(state):
        token = chance.choice(vocabulary.allowed(grammar, state).ids.tolist())
        following = grammar.read(vocabulary.pieces[token], state)
        assert following is not None
        state, written = following, written + vocabulary.pieces[token]
    return written


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("name", FORMS)
def test_any_sequence_of_allowed_tokens_ends_in_a_complete_reply(
    vocabulary: Any, name: str, seed: int
) -> None:
    chance = random.Random(seed)
    count = chance.choice([1, 2, 5, 9, 12, 20, 26])
    form = FORMS[name](count)

    written = walk(vocabulary, form.grammar, chance)

    reply = json.loads(written.decode())
    assert len(written) <= form.grammar.longest
    assert list(reply) == form.schema["required"]
    if name == "grades":
        assert all(reply[label] in range(11) for label in labels_for(count))
    else:
        assert sorted(reply["ranking"]) == list(labels_for(count))


def test_allowed_tokens_are_exactly_those_the_grammar_accepts(vocabulary: Any) -> None:
    """Compared with trying every token, for the prefixes of some replies."""
    grammar = Grammar([exactly('{"A": '), Choice((b"1", b"10")), exactly(', "r": "'), Text(40)])
    for reply in (b'{"A": 10, "r": "red', '{"A": 1, "r": "é'.encode()):
        state = grammar.start
        for byte in reply:
            tried = {
                token
                for token, piece in vocabulary.pieces.items()
                if grammar.read(piece, state) is not None
            }
            assert set(vocabulary.allowed(grammar, state).ids.tolist()) == tried
            following = grammar.advance(state, byte)
            assert following is not None
            state = following


def test_a_token_may_span_several_parts_of_a_reply(vocabulary: Any) -> None:
    grammar = grades_form(2).grammar
    state = grammar.read(b'{"A": 1')
    assert state is not None

    allowed = {vocabulary.pieces[t] for t in vocabulary.allowed(grammar, state).ids.tolist()}

    assert allowed == {b"0", b",", b', "', b'0, "'}


def test_a_permutation_contains_no_label_twice() -> None:
    grammar = Grammar([Permutation("ABC")])

    assert grammar.read(b'"B", "A", "C"') is not None
    assert grammar.read(b'"B", "B') is None
    assert grammar.read(b'"B", "A", "D') is None


@pytest.mark.parametrize("spoiled", [float("nan"), float("-inf"), float("inf")])
def test_nan_logits_still_select_an_allowed_token(vocabulary: Any, spoiled: float) -> None:
    form = grades_form(2)
    held = constrain(form.grammar, vocabulary)

    scores = held(torch.tensor([[5, 6]]), torch.full((1, 400), spoiled))

    allowed = vocabulary.allowed(form.grammar, form.grammar.start).ids
    assert torch.isfinite(scores[0, allowed]).all()
    assert int(torch.isfinite(scores).sum()) == len(allowed)


def test_a_complete_reply_can_only_end(vocabulary: Any) -> None:
    form = grades_form(1)
    ids = {piece: token for token, piece in vocabulary.pieces.items()}
    reply = b'{"A": 3, "reason": ""}'
    prompt, written = [[7]], [[7, *(ids[bytes([byte])] for byte in reply)]]
    held = constrain(form.grammar, vocabulary)
    held(torch.tensor(prompt), torch.zeros(1, 400))

    scores = held(torch.tensor(written), torch.zeros(1, 400))

    assert torch.isfinite(scores[0]).nonzero().tolist() == [[0]]


def test_rows_of_a_batch_are_constrained_independently(load: Callable[..., Any]) -> None:
    model = load("idefics3", temperature=2.0, batch_size=3)
    prompts = [Prompt(parts=(words,)) for words in ("red", "a blue bag", "x" * 200)]

    replies = model.generate(prompts, max_tokens=600, form=ranking_form(6))

    for reply in replies:
        assert sorted(json.loads(reply)["ranking"]) == list("ABCDEF")


def test_a_reason_is_valid_text_within_its_limit(load: Callable[..., Any]) -> None:
    model = load("idefics3", temperature=5.0)

    replies = model.generate([Prompt(parts=("Why?",))] * 2, max_tokens=600, form=grades_form(2))

    for reply in replies:
        reason = json.loads(reply)["reason"]
        assert "\ufffd" not in reason
        assert len(reason.encode()) <= REASON_BYTES


def test_allowed_tokens_are_cached_on_the_models_device(vocabulary: Any) -> None:
    from mmsearch_app.rerankers.local_network import PlacedTokens

    grammar, device, placed = grades_form(2).grammar, torch.device("meta"), PlacedTokens()
    state = grammar.read(b'{"A": 1, "B": 2, "reason": "')

    found = placed.on(device, vocabulary.allowed(grammar, state))

    assert found.device == device
    assert placed.on(device, vocabulary.allowed(grammar, state)) is found
    assert placed.on(device, vocabulary.allowed(grammar, state, size=9)).shape != found.shape


def test_tokens_beyond_what_a_model_scores_are_not_allowed(vocabulary: Any) -> None:
    grammar = grades_form(2).grammar
    state = grammar.read(b'{"A": 1, "B": 2, "reason": "')
    every = vocabulary.allowed(grammar, state).ids.tolist()

    few = vocabulary.allowed(grammar, state, size=max(every)).ids.tolist()

    assert set(every) - set(few) == {max(every)}


def test_a_tokenizer_whose_bytes_are_unknown_is_refused() -> None:
    from types import SimpleNamespace

    from transformers import CanineTokenizer

    from mmsearch_app.rerankers.local_network import LoadedModel

    slow = SimpleNamespace(tokenizer=CanineTokenizer())
    with pytest.raises(ModelFailed, match=r"CanineTokenizer is not a fast tokenizer: .*tokenizer"):
        LoadedModel(None, slow, device=torch.device("cpu"), temperature=0)


def test_a_tokenizer_that_cannot_write_the_reply_is_named() -> None:
    from tokenizers import Tokenizer, models

    from mmsearch_app.rerankers.replies.constraints import Vocabulary

    poor = Tokenizer(models.WordLevel({"<end>": 0, "hello": 1}, unk_token="<end>"))
    held = constrain(grades_form(2).grammar, Vocabulary(poor, control=[0]))

    with pytest.raises(ValueError, match="has no token that goes on"):
        held(torch.tensor([[1]]), torch.zeros(1, 2))
