"""A visitor who searches all the time, and notices what must not be shown."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.db import connections
from django.test import Client
from django.urls import reverse

from example_shop.models import Product

WORDS = "mug shirt bag lamp"
_PAUSE = 0.05


class Visitor:
    """Searches by the API in a thread. Read the results after `leave`."""

    def __init__(self) -> None:
        self.answers: Counter[int] = Counter()
        """Number of answers by HTTP status; 0 if the shop's database did not answer."""
        self.empty = 0
        """Answers without a single product."""
        self.stale: set[str] = set()
        """What was shown, twice in a row, although the shop showed it neither before nor after."""
        self._suspects: set[str] = set()
        self._left = threading.Event()
        self._searching = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="visitor", daemon=True)
        self._client = Client(raise_request_exception=False)
        self._url = reverse("mmsearch_api:search")

    def enter(self) -> None:
        self._thread.start()
        self.look()

    def look(self, *, answers: int = 1, seconds: float = 8) -> None:
        """Wait until the visitor got that many further answers, or for `seconds`."""
        until = time.monotonic() + seconds
        wanted = self.answers.total() + answers
        while self.answers.total() < wanted and time.monotonic() < until:
            time.sleep(0.01)

    @contextmanager
    def away(self) -> Iterator[None]:
        """Let the visitor not search during the block, nor hold anything open."""
        with self._searching:
            yield

    def leave(self) -> None:
        self._left.set()
        self._thread.join(60)
        assert not self._thread.is_alive(), "a visitor still waits for an answer"

    def _run(self) -> None:
        logging.getLogger("django.request").setLevel(logging.CRITICAL)
        try:
            while not self._left.wait(_PAUSE):
                with self._searching:
                    self._search()
        finally:
            connections.close_all()

    def _search(self) -> None:
        try:
            before = _shown_by_shop()
            answer = self._client.post(
                self._url, {"text": WORDS, "limit": 50}, content_type="application/json"
            )
            after = _shown_by_shop() if answer.status_code == 200 else {}
        except Exception:
            connections.close_all()
            self.answers[0] += 1
            time.sleep(0.1)
            return
        self.answers[answer.status_code] += 1
        if answer.status_code == 200:
            self._check(answer.json()["results"], before, after)

    def _check(
        self, hits: list[dict[str, Any]], before: Mapping[str, str], after: Mapping[str, str]
    ) -> None:
        """Note what is out of date, if the next search shows it, too.

        A single one may have changed and changed back during the search.
        """
        self.empty += not hits
        shown = {str(hit["product"]): hit["title"] for hit in hits}
        wrong = {
            f"{key}: {title}, not {after.get(key)}"
            for key, title in shown.items()
            if before.get(key) == after.get(key) != title
        }
        self.stale |= wrong & self._suspects
        self._suspects = wrong


def _shown_by_shop() -> dict[str, str]:
    """Return the titles, by key, of the products that the shop itself shows now."""
    public = Product.objects.filter(is_public=True).values_list("pk", "title")
    return {str(key): title for key, title in public}
