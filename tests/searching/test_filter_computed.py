"""A filter may be computed by a function of the shop."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from mmsearch_app import Filter, ImageSource, search
from mmsearch_app.testing import index_everything, registered
from tests.shapes.models import Poster
from tests.shop import picture_file


def _double(row: Poster) -> int:
    return row.copies * 2


def _words(row: Poster) -> list[str]:
    return row.name.split()


class Computed(ImageSource):
    name = "computed"
    image = "picture"
    title = "name"
    filters: ClassVar = {
        "double": Filter(using=_double, type=int),
        "word": Filter(using=_words, type=str),
    }


def found(**filters: Any) -> set[str]:
    return {hit.title for hit in search("poster", filters=filters).hits}


@pytest.mark.django_db
def test_the_values_that_a_function_returns_are_indexed_and_compared() -> None:
    with registered(Computed(Poster)):
        for copies, colour in enumerate(("red", "green", "blue"), start=1):
            name = f"{colour} poster"
            Poster.objects.create(name=name, picture=picture_file(colour), copies=copies)
        index_everything()
        assert found(double__gte=3, double__lte=5) == {"green poster"}
        assert found(word=["red", "blue"]) == {"red poster", "blue poster"}
        Poster.objects.filter(name="red poster").update(copies=2)
        assert found(double=2) == set(), "compared with the row, not with the index alone"
