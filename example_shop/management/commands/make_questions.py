"""`python manage.py make_questions`: questions with known answers for `mmsearch_evaluate`."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from example_shop.questions import questions


class Command(BaseCommand):
    """The same catalogue always gives the same questions."""

    help = "Print JSON lines: python manage.py make_questions > questions.jsonl"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--each", type=int, default=60, help="of each kind (60)")

    def handle(self, *args: Any, **options: Any) -> None:
        for question in questions(each=options["each"]):
            self.stdout.write(json.dumps(question))
