"""What is asked again within minutes costs no model, and no picture is opened for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from django.core.files.storage import default_storage
from numpy.typing import NDArray

from example_shop.models import Product
from mmsearch_app import search
from mmsearch_app.backends import get_composer, get_embedder
from mmsearch_app.inference.content import Content
from mmsearch_app.searching import recent
from mmsearch_app.searching.query import SearchUnavailable
from tests.forking import works_in_child
from tests.shop import Catalogue, CountingEmbedder, EmbedderWithMoods, picture, picture_file
from tests.shop_kit import titles, work_again

pytestmark = pytest.mark.django_db


class TwoSteps(CountingEmbedder):
    """Describes images, by their colour or in red, and composes queries; counts the first."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.described = 0

    def aspect_of(self, text: str) -> str:
        return "red" if "red" in text else ""

    def describe_images(self, images: Sequence[Any], aspects: Sequence[str]) -> NDArray[np.float32]:
        assert len(aspects) == len(images)
        self.described += len(images)
        return self.embed_documents([Content(image=image) for image in images])

    def compose_queries(
        self, images: NDArray[np.float32], texts: Sequence[str]
    ) -> NDArray[np.float32]:
        rows = images + self.embed_documents([Content(text=text) for text in texts])
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


class Fickle(TwoSteps):
    """Describes images by rows that are no numbers."""

    def describe_images(self, images: Sequence[Any], aspects: Sequence[str]) -> NDArray[np.float32]:
        return super().describe_images(images, aspects) * np.nan


@pytest.fixture
def two_steps(use: Callable[..., None], shop: Catalogue) -> TwoSteps:
    use(EMBEDDER={"BACKEND": f"{__name__}.TwoSteps"})
    work_again()
    found = get_embedder()
    assert isinstance(found, TwoSteps)
    return found


def lose_pictures(product: Product) -> None:
    """Delete the files, so that whoever opens one notices."""
    for image in product.images.all():
        default_storage.delete(str(image.original.name))


def test_the_same_words_are_embedded_once(embedder: EmbedderWithMoods, shop: Catalogue) -> None:
    first = search("red mug", without="shirt")
    assert embedder.queries == 2
    embedder.down = True
    again = search("red mug", without="shirt")
    assert titles(again) == titles(first)
    assert [hit.score for hit in again.hits] == [hit.score for hit in first.hits]
    with pytest.raises(SearchUnavailable):
        search("blue mug")


def test_the_same_words_beside_another_product_are_another_question(
    embedder: EmbedderWithMoods, shop: Catalogue
) -> None:
    for title in ("red mug", "blue mug"):
        search("shirt", like=shop[title])
    assert embedder.queries == 2


def test_a_picture_and_words_asked_again_are_not_embedded_again(
    embedder: EmbedderWithMoods, shop: Catalogue
) -> None:
    first = search("mug", image=picture("blue"))
    assert titles(search("mug", image=picture("blue"))) == titles(first)
    assert embedder.queries == 1
    search("mug", image=picture("green"))
    assert embedder.queries == 2


def test_a_product_and_words_asked_again_open_no_picture(
    embedder: EmbedderWithMoods, shop: Catalogue
) -> None:
    first = search("shirt", like=shop["red mug"])
    lose_pictures(shop["red mug"])
    again = search("shirt", like=shop["red mug"])
    assert (titles(again), again.notes) == (titles(first), first.notes)
    assert embedder.queries == 1


def test_a_product_alone_costs_no_model_and_no_picture(
    embedder: EmbedderWithMoods, shop: Catalogue
) -> None:
    lose_pictures(shop["red mug"])
    assert titles(search(like=shop["red mug"]))[0] == "red shirt"
    assert embedder.queries == 0


def test_a_new_picture_is_looked_at_before_it_is_indexed(
    embedder: EmbedderWithMoods, shop: Catalogue
) -> None:
    search("shirt", like=shop["red mug"])
    image = shop["red mug"].images.get()
    image.original = picture_file("blue", side=200)
    image.save()
    assert titles(search("shirt", like=shop["red mug"]))[0] == "blue shirt"
    assert embedder.queries == 2


def test_other_words_beside_a_picture_cost_only_the_words(
    two_steps: TwoSteps, shop: Catalogue
) -> None:
    assert titles(search("shirt", like=shop["red mug"]))[0] == "red shirt"
    lose_pictures(shop["red mug"])
    found = search("green", like=shop["red mug"])
    assert not found.notes
    assert (two_steps.described, two_steps.queries) == (1, 0)
    search("shirt", image=picture("blue"))
    search("mug", image=picture("blue"))
    assert two_steps.described == 2


def test_words_that_show_a_picture_otherwise_have_it_described_again(
    two_steps: TwoSteps, shop: Catalogue
) -> None:
    for words in ("mug", "red mug", "red shirt", "shirt"):
        search(words, like=shop["blue mug"])
    assert two_steps.described == 2


def test_unwanted_words_count_beside_a_described_picture(
    two_steps: TwoSteps, shop: Catalogue
) -> None:
    plain = search("mug", like=shop["red mug"])
    without = search("mug", like=shop["red mug"], without="blue")
    place = titles(plain).index("blue mug")
    assert without.hits[titles(without).index("blue mug")].score < plain.hits[place].score


def test_a_product_whose_picture_is_lost_is_searched_for_by_its_title(
    two_steps: TwoSteps, shop: Catalogue
) -> None:
    lose_pictures(shop["red mug"])
    assert search("shirt", like=shop["red mug"]).notes
    assert two_steps.described == 0


def test_a_model_that_describes_nothing_sensible_is_an_outage(
    use: Callable[..., None], shop: Catalogue
) -> None:
    use(EMBEDDER={"BACKEND": f"{__name__}.Fickle"})
    work_again()
    with pytest.raises(SearchUnavailable):
        search("shirt", like=shop["red mug"])


def test_most_embedders_compose_in_one_step(shop: Catalogue) -> None:
    assert get_composer() is None


class TestRecentVectors:
    @pytest.fixture
    def kept(self) -> recent.RecentVectors:
        return recent.RecentVectors(most_bytes=3 * (4 * 4 + recent.OVERHEAD))

    def test_only_the_newest_fit(self, kept: recent.RecentVectors) -> None:
        for number in range(5):
            kept.keep(f"{number}", np.full(4, number, np.float32))
        found = {name for name in "01234" if kept.find(name) is not None}
        assert found == {"2", "3", "4"}

    def test_one_that_is_larger_than_all_is_not_kept(self, kept: recent.RecentVectors) -> None:
        kept.keep("huge", np.zeros(1000, np.float32))
        assert kept.find("huge") is None
        kept.keep("small", np.zeros(4, np.float32))
        assert kept.find("small") is not None

    def test_a_vector_is_dropped_after_minutes_however_often_it_is_used(
        self, kept: recent.RecentVectors, monkeypatch: pytest.MonkeyPatch, use: Callable[..., None]
    ) -> None:
        use(RERANK_SECONDS=60)
        now = 1000.0
        monkeypatch.setattr(recent.time, "monotonic", lambda: now)
        kept.keep("mug", np.ones(4, np.float32))
        now = 1030.0
        assert kept.find("mug") is not None
        now = 1059.0
        assert kept.find("mug") is not None
        now = 1061.0
        assert kept.find("mug") is None
        assert not kept._kept

    def test_what_is_kept_can_be_changed_by_nobody(self, kept: recent.RecentVectors) -> None:
        mine = np.ones(4, np.float32)
        kept.keep("mug", mine)
        mine[:] = 0
        found = kept.find("mug")
        assert found is not None
        assert found.tolist() == [1, 1, 1, 1]
        with pytest.raises(ValueError, match="read-only"):
            found[0] = 2

    def test_names_say_nothing_and_differ_between_processes(
        self, kept: recent.RecentVectors
    ) -> None:
        name = kept.name("red mug", "digest")
        assert name == kept.name("red mug", "digest") != kept.name("red mugdigest")
        assert "mug" not in name
        assert recent.RecentVectors().name("red mug", "digest") != name

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
    @pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
    def test_a_child_starts_with_none_whatever_its_parent_was_doing(
        self, kept: recent.RecentVectors
    ) -> None:
        kept.keep("mug", np.ones(4, np.float32))
        with kept._lock:
            assert works_in_child(lambda: kept.find("mug") is None)
