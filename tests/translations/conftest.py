"""A shop with visitors and editors in several languages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.searching.reranking.conftest import moody as moody
from tests.searching.reranking.conftest import mugs as mugs
from tests.searching.reranking.conftest import use as use
from tests.storefront.conftest import sell as sell
from tests.storefront.conftest import shop as shop

Speak = Callable[[str], Client]


@pytest.fixture
def speak(db: None) -> Speak:
    """A client whose browser asks for a language."""
    return lambda language: Client(headers={"Accept-Language": language})


@pytest.fixture
def editor(speak: Speak) -> Client:
    """A superuser's client, in German."""
    client = speak("de")
    client.force_login(User.objects.create_superuser("editor"))
    return client


@pytest.fixture
def rejected(db: None, sell: Any) -> Any:
    """A product whose image file is not an image."""
    product = sell("broken mug")
    image = product.images.get()
    with image.original.storage.open(image.original.name, "wb") as file:
        file.write(b"no picture")
    return product
