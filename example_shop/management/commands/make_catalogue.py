"""`python manage.py make_catalogue`: draw the shop's own products and put them on sale."""

from __future__ import annotations

import os
from contextlib import closing
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from tqdm import tqdm

from example_shop.catalogue import items
from example_shop.drawing import draw_all
from example_shop.stocking import missing_pictures, pin_inspiration, save_picture, stock


class Command(BaseCommand):
    """Safe to run twice: only what is missing is drawn and created."""

    help = "Draw the catalogue into the media storage and create its products."

    def add_arguments(self, parser: CommandParser) -> None:
        """How much, and with how many processes."""
        parser.add_argument("--limit", type=int, help="only so many products, of all kinds")
        parser.add_argument("--jobs", type=int, help="processes that draw; one for each core")

    def handle(self, *args: Any, limit: int | None, jobs: int | None, **options: Any) -> None:
        """Draw first, so that no product appears before its pictures."""
        chosen = items()
        if limit is not None:
            chosen = chosen[:: max(1, len(chosen) // limit)][:limit] if limit > 0 else []
        tasks = missing_pictures(chosen)
        with closing(draw_all(tasks, jobs=jobs or os.cpu_count() or 1)) as drawn:
            for task, data in tqdm(
                drawn, total=len(tasks), desc="Drawing", unit=" pictures", disable=None
            ):
                save_picture(task, data)
        new = stock(chosen) + pin_inspiration()
        self.stdout.write(f"{len(tasks)} pictures drawn, {new} products new.")
