"""The options of `VisionReranker`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from mmsearch_app.backends import _build
from mmsearch_app.conf import Part
from mmsearch_app.inference.content import Content
from mmsearch_app.rerankers.llvm import VisionReranker
from mmsearch_app.rerankers.models import VLM_PRESETS
from tests.rerankers.scripted import Scripted


def test_every_option_that_changes_a_reply_changes_the_fingerprint() -> None:
    options: Sequence[dict[str, Any]] = [
        {},
        {"mode": "listwise"},
        {"window": 5},
        {"caption": True},
        {"language": "German"},
        {"layout": "gemma3"},
        {"rounds": 2},
        {"good": 4},
        {"reason": False},
    ]

    made = [VisionReranker(model=Scripted(), **chosen).fingerprint for chosen in options]

    assert len(set(made)) == len(options)
    assert made[0] == VisionReranker(model=Scripted()).fingerprint


@pytest.mark.parametrize("name", VLM_PRESETS)
def test_presets_need_only_their_name(name: str) -> None:
    reranker = VisionReranker(preset=name)

    assert VLM_PRESETS[name].repository in reranker.fingerprint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "gpt"}, "preset must be one of .*phi3-vision.*, not 'gpt'"),
        ({"mode": "best"}, "mode must be one of .*grades.*, not 'best'"),
        ({"layout": "round"}, "layout must be one of .*generic.*, not 'round'"),
        ({"window": 1}, "window must be from 2 to 24"),
        ({"window": 25}, "window must be from 2 to 24"),
        ({"rounds": 0}, "rounds must be at least 1"),
        ({"good": 4, "mode": "letters"}, "good needs grades"),
    ],
)
def test_wrong_options_are_refused_and_the_right_ones_are_named(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        VisionReranker(**({"model": Scripted()} | options))


def test_a_model_class_may_be_a_dotted_path() -> None:
    model = {"BACKEND": "tests.rerankers.scripted.Scripted", "OPTIONS": {"reply": "{}"}}

    assert isinstance(VisionReranker(model=model).model, Scripted)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"BACKEND": "shop.nothing.Model"}, r"model\['BACKEND'\] = 'shop.nothing.Model' cannot be"),
        ({"BACKEND": "tests.rerankers.scripted.Nobody"}, "cannot be imported: .*Nobody"),
        ({"BACKEND": "Scripted"}, "cannot be imported"),
        ({"OPTIONS": {"api_key": "sk-1"}}, "BACKEND .a dotted path.*not one with OPTIONS"),
        ({"BACKEND": "tests.rerankers.scripted.Scripted", "OPTIONS": "sk-1"}, "OPTIONS .a dict"),
        ({"BACKEND": "tests.rerankers.scripted.Scripted", "KEY": "sk-1"}, "BACKEND, KEY"),
    ],
)
def test_a_model_class_that_cannot_be_imported_is_named_with_its_setting(
    model: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        VisionReranker(model=model)
    assert "sk-1" not in str(caught.value)


def test_it_is_reported_as_an_error_of_the_setting() -> None:
    part = Part(
        BACKEND="mmsearch_app.rerankers.llvm.VisionReranker",
        OPTIONS={"model": {"BACKEND": "shop.nothing.Model"}},
    )
    with pytest.raises(ImproperlyConfigured, match=r"MMSEARCH\['RERANKER'\].*model\['BACKEND'\]"):
        _build("RERANKER", part)


def test_a_preset_fills_in_the_options_of_a_local_model(tmp_path: Path) -> None:
    backend = "mmsearch_app.rerankers.local.LocalVLM"
    known = VLM_PRESETS["idefics3"]

    def reach(**options: Any) -> Any:
        model = {"BACKEND": backend, "OPTIONS": options}
        return VisionReranker(preset="idefics3", model=model).model

    assert reach(path=tmp_path).processing == known.processing
    assert reach(path=tmp_path, processing={"size": 1}).processing == {"size": 1}
    assert reach().release.repository == known.repository
    assert reach(model="shop/own").release.repository == "shop/own"


def test_a_misspelt_option_is_refused() -> None:
    with pytest.raises(TypeError, match="langauge"):
        VisionReranker(model=Scripted(), langauge="German")
    with pytest.raises(TypeError, match="langauge"):
        VisionReranker(preset="idefics3", langauge="German")


def test_a_preset_reaches_a_model_behind_a_server() -> None:
    server = {
        "BACKEND": "mmsearch_app.rerankers.chat.ChatVLM",
        "OPTIONS": {"base_url": "http://127.0.0.1:1/v1"},
    }
    named = VisionReranker(preset="phi3-vision", model=server)
    assert "Phi-3-vision" in named.model.fingerprint


@pytest.mark.parametrize("preset", VLM_PRESETS)
def test_every_preset_names_a_commit_for_its_own_model_alone(preset: str) -> None:
    pinned: Any = VisionReranker(preset=preset).model
    other: Any = VisionReranker(preset=preset, model="shop/model").model
    chosen: Any = VisionReranker(preset=preset, revision="abc").model

    assert re.fullmatch(r"[0-9a-f]{40}", pinned.release.revision)
    assert (other.release.revision, chosen.release.revision) == ("main", "abc")


def test_a_trained_reranker_is_asked_in_the_form_of_its_authors() -> None:
    model = Scripted("", scorer=lambda prompt, word: 0.0)
    reranker = VisionReranker(model=model, mode="trained-pairs", reason=False)

    reranker.rerank(Content(text="red bag"), [Content(text="bag"), Content(text=" ")])

    system = (
        "Judge whether the Document meets the requirements based on the Query and the Instruct "
        'provided. Note that the answer can only be "yes" or "no".'
    )
    assert {prompt.system for prompt in model.asked} == {system}
    ends = [prompt.parts[1:] for prompt in model.asked]
    assert ends == [
        ("<Query>:", "red bag", "\n<Document>:", "bag"),
        ("<Query>:", "red bag", "\n<Document>:", "NULL"),
    ]
