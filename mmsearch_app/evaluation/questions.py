"""Judged questions: what is asked, and which products answer it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmsearch_app.searching import Query, build_query, find_products
from mmsearch_app.sources import registry

_KINDS = {"text": str, "like": str | int, "image": str, "without": str, "filters": Mapping}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One question with the products that answer it."""

    relevant: Mapping[str, float]
    """Primary key as text, or `app.model:pk`, to a grade above 0; 1 if products are only right
    or wrong."""
    text: str = ""
    like: str = ""
    image: str = ""
    """Path of an image file."""
    without: str = ""
    filters: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Judged:
        """Read a JSON object with the fields as keys; `relevant` may also be a list of keys.

        Raises ValueError that says what is wrong.
        """
        if not isinstance(row, Mapping):
            msg = "a question must be a JSON object."
            raise ValueError(msg)
        if unknown := set(row) - {"relevant", *_KINDS}:
            msg = f"unknown keys {sorted(unknown)}; right ones are {['relevant', *_KINDS]}."
            raise ValueError(msg)
        given = {key: value for key, value in row.items() if key in _KINDS and value is not None}
        for key, value in given.items():
            if not isinstance(value, _KINDS[key]) or isinstance(value, bool):
                msg = f'"{key}" cannot be {value!r}.'
                raise ValueError(msg)
        given["like"] = str(given.get("like", ""))
        return cls(relevant=_grades(row.get("relevant")), **given)

    def answers(self) -> dict[str, float]:
        """Return `relevant` by product key of the index. Raises ValueError for unknown products."""
        return {_product_key(key): grade for key, grade in self.relevant.items()}

    def query(self, *, limit: int) -> Query:
        """Return the query. Raises InvalidQuery, and OSError if the image cannot be read."""
        return build_query(
            text=self.text,
            like=self.like,
            image=Path(self.image).read_bytes() if self.image else None,
            without=self.without,
            filters=self.filters,
            limit=limit,
        )


def _grades(relevant: Any) -> dict[str, float]:
    grades = dict.fromkeys(relevant, 1) if isinstance(relevant, list) else relevant
    if not isinstance(grades, Mapping) or not grades:
        msg = '"relevant" must be a list of primary keys or an object of key to grade.'
        raise ValueError(msg)
    for key, grade in grades.items():
        if not isinstance(grade, int | float) or not 0 < grade < math.inf:
            msg = f"the grade of {key!r} must be a number above 0, not {grade!r}."
            raise ValueError(msg)
    return {str(key): float(grade) for key, grade in grades.items()}


def _product_key(key: str) -> str:
    found = {registry.keys_of(product)[0] for product in find_products(key)}
    if not found:
        msg = f'"relevant": there is no product {key!r}.'
        raise ValueError(msg)
    if len(found) > 1:
        msg = f'"relevant": {key!r} is ambiguous: write {" or ".join(sorted(found))}.'
        raise ValueError(msg)
    return found.pop()
