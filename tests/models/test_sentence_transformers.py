"""Models of sentence-transformers: one vector space, whatever traps the library has."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmsearch_app.embedders.base import Content, Embedder
from mmsearch_app.embedders.sentence_transformers import SentenceTransformersEmbedder
from mmsearch_app.embedders.weights import MissingWeights
from tests.models import checkpoints
from tests.models.listener import Listener, listening

RED, BLUE = (Image.new("RGB", (40, 50), colour) for colour in ("red", "blue"))
PICTURE = Image.effect_mandelbrot((60, 44), (-2, -1.5, 1, 1.5), 20).convert("RGB")
MIXED = [
    Content(text="red shoe"),
    Content(image=RED),
    Content(image=PICTURE, text="like this but with leather"),
    Content(text="a large blue bag without laces and with more leather, like this one"),
    Content(image=BLUE),
    Content(image=BLUE, text="in red"),
    Content(image=PICTURE, text="  "),
]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sentence-transformers")
    checkpoints.write_clip(folder / "clip")
    checkpoints.write_siglip(folder / "siglip")
    checkpoints.write_idefics3(folder / "vlm")
    checkpoints.write_sentence_encoder(folder / "words", prompts=checkpoints.PROMPTS)
    return folder


@pytest.fixture(scope="session")
def clip(models: Path) -> SentenceTransformersEmbedder:
    return SentenceTransformersEmbedder(path=models / "clip", dimension=16)


@pytest.fixture(scope="session")
def siglip(models: Path) -> SentenceTransformersEmbedder:
    return SentenceTransformersEmbedder(path=models / "siglip", dimension=32)


@pytest.fixture(scope="session")
def vlm(models: Path) -> SentenceTransformersEmbedder:
    return SentenceTransformersEmbedder(path=models / "vlm", dimension=32)


@pytest.fixture(scope="session")
def words(models: Path) -> SentenceTransformersEmbedder:
    return SentenceTransformersEmbedder(path=models / "words" / "saved", dimension=32)


@pytest.fixture(params=["clip", "siglip", "vlm"])
def embedder(request: pytest.FixtureRequest) -> SentenceTransformersEmbedder:
    found: SentenceTransformersEmbedder = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as found:
        yield found


def one(embedder: Embedder, **content: Any) -> Any:
    return embedder.embed_queries([Content(**content)])[0]


def library(path: Path) -> Any:
    """The model as the library itself loads it."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(path), device="cpu", local_files_only=True)


def test_is_an_embedder(clip: SentenceTransformersEmbedder) -> None:
    assert isinstance(clip, Embedder)


def test_rows_are_unit_float32_and_differ(embedder: SentenceTransformersEmbedder) -> None:
    vectors = embedder.embed_queries(MIXED)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(MIXED), embedder.dimension)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    others = vectors @ vectors.T - np.eye(len(MIXED))
    assert others.max() < 0.9999


def test_a_mixed_batch_gives_each_row_what_it_gets_alone(
    embedder: SentenceTransformersEmbedder,
) -> None:
    together = embedder.embed_queries(MIXED)
    alone = np.concatenate([embedder.embed_queries([content]) for content in MIXED])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_small_batches_change_nothing(models: Path, clip: SentenceTransformersEmbedder) -> None:
    small = SentenceTransformersEmbedder(path=models / "clip", dimension=16, batch_size=1)
    np.testing.assert_allclose(small.embed_documents(MIXED), clip.embed_documents(MIXED), atol=1e-5)


def test_nothing_in_nothing_out(clip: SentenceTransformersEmbedder) -> None:
    assert clip.embed_documents([]).shape == (0, 16)


def test_the_rows_of_a_clip_are_those_of_the_library(
    models: Path, clip: SentenceTransformersEmbedder
) -> None:
    expected = library(models / "clip").encode([RED, BLUE], normalize_embeddings=True)
    found = clip.embed_documents([Content(image=RED), Content(image=BLUE)])
    np.testing.assert_allclose(found, expected, atol=1e-6)


# Text that looks like an address or a path


def test_the_library_itself_opens_an_address(models: Path, listener: Listener) -> None:
    """The trap is real: the next two tests can fail."""
    model = library(models / "clip")
    with pytest.raises(Exception, match=r".+"):
        model.encode(f"{listener.url}/shoe.jpg")
    assert listener.connections == 1


def test_an_address_is_words(embedder: SentenceTransformersEmbedder, listener: Listener) -> None:
    address = f"{listener.url}/shoe.jpg"
    embedder.embed_queries([Content(text=address), Content(image=RED, text=address)])
    embedder.embed_documents([Content(text=address)])
    assert listener.connections == 0


def test_a_path_is_words(embedder: SentenceTransformersEmbedder, tmp_path: Path) -> None:
    canary = tmp_path / "canary.png"
    PICTURE.save(canary)
    queries = [Content(text=str(canary)), Content(image=RED, text=str(canary))]
    while_there = embedder.embed_queries(queries)
    canary.unlink()
    np.testing.assert_allclose(while_there, embedder.embed_queries(queries), atol=1e-6)
    assert while_there[0] @ one(embedder, image=PICTURE) < 0.999


def test_a_data_uri_is_words(embedder: SentenceTransformersEmbedder) -> None:
    uri = "data:image/png;base64,iVBORw0KGgo="
    np.testing.assert_allclose(np.linalg.norm(one(embedder, image=RED, text=uri)), 1, atol=1e-6)


def test_halves_of_surrogates_are_words(embedder: SentenceTransformersEmbedder) -> None:
    assert np.isfinite(one(embedder, text="red \ud83d shoe")).all()


def test_the_marks_of_a_model_are_no_words(vlm: SentenceTransformersEmbedder) -> None:
    """One "<image>" too many is an error of the processor, which spoils the whole batch."""
    forged = one(vlm, image=RED, text="in <image> blue<end_of_utterance><|end|>")
    assert np.isfinite(forged).all()
    np.testing.assert_allclose(
        one(vlm, text="in <image>blue"), one(vlm, text="in  blue"), atol=1e-6
    )


# Pictures with words


def test_a_clip_adds_unit_vectors(clip: SentenceTransformersEmbedder) -> None:
    expected = one(clip, image=RED) + one(clip, text="in blue")
    expected /= np.linalg.norm(expected)
    np.testing.assert_allclose(one(clip, image=RED, text="in blue"), expected, atol=1e-6)


@pytest.mark.parametrize("image_weight", [0.0, 0.3, 1.0])
def test_the_weight_of_the_picture_is_an_option(models: Path, image_weight: float) -> None:
    weighted = SentenceTransformersEmbedder(
        path=models / "clip", dimension=16, image_weight=image_weight
    )
    expected = image_weight * one(weighted, image=RED)
    expected += (1 - image_weight) * one(weighted, text="in blue")
    expected /= np.linalg.norm(expected)
    np.testing.assert_allclose(one(weighted, image=RED, text="in blue"), expected, atol=1e-6)


def test_a_model_that_can_reads_both_at_once(vlm: SentenceTransformersEmbedder) -> None:
    late = one(vlm, image=RED) + one(vlm, text="in blue")
    late /= np.linalg.norm(late)
    assert one(vlm, image=RED, text="in blue") @ late < 0.999


def test_the_picture_comes_before_the_words(
    models: Path, vlm: SentenceTransformersEmbedder
) -> None:
    model = library(models / "vlm")
    model[1] = type(model[1])(32, "lasttoken")
    first, last = (
        model.encode([given], normalize_embeddings=True)[0]
        for given in ({"image": RED, "text": "in blue"}, {"text": "in blue", "image": RED})
    )
    assert first @ last < 0.999
    np.testing.assert_allclose(one(vlm, image=RED, text="in blue"), first, atol=1e-6)


def test_documents_are_their_picture_alone(clip: SentenceTransformersEmbedder) -> None:
    with_title, without = clip.embed_documents(
        [Content(image=RED, text="a mug"), Content(image=RED)]
    )
    np.testing.assert_allclose(with_title, without, atol=1e-6)


def test_documents_may_be_picture_and_title(models: Path) -> None:
    both = SentenceTransformersEmbedder(path=models / "clip", dimension=16, documents="both")
    contents = [Content(image=RED, text="a mug")]
    np.testing.assert_allclose(
        both.embed_documents(contents), both.embed_queries(contents), atol=1e-6
    )


def test_a_very_long_picture_is_cut_before_it_is_resized(
    embedder: SentenceTransformersEmbedder,
) -> None:
    line = Image.linear_gradient("L").resize((1, 4000)).convert("RGB")
    middle = line.crop((0, 1975, 1, 2025))
    np.testing.assert_allclose(one(embedder, image=line), one(embedder, image=middle), atol=1e-6)


# Padding, pooling, prompts, dimension


def test_siglip_pads_words_to_the_length_it_was_trained_with(
    models: Path, siglip: SentenceTransformersEmbedder
) -> None:
    model = library(models / "siglip")
    fully = {"text": {"padding": "max_length", "max_length": 64}}
    right = model.encode("red shoe", normalize_embeddings=True, processing_kwargs=fully)
    wrong = model.encode("red shoe", normalize_embeddings=True)
    assert right @ wrong < 0.99
    np.testing.assert_allclose(one(siglip, text="red shoe"), right, atol=1e-6)


def test_a_language_model_without_a_word_on_pooling_takes_its_last_token(
    models: Path, vlm: SentenceTransformersEmbedder
) -> None:
    """The library takes the mean, without a warning."""
    model = library(models / "vlm")
    assert model[1].pooling_mode == "mean"
    states = model.encode({"text": "red shoe"}, output_value="token_embeddings")
    last = states[-1].numpy() / np.linalg.norm(states[-1])
    np.testing.assert_allclose(one(vlm, text="red shoe"), last, atol=1e-6)


def test_a_model_that_says_how_it_pools_is_believed(
    models: Path, words: SentenceTransformersEmbedder
) -> None:
    expected = library(models / "words" / "saved").encode_query(
        "red shoe", normalize_embeddings=True
    )
    np.testing.assert_allclose(one(words, text="red shoe"), expected, atol=1e-6)


def test_pooling_can_be_chosen(models: Path, vlm: SentenceTransformersEmbedder) -> None:
    mean = SentenceTransformersEmbedder(path=models / "vlm", dimension=32, pooling="mean")
    expected = library(models / "vlm").encode({"text": "red shoe"}, normalize_embeddings=True)
    np.testing.assert_allclose(one(mean, text="red shoe"), expected, atol=1e-6)
    assert mean.fingerprint != vlm.fingerprint


def test_pooling_that_does_not_fit_is_refused(models: Path) -> None:
    wrong = SentenceTransformersEmbedder(path=models / "clip", dimension=16, pooling="mean")
    with pytest.raises(ValueError, match="pooling='mean' does not fit"):
        wrong.warm_up()


def test_queries_and_documents_have_their_own_prompts(
    models: Path, words: SentenceTransformersEmbedder
) -> None:
    model = library(models / "words" / "saved")
    query, document = (
        model.encode(text, prompt="", normalize_embeddings=True)
        for text in ("represent for search: red shoe", "red shoe")
    )
    np.testing.assert_allclose(one(words, text="red shoe"), query, atol=1e-6)
    np.testing.assert_allclose(
        words.embed_documents([Content(text="red shoe")])[0], document, atol=1e-6
    )


def test_prompts_can_be_replaced(models: Path) -> None:
    path = models / "words" / "saved"
    replaced = SentenceTransformersEmbedder(
        path=path, dimension=32, query_prompt="", document_prompt="document "
    )
    plain, prompted = (
        library(path).encode(text, prompt="", normalize_embeddings=True)
        for text in ("red shoe", "document red shoe")
    )
    np.testing.assert_allclose(one(replaced, text="red shoe"), plain, atol=1e-6)
    np.testing.assert_allclose(
        replaced.embed_documents([Content(text="red shoe")])[0], prompted, atol=1e-6
    )


def test_another_dimension_than_promised_is_an_error_that_says_the_right_one(
    models: Path,
) -> None:
    wrong = SentenceTransformersEmbedder(path=models / "clip", dimension=512)
    with pytest.raises(ValueError, match=r"have 16 dimensions: set dimension=16\."):
        wrong.embed_queries([Content(text="red")])


def test_vectors_are_cut_only_when_told(models: Path, clip: SentenceTransformersEmbedder) -> None:
    told = SentenceTransformersEmbedder(path=models / "clip", dimension=8, truncate=True)
    whole = one(clip, text="red")[:8]
    np.testing.assert_allclose(one(told, text="red"), whole / np.linalg.norm(whole), atol=1e-6)
    with pytest.raises(ValueError, match="or truncate=True"):
        one(SentenceTransformersEmbedder(path=models / "clip", dimension=8), text="red")


def test_half_precision_is_close_and_still_float32(models: Path) -> None:
    exact, rough = (
        SentenceTransformersEmbedder(path=models / "clip", dimension=16, dtype=dtype)
        for dtype in ("float32", "bfloat16")
    )
    vectors = rough.embed_queries(MIXED)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert (vectors * exact.embed_queries(MIXED)).sum(1).min() > 0.99
    assert exact.fingerprint == rough.fingerprint


# A model of words alone


def test_a_model_of_words_alone_embeds_the_title_of_a_picture(
    words: SentenceTransformersEmbedder,
) -> None:
    with_picture, without = words.embed_documents(
        [Content(image=RED, text="red shoe"), Content(text="red shoe")]
    )
    np.testing.assert_allclose(with_picture, without, atol=1e-6)


def test_a_picture_without_words_does_not_stop_a_worker(
    words: SentenceTransformersEmbedder,
) -> None:
    blank, empty = words.embed_documents([Content(image=RED), Content(text="")])
    np.testing.assert_allclose(blank, empty, atol=1e-6)


def test_a_model_of_words_alone_refuses_a_picture_as_a_query(
    words: SentenceTransformersEmbedder,
) -> None:
    words.warm_up()
    with pytest.raises(ValueError, match="knows words alone"):
        one(words, image=RED)


# Loading


def test_constructing_imports_and_opens_nothing() -> None:
    code = (
        "import sys\n"
        "from mmsearch_app.embedders.sentence_transformers import SentenceTransformersEmbedder\n"
        "e = SentenceTransformersEmbedder(model='owner/name', dimension=8)\n"
        "assert e.fingerprint\n"
        "heavy = {'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_several_threads_load_once_and_get_the_same(models: Path) -> None:
    fresh = SentenceTransformersEmbedder(path=models / "clip", dimension=16)
    loads: list[bool] = []
    load = fresh._load

    def counted(*, download: bool) -> Any:
        loads.append(download)
        return load(download=download)

    fresh._load = counted  # type: ignore[method-assign]
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(fresh.embed_queries, [MIXED] * 6))
    assert len(loads) == 1
    for result in results:
        np.testing.assert_allclose(result, results[0], atol=1e-5)


def test_a_missing_folder_is_an_error_that_says_what_is_missing(tmp_path: Path) -> None:
    absent = SentenceTransformersEmbedder(path=tmp_path / "absent", dimension=8)
    with pytest.raises(MissingWeights, match=r"lacks config\.json or modules\.json"):
        absent.warm_up()


def test_an_interrupted_download_is_named(models: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(models / "clip", tmp_path / "clip"))
    (folder / "model.safetensors").unlink()
    index = '{"weight_map": {"a": "model-00001-of-00002.safetensors"}}'
    (folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(MissingWeights, match=r"lacks model-00001-of-00002\.safetensors"):
        SentenceTransformersEmbedder(path=folder, dimension=16).warm_up()


@pytest.fixture
def cache(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the hub that holds the CLIP as owner/name; returns its folder in there."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--owner--name"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    return Path(shutil.copytree(models / "clip", repository / "snapshots" / commit))


def test_a_model_in_the_cache_of_the_hub_is_found_by_its_name(
    cache: Path, clip: SentenceTransformersEmbedder
) -> None:
    cached = SentenceTransformersEmbedder(model="owner/name", dimension=16)
    np.testing.assert_allclose(one(cached, text="red"), one(clip, text="red"), atol=1e-6)


def test_half_a_model_in_the_cache_counts_as_none(cache: Path) -> None:
    (cache / "model.safetensors").unlink()
    with pytest.raises(MissingWeights, match="owner/name at revision main is not on this machine"):
        SentenceTransformersEmbedder(model="owner/name", dimension=16).warm_up()


def test_a_query_never_downloads(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked: list[bool] = []
    download = huggingface_hub.snapshot_download

    def recorded(*args: Any, **options: Any) -> str:
        asked.append(not options["local_files_only"])
        return download(*args, **options)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", recorded)
    absent = SentenceTransformersEmbedder(model="owner/other", dimension=16)
    with pytest.raises(MissingWeights):
        absent.embed_queries([Content(text="red")])
    assert asked == [False]
    with pytest.raises(MissingWeights):
        absent.embed_documents([Content(text="red")])
    assert asked == [False, False, True]


@pytest.mark.parametrize("options", [{}, {"model": "owner/name", "path": "folder"}])
def test_a_model_is_named_once(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="one of the two"):
        SentenceTransformersEmbedder(dimension=8, **options)


# Fingerprint


def test_a_fingerprint_tells_models_and_options_apart(models: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(models / "clip", tmp_path / "elsewhere"))
    (copy / "README.md").write_text("Words about the model.")
    options: list[dict[str, Any]] = [
        {"path": models / "clip"},
        {"path": models / "siglip"},
        {"path": models / "clip", "image_weight": 0.4},
        {"path": models / "clip", "query_prompt": "a"},
        {"path": models / "clip", "document_prompt": "a"},
        {"path": models / "clip", "documents": "both"},
        {"path": models / "clip", "truncate": True},
        {"model": "owner/name"},
        {"model": "owner/name", "revision": "v2"},
    ]
    found = [SentenceTransformersEmbedder(dimension=16, **o).fingerprint for o in options]
    assert len(set(found)) == len(options)
    assert SentenceTransformersEmbedder(path=copy, dimension=16).fingerprint == found[0]
