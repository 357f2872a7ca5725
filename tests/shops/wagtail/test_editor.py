"""What an editor does in Wagtail's admin reaches the search."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from mmsearch_app.contrib.wagtail import register_page
from mmsearch_app.indexing import connect
from tests.shops.editor import Editor
from tests.shops.pictures import upload, width
from tests.shops.snippets import in_an_empty_registry
from tests.shops.visitor import coloured, find, image, index, stored
from tests.shops.wagtail.conftest import Shop, photograph
from tests.shops.wagtail.models import ProductPage

PUBLISH = {"action-publish": "action-publish"}
FORM = "form[data-edit-form], form#page-edit-form, form[novalidate]"


def edit(editor: Editor, page: Any, **changes: Any) -> None:
    """Open the page in the editor, change fields and send the form."""
    editor.send(reverse("wagtailadmin_pages:edit", args=[page.pk]), changes, form=FORM)


def test_a_new_page_is_found_once_it_is_published(shop: Shop, editor: Editor) -> None:
    shelf = shop.pages["Mugs"]
    create = reverse("wagtailadmin_pages:add", args=["shop", "productpage", shelf.pk])
    fields = {"title": "Green mug", "slug": "green-mug", "price": "9.50"}
    fields["image"] = photograph("green", side=640).pk
    editor.send(create, fields, form=FORM)
    index()
    assert "Green mug" not in find("green mug"), "a draft"
    edit(editor, ProductPage.objects.get(title="Green mug"), **PUBLISH)
    index()
    assert next(iter(find("green mug"))) == "Green mug"
    assert set(find("mug", price__gte=9, price__lte=10)) == {"Green mug"}


def test_a_draft_of_a_change_is_not_found_before_it_is_published(
    shop: Shop, editor: Editor
) -> None:
    page = shop.pages["Red mug"]
    edit(editor, page, title="Espresso cup", price="99")
    index()
    assert "Red mug" in find("mug")
    assert set(find("mug", price__gte=90)) == set()
    edit(editor, page, **PUBLISH)
    index()
    assert next(iter(find("espresso cup"))) == "Espresso cup"
    assert set(find("cup", price__gte=90)) == {"Espresso cup"}


def test_an_unpublished_page_disappears_and_comes_back(shop: Shop, editor: Editor) -> None:
    page = shop.pages["Red mug"]
    editor.send(reverse("wagtailadmin_pages:unpublish", args=[page.pk]))
    assert "Red mug" not in find("mug")
    index()
    assert "Red mug" not in find("mug")
    edit(editor, page, **PUBLISH)
    index()
    assert "Red mug" in find("mug")


def test_a_shelf_unpublished_with_its_pages_disappears(shop: Shop, editor: Editor) -> None:
    unpublish = reverse("wagtailadmin_pages:unpublish", args=[shop.pages["Mugs"].pk])
    editor.send(unpublish, {"include_descendants": "on"})
    index()
    assert set(find("mug")) == {"Linen shirt"}


def test_a_moved_page_has_its_new_address_and_privacy(shop: Shop, editor: Editor) -> None:
    page, shelf = shop.pages["Red mug"], shop.pages["Shirts"]
    before = page.url
    editor.send(reverse("wagtailadmin_pages:move_confirm", args=[page.pk, shelf.pk]))
    index()
    moved = ProductPage.objects.get(pk=page.pk)
    assert moved.url != before
    card = find("mug")["Red mug"]
    assert card.select_one(f'a[href="{moved.url}"]')


def test_a_privacy_setting_holds_at_once(shop: Shop, editor: Editor) -> None:
    privacy = reverse("wagtailadmin_pages:set_privacy", args=[shop.pages["Mugs"].pk])
    response = editor.client.post(
        privacy, {"restriction_type": "login", "password": "", "groups": []}
    )
    assert response.status_code == 200
    assert set(find("mug")) == {"Linen shirt"}


def test_a_replaced_file_of_the_image_library_is_found(shop: Shop, editor: Editor) -> None:
    picture = shop.pages["Red mug"].image
    address = reverse("wagtailimages:edit", args=[picture.pk])
    editor.send(address, {"file": upload("yellow", side=641), "title": "Yellow"})
    index()
    assert coloured("yellow") == {"Red mug"}
    assert "Red mug" not in coloured("red")


def test_a_replaced_file_of_a_gallerys_image_is_found(shop: Shop, editor: Editor) -> None:
    picture = shop.pages["Linen shirt"].gallery.get().image
    address = reverse("wagtailimages:edit", args=[picture.pk])
    editor.send(address, {"file": upload("yellow", side=642), "title": "Yellow"})
    index()
    assert coloured("yellow") == {"Linen shirt"}


def test_an_image_of_a_streamfield_is_found_and_its_file_may_be_replaced(
    shop: Shop, editor: Editor
) -> None:
    streamed = photograph("green", side=644)
    with in_an_empty_registry():
        register_page("shop.ProductPage", image="card_image")
        connect()
        page = shop.sell("Streamed mug", body=[("text", "Mug"), ("image", streamed)])
        index()
        assert "Streamed mug" in coloured("green")
        assert width(stored(str(image(find("streamed")["Streamed mug"])["src"]))) == 400
        address = reverse("wagtailimages:edit", args=[streamed.pk])
        editor.send(address, {"file": upload("yellow", side=645), "title": "Yellow"})
        index()
        assert coloured("yellow") == {"Streamed mug"}
        assert page.title not in coloured("green")


def test_a_deleted_image_is_found_no_more(shop: Shop, editor: Editor) -> None:
    editor.send(reverse("wagtailimages:delete", args=[shop.pages["Red mug"].image_id]))
    index()
    assert "Red mug" not in find("mug")


def test_a_picture_added_to_the_gallery_is_found(shop: Shop, editor: Editor) -> None:
    added = {
        "gallery-TOTAL_FORMS": "2",
        "gallery-1-id": "",
        "gallery-1-ORDER": "2",
        "gallery-1-DELETE": "",
        "gallery-1-image": photograph("yellow", side=643).pk,
    }
    page = shop.pages["Linen shirt"]
    editor.send(reverse("wagtailadmin_pages:edit", args=[page.pk]), {**added, **PUBLISH}, form=FORM)
    index()
    assert coloured("yellow") == {"Linen shirt"}


def test_a_deleted_page_is_found_no_more(shop: Shop, editor: Editor) -> None:
    editor.send(reverse("wagtailadmin_pages:delete", args=[shop.pages["Red mug"].pk]))
    index()
    assert set(find("mug")) == {"Blue mug", "Linen shirt"}


def test_a_deleted_shelf_takes_its_pages_along(shop: Shop, editor: Editor) -> None:
    editor.send(reverse("wagtailadmin_pages:delete", args=[shop.pages["Mugs"].pk]))
    index()
    assert set(find("mug")) == {"Linen shirt"}


def test_a_page_goes_live_on_schedule(shop: Shop, editor: Editor) -> None:
    page = shop.pages["Red mug"]
    page.unpublish()
    page.go_live_at = timezone.now() + timedelta(hours=1)
    page.save_revision(approved_go_live_at=page.go_live_at).publish()
    index()
    assert "Red mug" not in find("mug")
    revision = page.get_latest_revision()
    revision.approved_go_live_at = timezone.now() - timedelta(minutes=1)
    revision.content["go_live_at"] = revision.approved_go_live_at.isoformat()
    revision.save()
    call_command("publish_scheduled")
    index()
    assert "Red mug" in find("mug")


def test_a_moved_shelf_takes_its_pages_to_their_new_section(shop: Shop, editor: Editor) -> None:
    kitchen, mugs = shop.shelve("Kitchen"), shop.pages["Mugs"]
    assert set(find("mug", section=kitchen.pk)) == set()
    editor.send(reverse("wagtailadmin_pages:move_confirm", args=[mugs.pk, kitchen.pk]))
    index()
    assert set(find("mug", section=kitchen.pk)) == {"Red mug", "Blue mug"}
    assert set(find("mug", section=mugs.pk)) == {"Red mug", "Blue mug"}
    assert set(find("mug", section=shop.pages["Shirts"].pk)) == {"Linen shirt"}
