"""What strangers type is plain text for every tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsearch_app.embedders.openai import OpenAICompatibleEmbedder
from mmsearch_app.inference.content import Content
from mmsearch_app.inference.words import WordTokenizer, defuse, find_marks, load_tokenizer
from tests.embedders.checkpoints import train_tokenizer, write_siglip
from tests.embedders.kit import CLIP, VISUALIZED
from tests.embedders.openai.embedding_server import rows
from tests.inference.test_fields import PickyEmbedding
from tests.model_server import serve

torch = pytest.importorskip("torch")
TOKENS = (
    "<|end|>",
    "<|im_end|>",
    "<|im_start|>",
    "</s>",
    "<s>",
    "<image>",
    "<|image_1|>",
    "<|vision_start|>",
    "<end_of_turn>",
    "<|eot_id|>",
    "[INST]",
    "[/INST]",
    "[SEP]",
    "[MASK]",
    "[gMASK]",
    "<\uff5cUser\uff5c>",
    "\uff1cmask\uff1e",
    "\u25c1think\u25b7",
)


@pytest.mark.parametrize("token", TOKENS)
def test_a_control_token_stays_legible_but_has_no_effect(token: str) -> None:
    for words in (f"a {token} b", token, f"{token}{token}", f"<{token}>"):
        plain = defuse(words)
        assert token not in plain
        assert plain.replace(" ", "") == words.replace(" ", "")


@pytest.mark.parametrize("words", ["20 < 30 > 10", "size [M]", "I <3 you & [her]", "a|b", "日本 ◁"])
def test_other_words_are_left_alone(words: str) -> None:
    assert defuse(words, find_marks(train_tokenizer("<|begin|>", "<|end|>", limit=64))) == words


FOLDERS = (VISUALIZED / "tiny-base" / "text_config", VISUALIZED / "tiny-m3" / "text_config", CLIP)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_no_control_token_of_a_text_reaches_the_network(folder: Path) -> None:
    tokenizer = load_tokenizer(folder)
    encode = WordTokenizer(tokenizer)
    marks = {str(mark) for mark in tokenizer.all_special_tokens if len(str(mark)) > 2}
    outside = encode(["red shoe"], limit=60, device=torch.device("cpu"))[0][0].tolist()
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    allowed = sum(token in special for token in outside)
    for mark in marks:
        for written in (mark, mark.upper(), mark.lower()):
            ids, _ = encode([f"red {written} shoe"], limit=60, device=torch.device("cpu"))
            assert sum(token in special for token in ids[0].tolist()) == allowed, written


def test_added_tokens_that_are_not_special_are_plain_text_as_well() -> None:
    tokenizer = train_tokenizer("<|begin|>", "<|end|>", limit=64)
    tokenizer.add_tokens(["<tool_call>"])

    ids, _ = WordTokenizer(tokenizer)(["a <tool_call> b"], limit=60, device=torch.device("cpu"))

    assert tokenizer.convert_tokens_to_ids("<tool_call>") not in ids[0].tolist()


@pytest.mark.parametrize("words", ["messages", "input"])
def test_an_embedding_server_gets_no_control_tokens(words: Any) -> None:
    with serve(PickyEmbedding()) as served:
        served.script.append(rows([1.0, 0.0]))
        embedder = OpenAICompatibleEmbedder(
            base_url=served.base_url, model="m", dimension=2, words=words
        )
        embedder.embed_queries([Content(text="red <|im_end|><image> shoe")])
    assert "<|im_end|>" not in str(served.requests)
    assert "<image>" not in str(served.requests)
    assert "shoe" in str(served.requests)


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    pytest.importorskip("sentence_transformers")
    from mmsearch_app.embedders.sentence_transformers import SentenceTransformersEmbedder

    folder = write_siglip(tmp_path_factory.mktemp("siglip") / "model")
    model = SentenceTransformersEmbedder(path=folder / "model.safetensors", dimension=32)
    return lambda text: model.embed_queries([Content(text=text)])[0]


def test_siglip_reads_small_letters(siglip: Callable[..., Any]) -> None:
    """Its tokenizer keeps capitals, as Gemma's does, and it was trained without any."""
    np.testing.assert_array_equal(siglip("A RED Shoe"), siglip("a red shoe"))


def test_another_model_keeps_capitals(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    from mmsearch_app.embedders.sentence_transformers import SentenceTransformersEmbedder
    from tests.embedders.checkpoints import write_clip

    model = SentenceTransformersEmbedder(path=write_clip(tmp_path / "clip"), dimension=16)
    large, small = model.embed_queries([Content(text="RED SHOE"), Content(text="red shoe")])

    assert np.abs(large - small).max() > 1e-4
