"""`python manage.py import_catalogue FOLDER`: sell your own products."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from example_shop.importing import BadRow, Row, import_row, read_rows
from mmsearch_app.images import InvalidImage


class Command(BaseCommand):
    help = (
        "Import your own images from a folder (sub-folder = category, file name = title) or a CSV "
        "file with the columns image, title, price and category. Rows with the same title and "
        "category become images of one product. Safe to run again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, help="a folder of images, or a CSV file")

    def handle(self, *args: Any, folder: Path, **options: Any) -> None:
        """Import every row that is valid and report the rest; exit with 1 if any row failed."""
        try:
            rows = read_rows(folder)
        except (BadRow, OSError) as error:
            raise CommandError(str(error)) from error
        outcomes = [self._import(row) for row in tqdm(rows, unit="image", disable=None)]
        new, failed = outcomes.count("new"), outcomes.count("failed")
        known = len(rows) - new - failed
        self.stdout.write(f"{new} imported, {known} already in the shop, {failed} failed.")
        if failed or not rows:
            sys.exit(1)

    def _import(self, row: Row) -> str:
        try:
            return "new" if import_row(row) else "known"
        except (BadRow, InvalidImage, OSError) as error:
            with tqdm.external_write_mode(file=sys.stderr):
                self.stderr.write(f"{row.place}: {error}")
            return "failed"
