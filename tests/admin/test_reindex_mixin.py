"""The reindex action of `ReindexMixin`, and the models that the mixin supports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.sites import AdminSite
from django.contrib.auth.models import Group
from django.test import Client, RequestFactory

from example_shop.models import Product, ProductImage
from mmsearch_app.admin.mixin import ReindexMixin
from mmsearch_app.indexing.receivers import mark
from mmsearch_app.models import Entry, State
from tests.admin.conftest import PRODUCTS, ModelAdmin
from tests.shapes.models import Attachment, Garment, Media, Poster

from .conftest import entries_of, entry_of, messages_of

IMAGES = "/admin/example_shop/productimage/"


def reindex(client: Client, address: str, *pks: Any, everything: bool = False) -> Any:
    data = {
        "action": "reindex_pictures",
        "_selected_action": [str(pk) for pk in pks],
        "select_across": "1" if everything else "0",
        "index": "0",
    }
    return client.post(address, data, follow=True)


def test_the_action_on_images_marks_them_and_does_no_work(
    boss: Client, idle_shop: list[Product]
) -> None:
    image = idle_shop[0].images.get(position=0)
    response = reindex(boss, IMAGES, image.pk)
    assert entry_of(image).state == State.PENDING
    assert entry_of(image).content == ""  # so it is embedded again
    assert Entry.objects.filter(state=State.PENDING).count() == 1
    assert "1 picture is marked" in messages_of(response)


def test_the_action_on_products_marks_only_their_images(
    boss: Client, idle_shop: list[Product]
) -> None:
    response = reindex(boss, PRODUCTS, idle_shop[0].pk, idle_shop[2].pk)
    states = [{entry.state for entry in entries_of(product)} for product in idle_shop]
    assert states == [{State.PENDING}, {State.INDEXED}, {State.PENDING}]
    assert "4 pictures are marked" in messages_of(response)


def test_the_message_counts_all_due_entries(boss: Client, shop: list[Product]) -> None:
    mark(shop[1])
    assert "4 wait in all" in messages_of(reindex(boss, PRODUCTS, shop[0].pk))


@pytest.mark.parametrize(
    ("thread", "words"), [(True, "thread of the shop"), (False, "manage.py mmsearch_worker")]
)
def test_the_message_says_what_will_do_the_work(
    boss: Client, shop: list[Product], settings: Any, *, thread: bool, words: str
) -> None:
    # Prevent the thread itself, which would start with the first request.
    response = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmsearch_app.indexing.loop._thread_of_this_process", lambda: None)
        settings.MMSEARCH = {**settings.MMSEARCH, "WORKER_THREAD": thread}
        response = reindex(boss, PRODUCTS, shop[0].pk)
    assert words in messages_of(response)


def test_selecting_across_pages_marks_thousands_in_few_queries(
    boss: Client, django_assert_max_num_queries: Any
) -> None:
    Product.objects.bulk_create(
        Product(sku=f"M-{n}", slug=f"m-{n}", title=f"mug {n}") for n in range(3000)
    )
    ProductImage.objects.bulk_create(
        ProductImage(product=product, original="one.png") for product in Product.objects.all()
    )
    with django_assert_max_num_queries(120):
        response = reindex(boss, PRODUCTS, Product.objects.earliest("pk").pk, everything=True)
    assert "3000 pictures are marked" in messages_of(response)
    assert Entry.objects.filter(state=State.PENDING).count() == 3000


def test_selecting_across_pages_respects_the_filter(boss: Client, shop: list[Product]) -> None:
    Product.objects.filter(pk=shop[1].pk).update(is_public=False)
    reindex(boss, f"{PRODUCTS}?is_public__exact=0", shop[1].pk, everything=True)
    marked = Entry.objects.filter(state=State.PENDING)
    assert set(marked) == set(entries_of(shop[1]))


def test_a_product_without_images_is_not_an_error(
    boss: Client, sell: Callable[..., Product]
) -> None:
    response = reindex(boss, PRODUCTS, sell("a bare shelf", views=0).pk)
    assert "no picture to reindex" in messages_of(response)


def test_users_who_can_only_view_are_not_offered_the_action(
    staff: Callable[..., Client], shop: list[Product]
) -> None:
    client = staff("example_shop.view_product")
    assert b"reindex_pictures" not in client.get(PRODUCTS).content
    reindex(client, PRODUCTS, shop[0].pk)
    assert not Entry.objects.filter(state=State.PENDING).exists()


def test_users_who_can_change_products_can_reindex_them(
    staff: Callable[..., Client], shop: list[Product]
) -> None:
    reindex(staff("example_shop.change_product"), PRODUCTS, shop[0].pk)
    assert Entry.objects.filter(state=State.PENDING).count() == 2


# Which models it takes


def test_images_are_found_by_the_product_path_alone(db: None) -> None:
    garment = Garment.objects.create(code="g1", name="coat")
    attachment = Attachment.objects.create(garment=garment)
    Entry.objects.all().delete()
    assert mark(Garment.objects.all(), force=True) == 2  # itself, and the attachment that shows it
    assert set(Entry.objects.values_list("source", "object_pk")) == {
        ("shapes.garment", "g1"),
        ("shapes.attachment", str(attachment.pk)),
    }


def test_an_image_found_in_two_ways_is_marked_and_counted_once(shop: list[Product]) -> None:
    assert mark(Product.objects.filter(pk=shop[0].pk)) == 2  # by depends_on and by the product


def test_saving_a_product_marks_nothing_without_depends_on(db: None) -> None:
    garment = Garment.objects.create(code="g1", name="coat")
    Attachment.objects.create(garment=garment)
    Entry.objects.all().delete()
    garment.save()
    assert set(Entry.objects.values_list("source", flat=True)) == {"shapes.garment"}


@pytest.mark.parametrize("model", [Product, ProductImage, Poster, Garment, Media])
def test_the_mixin_accepts_every_model_that_images_depend_on(model: Any) -> None:
    page = type("Page", (ReindexMixin, admin.ModelAdmin), {})(model, AdminSite())
    assert page.check() == []


def test_the_mixin_on_a_model_without_images_is_an_error_with_a_hint() -> None:
    page = type("Page", (ReindexMixin, admin.ModelAdmin), {})(admin.models.LogEntry, AdminSite())
    (error,) = page.check()
    assert error.id == "mmsearch_app.E006"
    assert "LogEntry" in error.msg
    assert error.hint


# Beside other mixins


class Archiving:
    """Another mixin with an action, media files and a changelist."""

    class Media:
        js = ("archive.js",)

    @admin.action(description="Archive")
    def archive(self, request: Any, queryset: Any) -> None:
        pass

    def get_actions(self, request: Any) -> dict[str, Any]:
        actions: dict[str, Any] = super().get_actions(request)  # type: ignore[misc]
        return actions | {"archive": (type(self).archive, "archive", "Archive")}


@pytest.mark.parametrize("bases", [(ReindexMixin, Archiving), (Archiving, ReindexMixin)])
def test_it_keeps_the_actions_of_other_mixins_and_of_the_page(
    bases: tuple[type, ...], rf: RequestFactory, admin_user: Any
) -> None:
    class Page(*bases, ModelAdmin):  # type: ignore[misc]
        actions = ("own",)

        def own(self, request: Any, queryset: Any) -> None:
            pass

    request = rf.get("/")
    request.user = admin_user
    page = Page(Product, AdminSite())
    assert {"own", "archive", "reindex_pictures"} <= set(page.get_actions(request))
    assert "mmsearch/admin/admin.css" in str(page.media)


def test_a_page_without_actions_gets_none(rf: RequestFactory, admin_user: Any) -> None:
    class Page(ReindexMixin, ModelAdmin):
        actions = None

    request = rf.get("/")
    request.user = admin_user
    assert Page(Product, AdminSite()).get_actions(request) == {}


def test_a_model_that_no_path_leads_to_cannot_be_marked(boss: Client, shop: list[Product]) -> None:
    assert b"reindex_pictures" not in boss.get("/admin/example_shop/category/").content
    with pytest.raises(ValueError, match="not registered"):
        mark(Group.objects.all())
