"""`python manage.py make_catalogue`: draw the example products and add them to the shop."""

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
    """Only missing images are drawn and only missing products are created."""

    help = "Draw the example catalogue into the media storage and create its products."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--limit", type=int, help="at most this many products, of all kinds")
        parser.add_argument("--jobs", type=int, help="drawing processes (one per core)")

    def handle(self, *args: Any, limit: int | None, jobs: int | None, **options: Any) -> None:
        """Draw the images first, so that no product appears without them."""
        chosen = items()
        if limit is not None:
            chosen = chosen[:: max(1, len(chosen) // limit)][:limit] if limit > 0 else []
        tasks = missing_pictures(chosen)
        with closing(draw_all(tasks, jobs=jobs or os.cpu_count() or 1)) as drawn:
            for task, data in tqdm(
                drawn, total=len(tasks), desc="Drawing", unit=" images", disable=None
            ):
                save_picture(task, data)
        new = stock(chosen)
        if pin_inspiration():
            new += 1
        self.stdout.write(f"{len(tasks)} pictures drawn, {new} products new.")
