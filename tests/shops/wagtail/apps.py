from django.apps import AppConfig


class ShopConfig(AppConfig):
    name = "tests.shops.wagtail"
    label = "shop"
