"""What an editor does in django-oscar's dashboard reaches the search."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from mmsearch_app.contrib.oscar import changes
from mmsearch_app.models import Entry
from tests.shops.editor import Editor
from tests.shops.oscar.conftest import Category, Product, Shop, StockRecord
from tests.shops.pictures import upload
from tests.shops.visitor import ask, coloured, find, index

PRODUCTS = "dashboard:catalogue-product-list"


def page_of(product: Any) -> str:
    return reverse("dashboard:catalogue-product", args=[product.pk])


def bulk(editor: Editor, action: str, products: list[Any], **changes: Any) -> None:
    """Choose products in the list and confirm the action, as the dashboard asks for."""
    listed = [(product.parent or product).pk for product in products]
    chosen = {"action": action, "selected_product": listed}
    response = editor.client.post(reverse(PRODUCTS), chosen)
    pks = [product.pk for product in products]
    editor.send(response["Location"], {"selected_products": pks, **changes})


def test_a_new_product_is_found_by_its_picture_words_category_and_price(
    shop: Shop, editor: Editor
) -> None:
    kitchen = shop.categories["Kitchen"]
    partner = StockRecord.objects.first().partner
    editor.send(
        reverse("dashboard:catalogue-product-create", args=[shop.types["Mug"].slug]),
        {
            "title": "Green mug",
            "productcategory_set-0-category": kitchen.pk,
            "images-0-original": upload("green", side=700),
            "stockrecords-0-partner": partner.pk,
            "stockrecords-0-partner_sku": "green-1",
            "stockrecords-0-price": "9.50",
            "stockrecords-0-num_in_stock": 3,
        },
    )
    assert "Green mug" not in find("green mug"), "nothing is indexed within the request"
    index()
    assert next(iter(find("green mug"))) == "Green mug"
    assert "Green mug" in coloured("green")
    asked = {"category": kitchen.pk, "price__gte": 9, "price__lte": 10}
    assert set(find("mug", **asked)) == {"Green mug"}


def test_a_variant_is_created_in_the_dashboard(shop: Shop, editor: Editor) -> None:
    parent = shop.products["Linen shirt"]
    partner = StockRecord.objects.first().partner
    editor.send(
        reverse("dashboard:catalogue-product-create-child", args=[parent.pk]),
        {
            "title": "Linen shirt, red",
            "images-0-original": upload("red", side=701),
            "stockrecords-0-partner": partner.pk,
            "stockrecords-0-partner_sku": "shirt-red",
            "stockrecords-0-price": "60",
            "stockrecords-0-num_in_stock": 1,
        },
    )
    index()
    assert set(find("shirt", category=shop.categories["Shirts"].pk)) == {
        "Linen shirt",
        "Linen shirt, green",
        "Linen shirt, red",
    }
    assert set(find("shirt", price__gte=50)) == {"Linen shirt", "Linen shirt, red"}


def test_a_changed_price_is_found(shop: Shop, editor: Editor) -> None:
    editor.send(page_of(shop.products["Red mug"]), {"stockrecords-0-price": "99"})
    index()
    assert set(find("mug", price__gte=90)) == {"Red mug"}
    assert set(find("mug", price__lte=10)) == set()


def test_a_price_of_a_variant_changes_that_of_its_parent(shop: Shop, editor: Editor) -> None:
    editor.send(page_of(shop.products["Linen shirt, green"]), {"stockrecords-0-price": "77"})
    index()
    assert set(find("shirt", price__gte=70)) == {"Linen shirt", "Linen shirt, green"}


def test_a_changed_title_is_found(shop: Shop, editor: Editor) -> None:
    editor.send(page_of(shop.products["Red mug"]), {"title": "Cup for espresso"})
    index()
    assert next(iter(find("espresso cup"))) == "Cup for espresso"


def test_a_parents_title_changes_the_variants(shop: Shop, editor: Editor) -> None:
    variant = shop.products["variant of Linen shirt"]
    shop.photograph(variant, "red", side=702)
    index()
    editor.send(page_of(shop.products["Linen shirt"]), {"title": "Hemp tunic"})
    index()
    titles = list(find("hemp tunic"))
    assert titles[:2] == ["Hemp tunic", "Hemp tunic"] or titles.count("Hemp tunic") == 1
    assert Entry.objects.get(object_pk=str(variant.images.get().pk)).due_at is None


def test_an_unpublished_product_disappears_and_comes_back(shop: Shop, editor: Editor) -> None:
    mug = shop.products["Red mug"]
    editor.send(page_of(mug), {"is_public": None})
    assert "Red mug" not in find("mug")
    index()
    assert "Red mug" not in find("mug")
    editor.send(page_of(mug), {"is_public": "on"})
    index()
    assert "Red mug" in find("mug")


def test_a_deleted_image_is_found_no_more(shop: Shop, editor: Editor) -> None:
    mug = shop.products["Red mug"]
    editor.send(page_of(mug), {"images-0-DELETE": "on"})
    assert "Red mug" not in find("mug")
    index()
    assert "Red mug" not in coloured("red")


def test_a_replaced_image_is_found(shop: Shop, editor: Editor) -> None:
    editor.send(
        page_of(shop.products["Red mug"]), {"images-0-original": upload("yellow", side=703)}
    )
    index()
    assert coloured("yellow") == {"Red mug"}


def test_a_second_image_is_found(shop: Shop, editor: Editor) -> None:
    mug = shop.products["Blue mug"]
    editor.send(page_of(mug), {"images-1-original": upload("yellow", side=704)})
    index()
    assert coloured("yellow") == {"Blue mug"}


def test_a_deleted_product_is_found_no_more(shop: Shop, editor: Editor) -> None:
    mug = shop.products["Red mug"]
    delete = reverse("dashboard:catalogue-product-delete", args=[mug.pk])
    editor.send(delete, form="#delete_product_form")
    index()
    assert "Red mug" not in find("mug")


def test_a_moved_category_takes_its_products_along(shop: Shop, editor: Editor) -> None:
    shirts, kitchen = shop.categories["Shirts"], shop.categories["Kitchen"]
    editor.send(
        reverse("dashboard:catalogue-category-update", args=[shirts.pk]),
        {"treebeard_ref_node": kitchen.pk, "treebeard_position": "first-child"},
    )
    index()
    assert Category.objects.get(pk=shirts.pk).get_parent() == kitchen
    shirt = {"Linen shirt", "Linen shirt, green"}
    assert set(find("mug", category=kitchen.pk)) == {"Red mug", "Blue mug", *shirt}
    assert set(find("mug", category=shop.categories["Clothes"].pk)) == set()


def test_a_category_taken_from_a_product_is_found_no_more(shop: Shop, editor: Editor) -> None:
    mug, kitchen = shop.products["Red mug"], shop.categories["Kitchen"]
    editor.send(page_of(mug), {"productcategory_set-0-category": shop.categories["Clothes"].pk})
    index()
    assert set(find("mug", category=kitchen.pk)) == {"Blue mug"}


def test_prices_changed_in_bulk_are_found(shop: Shop, editor: Editor) -> None:
    chosen = [shop.products["Red mug"], shop.products["Linen shirt, green"]]
    bulk(editor, "set_product_price", chosen, new_price="500")
    index()
    found = {"Red mug", "Linen shirt, green", "Linen shirt"}
    assert set(find("mug", price__gte=400)) == found


def test_products_published_in_bulk_are_found(shop: Shop, editor: Editor) -> None:
    hidden = shop.sell("Hidden mug", category="Kitchen", is_public=False)
    shop.photograph(hidden, "green", side=705)
    index()
    assert "Hidden mug" not in find("mug")
    bulk(editor, "make_products_public", [hidden])
    index()
    assert "Hidden mug" in find("mug")
    bulk(editor, "make_products_non_public", [Product.objects.get(pk=hidden.pk)])
    assert "Hidden mug" not in find("mug")


def test_what_is_sold_out_is_found_as_such(shop: Shop, editor: Editor) -> None:
    editor.send(page_of(shop.products["Red mug"]), {"stockrecords-0-num_in_stock": "0"})
    editor.send(page_of(shop.products["Linen shirt, green"]), {"stockrecords-0-num_in_stock": "0"})
    index()
    assert set(find("mug", in_stock=0)) == {"Red mug", "Linen shirt, green"}
    editor.send(page_of(shop.products["variant of Linen shirt"]), {"is_public": None})
    index()
    assert set(find("mug", in_stock=1)) == {"Blue mug"}, "the shirt has no variant to buy"


def test_an_order_that_takes_the_last_one_is_noticed(shop: Shop) -> None:
    shop.products["Red mug"].stockrecords.get().allocate(5)
    index()
    assert set(find("mug", in_stock=0)) == {"Red mug"}


def test_a_shop_without_the_dashboards_bulk_actions_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(module: str, name: str) -> Any:
        raise ModuleNotFoundError(module)

    monkeypatch.setattr(changes, "get_class", missing)
    changes.watch_shop()


def test_saves_of_single_fields_are_noticed(shop: Shop) -> None:
    parent, green = shop.products["Linen shirt"], shop.products["Linen shirt, green"]
    variant = shop.products["variant of Linen shirt"]
    shop.photograph(variant, "yellow", side=706)
    variant.stockrecords.update(num_in_stock=0)
    index()
    parent.title = "Hemp tunic"
    parent.save(update_fields=["title"])
    index()
    assert coloured("yellow") == {"Hemp tunic"}, "the variant has its parent's title"
    assert sold_out() == {str(variant.pk)}, "another variant can be bought"
    green.is_public = False
    green.save(update_fields=["is_public"])
    index()
    assert sold_out() == {str(variant.pk), str(parent.pk)}


def sold_out() -> set[str]:
    return {str(result["product"]) for result in ask(text="mug", in_stock=0)}
