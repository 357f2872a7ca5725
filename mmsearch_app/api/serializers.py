"""The API's requests and responses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal, TypeAlias, TypedDict

from django.http import HttpRequest, QueryDict
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext, gettext_lazy
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.fields import empty
from rest_framework.request import Request

from mmsearch_app.conf import get_settings
from mmsearch_app.searching import MAX_VALUE_LENGTH, MAX_VALUES, Answer, Hit
from mmsearch_app.sources import FilterSpec, specs

Field: TypeAlias = "serializers.Field[Any, Any, Any, Any]"

OWN = ("text", "like", "without", "limit", "rerank", "image")
"""Fields that every shop has; a filter with such a name cannot be used by API."""
IGNORED = frozenset({"csrfmiddlewaretoken"})
"""Fields that forms of the shop's pages send beside the query."""
LARGEST = 2**63
"""Numbers must be below it: databases and indexes store no larger ones, nor NaN."""
_MAX_WRONG_NAMES = 10
"""How many unknown fields a problem document lists."""


class FlagField(serializers.BooleanField):
    """A boolean that takes its default if it is missing from a form, as it does in JSON."""

    default_empty_html = empty


class AnyOf(serializers.ListField):
    """One value, or a list of which any may match. The search checks them against the shop."""

    default_error_messages = {  # noqa: RUF012 - DRF's own way
        "scalar": gettext_lazy("Give a text, a number or a boolean, or a list of them.")
    }

    def to_internal_value(self, data: Any) -> list[Any]:
        values = data if isinstance(data, list) else [data]
        if len(values) > MAX_VALUES:
            self.fail("max_length", max_length=MAX_VALUES)
        return [self._check(value) for value in values if value != ""]

    def _check(self, value: Any) -> Any:
        if isinstance(value, str):
            return serializers.CharField(max_length=MAX_VALUE_LENGTH).run_validation(value)
        if not isinstance(value, int | float) or not abs(value) < LARGEST:
            self.fail("scalar")
        return value


class Question(serializers.Serializer[Any]):
    """A query in JSON, without an image.

    The shop's filters are fields of it: `<name>` with one value or several, and for numbers and
    dates `<name>__gte`, `__lte`, `__gt` and `__lt`.
    """

    def get_fields(self) -> dict[str, Field]:
        """Return the fields that were sent, and those with a default; all for the schema.

        They depend on settings and sources, and are made anew for every question.
        """
        makers = self.makers
        sent = getattr(self, "initial_data", makers)
        return {name: make() for name, make in makers.items() if name in sent or name == "rerank"}

    @cached_property
    def makers(self) -> dict[str, Callable[[], Field]]:
        """What makes each field that a query may have, by its name."""
        return {
            "text": partial(_words_field, "What is wanted, in words."),
            "like": _like_field,
            "without": partial(_words_field, "What is not wanted, in words."),
            "limit": _limit_field,
            "rerank": _rerank_field,
            **dict(_filter_fields()),
        }

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Return the arguments of `search`, and `rerank`; null is the same as a missing field."""
        if not isinstance(data, QueryDict):
            data = {key: value for key, value in data.items() if value is not None}
        if unknown := sorted(set(data) - set(self.makers) - IGNORED):
            shown = unknown[:_MAX_WRONG_NAMES]
            raise ValidationError({name[:50]: [self._advise(name)] for name in shown})
        given = super().to_internal_value(data)
        filters = {name: given.pop(name) for name in list(given) if name not in OWN}
        return {**given, "filters": filters}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Raise ValidationError unless there is something to search for."""
        names = [name for name in ("image", "text", "like") if name in self.makers]
        if not any(attrs.get(name) for name in names):
            sentence = gettext("Give at least one of %(names)s.") % {"names": ", ".join(names)}
            raise ValidationError({name: [sentence] for name in names})
        return attrs

    def _advise(self, name: str) -> str:
        if name == "image":
            return gettext("Send pictures as multipart/form-data; JSON carries no picture bytes.")
        sentence = gettext("There is no field %(name)r; there are: %(names)s.")
        return sentence % {"name": name[:50], "names": ", ".join(self.makers)}


class PictureQuestion(Question):
    """A query in a form, with or without an image."""

    @cached_property
    def makers(self) -> dict[str, Callable[[], Field]]:
        return {**super().makers, "image": _image_field}


class PageQuestion(serializers.Serializer[Any]):
    """Where another page starts."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        most = get_settings().MAX_OFFSET
        return {"offset": serializers.IntegerField(default=0, min_value=0, max_value=most)}


def _words_field(help_text: str) -> Field:
    most = get_settings().MAX_TEXT_LENGTH
    return serializers.CharField(
        required=False, allow_blank=True, max_length=most, help_text=help_text
    )


def _like_field() -> Field:
    return serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=MAX_VALUE_LENGTH,
        help_text="Primary key of a product: its image is searched for.",
    )


def _limit_field() -> Field:
    most = get_settings().MAX_LIMIT
    return serializers.IntegerField(required=False, min_value=1, max_value=most)


def _rerank_field() -> Field:
    return FlagField(default=True, help_text="Whether to offer a better order, if there is one.")


def _image_field() -> Field:
    return serializers.FileField(
        required=False,
        allow_empty_file=True,
        help_text="JPEG, PNG, WebP or AVIF.",
        error_messages={"invalid": gettext("Send the picture as a file of the form.")},
    )


def _filter_fields() -> Iterator[tuple[str, Callable[[], Field]]]:
    for name, spec in specs().items():
        if name in OWN:
            continue
        yield name, partial(_values_field, spec)
        if spec.kind in ("number", "date"):
            for suffix in ("gte", "lte", "gt", "lt"):
                yield f"{name}__{suffix}", partial(_value_field, spec)


def _values_field(spec: FilterSpec) -> Field:
    return AnyOf(required=False, child=_value_field(spec), max_length=MAX_VALUES)


def _value_field(spec: FilterSpec) -> Field:
    if spec.kind == "number":
        return serializers.DecimalField(
            max_digits=None, decimal_places=None, coerce_to_string=False, required=False
        )
    if spec.kind == "boolean":
        return serializers.BooleanField(required=False)
    return serializers.CharField(required=False, allow_blank=True, max_length=MAX_VALUE_LENGTH)


class HitSerializer(serializers.Serializer[Hit]):
    """One product found. All texts are plain text: escape them in HTML."""

    product = serializers.JSONField(source="product.pk", help_text="Its primary key.")
    image = serializers.JSONField(source="image.pk", help_text="Primary key of its best image.")
    score = serializers.FloatField(help_text="Cosine similarity, -1 to 1.")
    title = serializers.CharField()
    url = serializers.CharField(help_text='An absolute address, or "".')
    image_url = serializers.CharField(help_text='An absolute address, or "".')
    reason = serializers.CharField(help_text="Why it was found, if a model says so.")

    def to_representation(self, instance: Hit) -> dict[str, Any]:
        return {
            "product": instance.product.pk,
            "image": instance.image.pk,
            "score": instance.score,
            "title": instance.title,
            "url": self._absolute(instance.url),
            "image_url": self._absolute(instance.image_url),
            "reason": instance.reason,
        }

    def _absolute(self, address: str) -> str:
        request: HttpRequest = self.context["request"]._request
        try:
            return request.build_absolute_uri(address) if address else ""
        except ValueError:  # the shop's own text is no address
            return ""


RerankStatus: TypeAlias = Literal["off", "pending", "done", "failed"]


class Rerank(TypedDict):
    """Whether a better order exists or can be made, and where; if it failed, see `notes`."""

    status: RerankStatus
    url: str | None


class AnswerSerializer(serializers.Serializer[Answer]):
    """The results of a search."""

    # The context must have the `request`, the `token` and the `rerank` status.
    # The fields are the schema; the values are written out in `to_representation`, here and for
    # hits: DRF would copy and bind every field for every answer, and ask each for each hit, which
    # took as long as half of the search.

    id = serializers.SerializerMethodField(help_text="Token of this search, valid for minutes.")
    results = HitSerializer(source="hits", many=True)
    ranked_by = serializers.ChoiceField(choices=["index", "reranker"])
    caption = serializers.CharField(help_text="What a model sees in the image.")
    reason = serializers.CharField(help_text="Why a model ordered so.")
    rerank = serializers.SerializerMethodField()
    next = serializers.SerializerMethodField(help_text="Address of the next page.")
    timings = serializers.DictField(
        child=serializers.FloatField(), help_text="Milliseconds by stage."
    )
    notes = serializers.ListField(child=serializers.CharField())

    def to_representation(self, instance: Answer) -> dict[str, Any]:
        hits = HitSerializer(context=self.context)
        return {
            "id": self.get_id(instance),
            "results": [hits.to_representation(hit) for hit in instance.hits],
            "ranked_by": instance.ranked_by,
            "caption": instance.caption,
            "reason": instance.reason,
            "rerank": self.get_rerank(instance),
            "next": self.get_next(instance),
            "timings": dict(instance.timings),
            "notes": list(instance.notes),
        }

    def get_id(self, answer: Answer) -> str:
        token: str = self.context["token"]
        return token

    def get_rerank(self, answer: Answer) -> Rerank:
        """Return the status and, unless it is "off", the address of the better order."""
        status = self.context["rerank"]
        return {"status": status, "url": None if status == "off" else self._address("rerank")}

    def get_next(self, answer: Answer) -> str | None:
        """Return the address of the next page, or None after the last one or `MAX_OFFSET`."""
        if not answer.more or answer.query is None:
            return None
        offset = answer.query.offset + len(answer.hits)
        if offset > get_settings().MAX_OFFSET:
            return None
        return f"{self._address('page')}?offset={offset}"

    def _address(self, name: str) -> str:
        request: Request = self.context["request"]
        namespace = request.resolver_match.namespace if request.resolver_match else None
        path = reverse(f"mmsearch_api:{name}", args=[self.context["token"]], current_app=namespace)
        return request.build_absolute_uri(path)
