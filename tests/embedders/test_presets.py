"""Every preset of the catalogue works, and matches its entry."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.test import override_settings
from django.utils.module_loading import import_string

from mmsearch_app.backends import build_embedder, get_embedder
from mmsearch_app.conf import get_settings
from mmsearch_app.embedders.base import Embedder
from mmsearch_app.embedders.bge_vl import BGEVL
from mmsearch_app.embedders.presets import PRESETS, find_preset
from mmsearch_app.testing import IN_MEMORY
from tools.tables import render_presets

RUNNABLE = [name for name, preset in PRESETS.items() if preset.extra in ("models", "starter")]


def chosen(value: Any) -> Any:
    return override_settings(MMSEARCH={**IN_MEMORY, "EMBEDDER": value})


def test_a_preset_name_is_a_valid_setting() -> None:
    with chosen("bge-vl-base"):
        embedder = get_embedder()
        assert get_settings().EMBEDDER.PRESET == "bge-vl-base"
    assert isinstance(embedder, BGEVL)
    assert embedder.dimension == 512


def test_options_override_those_of_a_preset() -> None:
    with chosen({"PRESET": "bge-vl-large", "OPTIONS": {"revision": "abc", "dtype": "bfloat16"}}):
        embedder: Any = get_embedder()
    assert embedder.dimension == 768
    assert embedder.dtype == "bfloat16"
    assert "BGE-VL-large@abc" in embedder.fingerprint


@pytest.mark.parametrize("value", ["bge-vl", {"PRESET": "bge-vl"}, {"PRESET": ["starter"]}])
def test_an_unknown_word_is_refused(value: Any) -> None:
    with chosen(value), pytest.raises(ImproperlyConfigured, match=r"MMSEARCH\['EMBEDDER'\]: "):
        get_embedder()


def test_an_unknown_preset_is_answered_with_the_known_ones() -> None:
    with chosen("bge-vl"), pytest.raises(ImproperlyConfigured) as caught:
        get_embedder()
    assert "there is no preset 'bge-vl'" in str(caught.value)
    assert all(name in str(caught.value) for name in PRESETS)


@pytest.mark.parametrize("key", ["INDEX", "RERANKER"])
def test_only_an_embedder_has_presets(key: str) -> None:
    setting = {**IN_MEMORY, key: "starter"}
    with override_settings(MMSEARCH=setting), pytest.raises(ImproperlyConfigured, match="a dict"):
        get_settings()


def test_a_preset_and_a_backend_at_once_are_refused() -> None:
    both = {"PRESET": "starter", "BACKEND": "mmsearch_app.testing.TestingEmbedder"}
    with chosen(both), pytest.raises(ImproperlyConfigured, match="must be a preset's name or"):
        get_settings()


def test_weights_that_cannot_be_downloaded_need_a_path(tmp_path: Path) -> None:
    with chosen("magiclens-base"), pytest.raises(ImproperlyConfigured) as caught:
        get_embedder()
    assert "needs the option 'path'" in str(caught.value)
    assert "gsutil cp" in str(caught.value)
    with chosen({"PRESET": "magiclens-base", "OPTIONS": {"path": tmp_path}}):
        assert get_embedder().dimension == 512


@pytest.mark.parametrize("name", RUNNABLE)
def test_a_preset_makes_an_embedder_of_its_dimension(name: str, tmp_path: Path) -> None:
    preset = PRESETS[name]
    options = {preset.needs: str(tmp_path)} if preset.needs else {}
    embedder: Any = build_embedder({"PRESET": name, "OPTIONS": options})
    assert type(embedder) is import_string(preset.backend)
    assert embedder.dimension == preset.dimension


def test_a_preset_whose_weights_have_a_name_is_an_embedder() -> None:
    assert isinstance(build_embedder("bge-vl-base"), Embedder)


def test_parameters_are_those_of_the_architectures() -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from transformers import CLIPModel

    from mmsearch_app.embedders.magiclens.architecture import MAGICLENS_ARCHITECTURES as LENSES
    from mmsearch_app.embedders.magiclens.network import MagicLensNetwork, configure

    def count(module: Any) -> int:
        return sum(parameter.numel() for parameter in module.parameters())

    with torch.device("meta"):
        for size in ("base", "large"):
            architecture = LENSES[size]
            lens, clip = MagicLensNetwork(architecture), CLIPModel(configure(architecture))
            assert count(lens) == PRESETS[f"magiclens-{size}"].parameters
            assert count(clip) == PRESETS[f"bge-vl-{size}"].parameters


def test_memory_is_four_and_two_bytes_for_each_parameter() -> None:
    assert find_preset("bge-vl-base").memory() == "0.60 / 0.30 GB"
    assert find_preset("visualized-bge-m3").memory() == "3.5 / 1.7 GB"


def test_every_figure_has_a_source() -> None:
    told = [preset.figures for preset in PRESETS.values() if preset.figures]
    assert len(told) == 4
    assert all(re.fullmatch(r"\[.+\]\(https://arxiv\.org/abs/.+\)", f.source) for f in told)


def test_the_tables_have_a_row_for_each_preset() -> None:
    facts, remarks = (table.splitlines() for table in render_presets().split("\n\n"))
    assert len(facts) == len(remarks) == 2 + len(PRESETS)
    (row,) = [row for row in facts if "`bge-vl-base`" in row]
    assert "| 34.3 | 36.1 | 31.9 |" in row
    (row,) = [row for row in remarks if "`bge-vl-base`" in row]
    assert "| MIT: BAAI/BGE-VL-base |" in row


@pytest.mark.django_db
def test_the_live_check_names_the_preset() -> None:
    pytest.importorskip("efficientnet_lite_pytorch", reason="needs mmsearch[starter]")
    output = io.StringIO()
    with chosen("starter"):
        call_command("mmsearch_check", stdout=output)
    (line,) = [line for line in output.getvalue().splitlines() if " embedder " in line]
    assert "starter, Apache-2.0" in line
    assert "0.11 / 0.05 GB" in line


UNKNOWN = {"bge-vl-base", "bge-vl-large", "marqo-ecommerce-b", "marqo-ecommerce-l"}
"""No public source that could be checked names the commits of these."""


def test_every_preset_names_a_commit_if_one_is_known() -> None:
    from mmsearch_app.embedders.runtime import HubEmbedder

    for name, preset in PRESETS.items():
        given = {"path": "x"} if preset.needs else {}
        embedder = import_string(preset.backend)(**given, **preset.options)
        if isinstance(embedder, HubEmbedder):
            pinned = re.fullmatch(r"[0-9a-f]{40}", embedder.release.revision) is not None
            assert pinned == (name not in UNKNOWN), name


def test_qwens_embedder_gets_the_instructions_of_its_authors() -> None:
    options = PRESETS["qwen3-vl-embedding-2b"].options
    assert options["query_prompt"] == "Retrieve images or text relevant to the user's query."
    assert options["document_prompt"] == "Represent the user's input."
