"""Prompts are written as transformers writes them, and templates can do no harm."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmsearch_app.inference import InvalidWeights, MissingWeights, ModelFailed
from mmsearch_app.rerankers.idefics3.chat import ChatWriter, compile_template, read_tokenizer_file
from mmsearch_app.rerankers.idefics3.files import read_settings
from mmsearch_app.rerankers.idefics3.pictures import TileGrid

MESSAGES = [
    {"role": "system", "content": [{"type": "text", "text": "Judge."}]},
    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "a red bag"}]},
]
TEMPLATES = {
    "blocks": "{% for m in messages %}\n  {% if true %}\n{{ m.role }}\n  {% endif %}\n{% endfor %}",
    "break": "{% for m in messages %}{{ m.role }}{% break %}{% endfor %}",
    "json": "{{ messages | tojson }}{{ messages[0] | tojson(indent=2) }}",
    "tokens": "{{ bos_token }}{{ eos_token }}{{ add_generation_prompt }}{{ tools is none }}",
    "namespace": "{% set n = namespace(x=1) %}{% set n.x = 2 %}{{ n.x }}",
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_are_rendered_as_by_transformers(name: str) -> None:
    from transformers.utils import chat_template_utils

    theirs: Any = chat_template_utils.render_jinja_template
    named = {"bos_token": "<s>", "eos_token": "</s>"}
    expected, _ = theirs(
        conversations=[MESSAGES], chat_template=TEMPLATES[name], add_generation_prompt=True, **named
    )

    found = compile_template(TEMPLATES[name])(
        messages=MESSAGES, tools=None, documents=None, add_generation_prompt=True, **named
    )

    assert [found] == expected


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('only one turn') }}",
        "{{ messages.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ missing.field }}",
    ],
)
def test_a_template_that_fails_or_breaks_out_is_an_error_of_the_model(template: str) -> None:
    with pytest.raises(ModelFailed, match="chat template refuses the prompt"):
        compile_template(template)(messages=MESSAGES)


def test_a_broken_template_is_refused() -> None:
    with pytest.raises(InvalidWeights, match="chat template is broken"):
        compile_template("{% for %}")


def test_special_tokens_are_added_unless_the_template_wrote_them(
    exported: Callable[..., Path], tmp_path: Path
) -> None:
    """As `LocalVLM` does: a prompt begins with one token of a beginning, not with two."""
    folder = copy(exported("plain"), tmp_path)
    path = folder / "tokenizer.json"
    backend = json.loads(path.read_text(encoding="utf-8"))
    special = {"SpecialToken": {"id": "<|begin|>", "type_id": 0}}
    backend["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [special, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [special, {"Sequence": {"id": "A", "type_id": 0}}],
        "special_tokens": {"<|begin|>": {"id": "<|begin|>", "ids": [0], "tokens": ["<|begin|>"]}},
    }
    path.write_text(json.dumps(backend), encoding="utf-8")
    begun = writer(folder).write([MESSAGES[0]], [])
    (folder / "chat_template.jinja").write_text("a bag", encoding="utf-8")
    bare = writer(folder).write([MESSAGES[0]], [])

    assert (begun.count(0), bare.count(0), bare[0]) == (1, 1, 0)


def test_a_template_that_hides_an_image_is_an_error(
    exported: Callable[..., Path], tmp_path: Path
) -> None:
    folder = copy(exported("plain"), tmp_path)
    (folder / "chat_template.jinja").write_text("a bag", encoding="utf-8")

    with pytest.raises(ModelFailed, match=r"writes 0 images of 1: take the template"):
        writer(folder).write(MESSAGES, [TileGrid()])


def test_a_model_without_a_chat_template_is_refused(
    exported: Callable[..., Path], tmp_path: Path
) -> None:
    folder = copy(exported("tiled"), tmp_path)
    (folder / "chat_template.json").unlink()

    with pytest.raises(MissingWeights, match="has no chat template"):
        read_settings(folder)


def test_the_default_of_several_templates_is_taken(
    exported: Callable[..., Path], tmp_path: Path
) -> None:
    folder = copy(exported("tiled"), tmp_path)
    (folder / "chat_template.json").unlink()
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    named = [{"name": "tools", "template": "b"}, {"name": "default", "template": "a"}]
    path.write_text(json.dumps(config | {"chat_template": named}), encoding="utf-8")

    assert read_settings(folder).template == "a"


def test_a_tokenizer_without_a_token_for_images_is_refused(
    exported: Callable[..., Path], tmp_path: Path
) -> None:
    folder = copy(exported("plain"), tmp_path)
    change(folder, image_token_id=99999)

    with pytest.raises(InvalidWeights, match=r"has no token 99999, which stands for images"):
        writer(folder)


def copy(folder: Path, to: Path) -> Path:
    """A copy whose files can be changed."""
    return Path(shutil.copytree(folder, to / "model"))


def change(folder: Path, **config: Any) -> None:
    """Replace keys of `config.json`."""
    path = folder / "config.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(found | config), encoding="utf-8")


def writer(folder: Path) -> ChatWriter:
    return ChatWriter(read_tokenizer_file(folder), read_settings(folder))
