"""Measure the search with questions whose right answers are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from mmsearch_app.evaluation import Judged, evaluate
from mmsearch_app.searching import SearchUnavailable


class Command(BaseCommand):
    """Prints one row per kind of question, and each half of composed questions as a baseline."""

    help = (
        "Read questions from a file of JSON lines, such as "
        '{"like": 12, "text": "but in red", "relevant": [40, 41]}, and print recall, mAP, nDCG. '
        "With several product models, app.model:12 says which product is meant."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("questions", type=Path, help="a file with one JSON object per line")
        parser.add_argument("-k", type=int, default=10, help="how many results count (10)")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            table = evaluate(_read(options["questions"]), k=options["k"])
        except (ValueError, SearchUnavailable, OSError) as error:
            raise CommandError(str(error)) from error
        names = list(next(iter(table.values())))
        self.stdout.write("".join([f"{'':<24}", *(f"{name:>12}" for name in names)]))
        for kind, row in table.items():
            cells = [f"{row[n]:>12.0f}" if n == "questions" else f"{row[n]:>12.3f}" for n in names]
            self.stdout.write("".join([f"{kind:<24}", *cells]))


def _read(path: Path) -> list[Judged]:
    questions = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            questions.append(Judged.from_json(json.loads(line)))
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            msg = f"{path}, line {number}: {error}"
            raise CommandError(msg) from error
    if not questions:
        msg = f"{path} contains no question."
        raise CommandError(msg)
    return questions
