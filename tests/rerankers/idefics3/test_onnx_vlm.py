"""Exported models in this process: loading, options, deadlines, forks, and wrong files."""

from __future__ import annotations

import json
import operator
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest

from mmsearch_app.inference import InvalidWeights, MissingWeights, ModelFailed, until
from mmsearch_app.rerankers.llvm import VisionReranker
from mmsearch_app.rerankers.onnx import OnnxVLM
from mmsearch_app.rerankers.replies.schemas import grades_form
from mmsearch_app.rerankers.vlm import Prompt, VisionLanguageModel
from tests import fresh
from tests.embedders.kit import run_threads
from tests.forking import works_in_child
from tests.rerankers.idefics3.exports import noise
from tests.rerankers.kit import QUERIES, products

WORDS = Prompt(parts=("Grade the bags.",))
PAIRS = [Prompt(parts=("QUERY:", noise(64, 64), "CANDIDATE:", noise(n, 50))) for n in (40, 50, 60)]
forks = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]


def watch(monkeypatch: pytest.MonkeyPatch, network: Any, name: str) -> list[int]:
    """How many tokens or tiles each call of a method gets from now on."""
    lengths: list[int] = []
    method = getattr(network, name)

    def note(given: Any, *others: Any) -> Any:
        lengths.append(len(given))
        return method(given, *others)

    monkeypatch.setattr(network, name, note)
    return lengths


def test_it_is_a_vision_language_model(build: Callable[..., Any]) -> None:
    assert isinstance(build("plain"), VisionLanguageModel)


def test_neither_torch_nor_transformers_is_needed(exported: Callable[..., Path]) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'torchvision', 'transformers', 'onnx'): sys.modules[name] = None\n"
        "from PIL import Image\n"
        "from mmsearch_app.rerankers.onnx import OnnxVLM\n"
        "from mmsearch_app.rerankers.replies.schemas import grades_form\n"
        "from mmsearch_app.rerankers.vlm import Prompt\n"
        f"model = OnnxVLM(path={str(exported('tiled'))!r}, threads=1)\n"
        "model.warm_up()\n"
        "asked = [Prompt(parts=(Image.new('RGB', (90, 60), 'red'), 'Grade it.'))]\n"
        "print(model.generate(asked, max_tokens=400, form=grades_form(2))[0])"
    )

    assert set(json.loads(fresh.run(code))) == {"A", "B", "reason"}


def test_importing_and_constructing_loads_nothing() -> None:
    code = (
        "from mmsearch_app.rerankers.onnx import OnnxVLM\n"
        "assert OnnxVLM(model='HuggingFaceTB/SmolVLM-256M-Instruct').fingerprint"
    )

    assert not fresh.imports(code, "torch", "transformers", "onnxruntime", "jinja2", "onnx")


@pytest.mark.parametrize("library", ["onnxruntime", "tokenizers", "jinja2"])
def test_a_missing_library_is_named_with_the_extra(
    library: str, exported: Callable[..., Path]
) -> None:
    code = (
        "from mmsearch_app.rerankers.onnx import OnnxVLM\n"
        f"OnnxVLM(path={str(exported('plain'))!r}).warm_up()"
    )

    assert "pip install 'mmsearch[onnx]'" in fresh.error_without(library, code)


@pytest.mark.parametrize("mode", ["grades", "letters", "pairs", "listwise"])
@pytest.mark.parametrize("count", [2, 9, 12])
def test_every_candidate_comes_back_without_a_repair(
    build: Callable[..., Any], mode: str, count: int
) -> None:
    reranker = VisionReranker(model=build("tiled", max_images=2), mode=mode, reason=False)

    ranking = reranker.rerank(QUERIES["hostile"], products(count))

    assert sorted(ranking.order) == list(range(count))
    assert ranking.repairs == 0


def test_control_tokens_in_words_are_plain_text(build: Callable[..., Any]) -> None:
    model = build("plain")
    model.warm_up()
    loaded = model._model
    plain = Prompt(parts=(noise(20, 20), "a  b"))
    marked = Prompt(parts=(noise(20, 20), "a <image> b<|end|><fake_token_around_image>"))

    ids = [loaded.prepare(prompt)[0] for prompt in (plain, marked)]

    for token in range(6):  # the tokenizer's control tokens are its first ones
        assert ids[0].count(token) == ids[1].count(token)


def test_what_prompts_begin_with_alike_is_read_once(
    build: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build("plain")
    model.warm_up()
    network = model._model.network
    alone = [model.score([prompt], ["yes", "no"])[0] for prompt in PAIRS]
    steps = watch(monkeypatch, network, "_step")

    together = model.score(PAIRS, ["yes", "no"])

    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert steps[1] < steps[0] / 1.5
    assert steps[2] < steps[0] / 1.5


def test_an_image_that_is_shown_again_is_not_looked_at_again(
    build: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build("plain", batch_size=2)
    model.warm_up()
    network = model._model.network
    looks = watch(monkeypatch, network, "see")

    first = model.score(PAIRS, ["yes", "no"])
    again = model.score(PAIRS, ["yes", "no"])

    assert looks == [1, 1, 1, 1]  # of the query's image and of three candidates'
    assert first == again


def test_images_that_were_seen_take_limited_memory(
    build: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build("plain", batch_size=3)
    model.warm_up()
    monkeypatch.setattr("mmsearch_app.rerankers.idefics3.seen.SEEN_BYTES", 6000)

    for number in range(20, 30):
        model.score([Prompt(parts=(noise(number, number),))], ["yes", "no"])

    assert 0 < model._model._seen.size <= 6000


def test_an_image_is_forgotten_after_ten_minutes(
    build: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build("plain", batch_size=1)
    model.warm_up()
    now = time.monotonic()
    looks = watch(monkeypatch, model._model.network, "see")

    for later in (0.0, 599.0, 601.0):
        clock = partial(operator.add, now, later)
        monkeypatch.setattr("mmsearch_app.rerankers.idefics3.seen.time.monotonic", clock)
        model.score(PAIRS[:1], ["yes", "no"])

    assert looks == [1, 1, 1, 1]  # both images at first, and again when they were forgotten
    assert model._model._seen.size == 2 * 16 * 32 * 4


def test_tiles_go_through_the_encoder_in_batches(
    build: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, prompt = build("tiled", batch_size=5), Prompt(parts=(noise(111, 112), "a bag"))
    expected = build("tiled").score([prompt], ["yes", "no"])
    model.warm_up()
    network = model._model.network
    looks = watch(monkeypatch, network, "see")

    found = model.score([prompt], ["yes", "no"])

    assert looks == [5, 5]  # three rows of three tiles, and the whole
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_processing_replaces_an_option_of_the_model(build: Callable[..., Any]) -> None:
    prompt = Prompt(parts=(noise(111, 112), "a bag"))
    lengths = []
    for model in (build("tiled"), build("tiled", processing={"do_image_splitting": False})):
        model.warm_up()
        lengths.append(len(model._model.prepare(prompt)[0]))

    assert lengths[1] < lengths[0] / 3


def test_a_prompt_that_is_too_long_is_refused(build: Callable[..., Any]) -> None:
    model = build("plain")

    with pytest.raises(ModelFailed, match=r"has \d+ tokens, the model takes 8192 with its reply"):
        model.score([Prompt(parts=("x" * 9000,))], ["yes", "no"])


def test_a_reply_ends_where_the_model_ends(exported: Callable[..., Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exported("plain"), tmp_path / "model"))
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    model = OnnxVLM(path=folder, threads=1)
    model.warm_up()
    length = len(model._model.prepare(WORDS)[0])  # type: ignore[union-attr]
    config["text_config"]["max_position_embeddings"] = length + 7
    path.write_text(json.dumps(config), encoding="utf-8")
    short = OnnxVLM(path=folder, threads=1)

    reply = short.generate([WORDS], max_tokens=300, form=grades_form(2))[0]

    whole = model.generate([WORDS], max_tokens=300, form=grades_form(2))[0]
    assert whole.startswith(reply)
    assert 0 < len(reply) < len(whole)


def test_nothing_is_started_without_time_left(build: Callable[..., Any]) -> None:
    model = build("plain")
    model.warm_up()

    with until(time.monotonic() - 5), pytest.raises(ModelFailed, match="No time"):
        VisionReranker(model=model).rerank(QUERIES["both"], products(5))


def test_a_reply_is_stopped_between_two_tokens(
    build: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build("plain")
    model.warm_up()
    network = model._model.network
    steps = watch(monkeypatch, network, "_step")

    def stop_at_the_fifth() -> None:
        if len(steps) == 5:
            raise ModelFailed("time is up")

    monkeypatch.setattr("mmsearch_app.rerankers.idefics3.network.require_time", stop_at_the_fifth)
    with pytest.raises(ModelFailed, match="time is up"):
        model.generate([WORDS], max_tokens=200, form=grades_form(9))

    assert len(steps) == 5


def test_a_waiting_call_gives_up_at_the_deadline(build: Callable[..., Any]) -> None:
    model = build("plain")
    model.warm_up()
    found: list[BaseException] = []
    ended = Event()

    def ask() -> None:
        try:
            with until(time.monotonic() + 0.2, grace=600):
                model.score([WORDS], ["yes", "no"])
        except ModelFailed as error:
            found.append(error)
        finally:
            ended.set()

    with model._lock:
        thread = Thread(target=ask)
        thread.start()
        assert ended.wait(300)
    thread.join()
    assert "busy until the deadline" in str(found[0])


def test_several_threads_get_the_result_of_one(exported: Callable[..., Path]) -> None:
    model = OnnxVLM(path=exported("plain"), threads=2)
    found: dict[int, Any] = {}

    def ask(place: int) -> None:
        found[place] = model.score([PAIRS[place]], ["yes", "no"])

    run_threads(ask, range(3))

    assert found == {place: model.score([PAIRS[place]], ["yes", "no"]) for place in range(3)}


class TestForks:
    pytestmark = forks

    def test_a_forked_child_loads_the_model_again(self, exported: Callable[..., Path]) -> None:
        model = OnnxVLM(path=exported("plain"), threads=2)
        expected = model.score(PAIRS, ["yes", "no"])

        def same() -> bool:
            return model._model is None and model.score(PAIRS, ["yes", "no"]) == expected

        assert works_in_child(same)
        assert model.score(PAIRS, ["yes", "no"]) == expected

    def test_a_forked_child_can_exit_whether_it_used_the_model_or_not(
        self, exported: Callable[..., Path]
    ) -> None:
        code = (
            "import os, sys, warnings\n"
            "warnings.simplefilter('ignore')\n"
            "from mmsearch_app.rerankers.onnx import OnnxVLM\n"
            f"model = OnnxVLM(path={str(exported('plain'))!r}, threads=2)\n"
            "model.warm_up()\n"
            "for work in ('pass', 'model.warm_up()', 'del model'):\n"
            "    child = os.fork()\n"
            "    if child == 0:\n"
            "        exec(work)\n"
            "        sys.exit(7)\n"
            "    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7\n"
        )
        environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}

        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, timeout=300, check=False
        )

        assert done.returncode == 0


def test_the_fingerprint_depends_on_content_and_options_not_on_the_path(
    exported: Callable[..., Path], tmp_path: Path
) -> None:
    folder = exported("plain")
    copy = tmp_path / "copy"
    copy.symlink_to(folder)

    first = OnnxVLM(path=folder).fingerprint

    assert OnnxVLM(path=copy).fingerprint == first
    assert OnnxVLM(path=copy, threads=3, batch_size=9).fingerprint == first
    assert OnnxVLM(path=folder, max_images=2).fingerprint != first
    assert OnnxVLM(path=folder, processing={"do_resize": False}).fingerprint != first
    assert OnnxVLM(path=exported("tiled")).fingerprint != first
    assert OnnxVLM(path=folder, variant="q4").fingerprint != first


def test_a_variant_is_a_suffix_of_the_files(exported: Callable[..., Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exported("plain"), tmp_path / "model"))
    graphs = folder / "onnx"
    (graphs / "decoder_model_merged.onnx").rename(graphs / "decoder_model_merged_q4.onnx")
    variant = {"vision_encoder": "", "embed_tokens": "", "decoder_model_merged": "q4"}

    assert OnnxVLM(path=folder, variant=variant).score([WORDS], ["yes", "no"])
    with pytest.raises(MissingWeights, match=r"lacks decoder_model_merged\.onnx; it contains dec"):
        OnnxVLM(path=folder).score([WORDS], ["yes", "no"])


def test_quantised_networks_run(exported: Callable[..., Path], tmp_path: Path) -> None:
    """In the way of the published ones with the suffix quantized: whole numbers of 8 bits."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    folder = Path(shutil.copytree(exported("tiled"), tmp_path / "model"))
    for path in list((folder / "onnx").iterdir()):
        quantize_dynamic(
            path,
            path.with_stem(f"{path.stem}_quantized"),
            weight_type=QuantType.QUInt8,
            op_types_to_quantize=["MatMul", "Gather"],
        )
        path.unlink()
    asked = [*PAIRS, WORDS]
    expected = np.array(OnnxVLM(path=exported("tiled"), max_images=2).score(asked, ["yes", "no"]))

    model = OnnxVLM(path=folder, variant="quantized", max_images=2)

    found = np.array(model.score(asked, ["yes", "no"]))
    assert 0 < np.abs(found - expected).max() < expected.std()
    assert VisionReranker(model=model).rerank(QUERIES["both"], products(9)).repairs == 0


def test_the_networks_may_lie_beside_the_configuration(
    exported: Callable[..., Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(exported("plain"), tmp_path / "model"))
    for path in (folder / "onnx").iterdir():
        path.rename(folder / path.name)

    assert OnnxVLM(path=folder).score([WORDS], ["yes", "no"])


def test_weights_beside_their_network_are_read_and_missed(
    exported: Callable[..., Path], tmp_path: Path
) -> None:
    import onnx

    folder = Path(shutil.copytree(exported("plain"), tmp_path / "model"))
    path = folder / "onnx" / "decoder_model_merged.onnx"
    data = f"{path.name}_data"
    model = onnx.load(path)
    onnx.save_model(model, path, save_as_external_data=True, location=data, size_threshold=99)
    expected = OnnxVLM(path=exported("plain"), threads=1).score([WORDS], ["yes", "no"])

    assert OnnxVLM(path=folder, threads=1).score([WORDS], ["yes", "no"]) == expected
    (path.parent / data).unlink()
    with pytest.raises(MissingWeights, match=rf"lacks {data}, the weights of a network"):
        OnnxVLM(path=folder).score([WORDS], ["yes", "no"])


def test_a_download_without_all_its_weights_is_resumed(
    exported: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnx

    whole = Path(shutil.copytree(exported("plain"), tmp_path / "whole"))
    path = whole / "onnx" / "decoder_model_merged.onnx"
    onnx.save_model(onnx.load(path), path, save_as_external_data=True, location=f"{path.name}_data")
    part = shutil.copytree(whole, tmp_path / "part", ignore=shutil.ignore_patterns("*_data"))
    asked: list[bool] = []

    def download(*_: Any, local_files_only: bool, allow_patterns: list[str], **__: Any) -> str:
        asked.append(not local_files_only)
        assert "onnx/decoder_model_merged.onnx_data*" in allow_patterns
        return str(part if local_files_only else whole)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)

    OnnxVLM(model="nobody/tiny").warm_up()

    assert asked == [False, True]


def test_the_next_call_retries_a_failed_load(exported: Callable[..., Path], tmp_path: Path) -> None:
    model = OnnxVLM(path=tmp_path / "model")
    with pytest.raises(MissingWeights, match=r"has no config\.json"):
        model.warm_up()
    (tmp_path / "model").symlink_to(exported("plain"))

    model.warm_up()


def damage_config(folder: Path) -> None:
    (folder / "config.json").write_text("{", encoding="utf-8")


def describe_a_language_model(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")


def damage_decoder(folder: Path) -> None:
    (folder / "onnx" / "decoder_model_merged.onnx").write_bytes(b"no network")


def swap_networks(folder: Path) -> None:
    graphs = folder / "onnx"
    shutil.copyfile(graphs / "embed_tokens.onnx", graphs / "decoder_model_merged.onnx")


def drop_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def damage_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")


def drop_processor(folder: Path) -> None:
    (folder / "processor_config.json").unlink()


def change_processor(folder: Path, **options: Any) -> None:
    path = folder / "processor_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(config | options), encoding="utf-8")


def count_other_tokens(folder: Path) -> None:
    change_processor(folder, image_seq_len=15)


def want_other_tiles(folder: Path) -> None:
    change_processor(folder, image_processor={"max_image_size": {"longest_edge": 32}})


def want_more_inputs(folder: Path) -> None:
    import onnx

    path = folder / "onnx" / "decoder_model_merged.onnx"
    model = onnx.load(path)
    for value in model.graph.input:
        if value.name == "position_ids":
            value.name = "cache_position"
    for node in model.graph.node:
        node.input[:] = [n.replace("position_ids", "cache_position") for n in node.input]
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("spoil", "kind", "message"),
    [
        (damage_config, InvalidWeights, r"config\.json is not JSON"),
        (describe_a_language_model, InvalidWeights, "describes 'llama'. OnnxVLM runs vision-lang"),
        (damage_decoder, InvalidWeights, "cannot be loaded by ONNX Runtime"),
        (swap_networks, InvalidWeights, "lacks inputs_embeds, attention_mask, logits: it has the"),
        (drop_tokenizer, MissingWeights, r"lacks tokenizer\.json"),
        (damage_tokenizer, InvalidWeights, "is no tokenizer"),
        (drop_processor, MissingWeights, r"lacks preprocessor_config\.json"),
        (count_other_tokens, InvalidWeights, "room for 15 tokens of images, the vision .* 16"),
        (want_other_tiles, InvalidWeights, "cut to 32 pixels .* encoder takes 64"),
        (want_more_inputs, InvalidWeights, "wants cache_position, which is not known here"),
    ],
)
def test_wrong_files_are_named(
    exported: Callable[..., Path],
    tmp_path: Path,
    spoil: Callable[[Path], None],
    kind: type[Exception],
    message: str,
) -> None:
    folder = Path(shutil.copytree(exported("plain"), tmp_path / "model"))
    spoil(folder)

    with pytest.raises(kind, match=message):
        OnnxVLM(path=folder, threads=1).warm_up()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "Give either `model`"),
        ({"model": "a/b", "path": "c"}, "Give either `model`"),
        ({"model": "a/b", "threads": 0}, "threads must be at least 1"),
        ({"model": "a/b", "batch_size": 0}, "batch_size must be at least 1"),
        ({"model": "a/b", "max_images": 0}, "max_images must be at least 1"),
        ({"model": "a/b", "variant": {"decoder": "q4"}}, "one for each of vision_encoder, embed_"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OnnxVLM(**options)


def test_a_provider_that_is_not_there_is_refused(exported: Callable[..., Path]) -> None:
    model = OnnxVLM(path=exported("plain"), providers=["NoSuchProvider", "CPUExecutionProvider"])

    with pytest.raises(
        ValueError, match=r"has no NoSuchProvider here, but .*CPUExecutionProvider"
    ) as e:
        model.warm_up()
    assert not isinstance(e.value, InvalidWeights)  # nothing is wrong with the files


def test_providers_may_have_options(exported: Callable[..., Path]) -> None:
    providers = [("CPUExecutionProvider", {"use_arena": "0"})]

    assert OnnxVLM(path=exported("plain"), providers=providers).score([WORDS], ["yes", "no"])


def test_a_setting_can_name_it_with_a_preset() -> None:
    settings: dict[str, Any] = {
        "BACKEND": "mmsearch_app.rerankers.onnx.OnnxVLM",
        "OPTIONS": {"variant": "q4"},
    }

    model = VisionReranker(preset="smolvlm2", model=settings).model

    assert isinstance(model, OnnxVLM)
    assert model.release.repository == "HuggingFaceTB/SmolVLM2-2.2B-Instruct"
    assert "onnx/decoder_model_merged_q4.onnx" in model.release.required
