from wagtail.models import Page

from mmsearch_app import Filter
from mmsearch_app.contrib.wagtail import register_page

register_page(
    "shop.ProductPage",
    image="image",
    filters={
        "price": "price",
        "tag": "tags",
        "section": Filter("get_parent", ancestors="get_ancestors", type=Page),
    },
)
register_page(
    "shop.GalleryImage",
    image="image",
    page="page",
    filters={
        "price": "page.price",
        "tag": "page.tags",
        "section": Filter("page.get_parent", ancestors="get_ancestors", type=Page),
    },
)
