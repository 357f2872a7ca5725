"""`python manage.py import_catalogue FOLDER`: sell anyone's own pictures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from example_shop.importing import BadRow, Row, import_row, read_rows
from mmsearch_app.images import InvalidImage


class Command(BaseCommand):
    """Import pictures from a folder or a CSV file. Safe to run twice."""

    help = (
        "Import your own pictures: a folder (sub-folder = category, file name = title) or a CSV "
        "file with the columns image, title, price and category; several rows of one title and "
        "category are several views of one product."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """One path."""
        parser.add_argument("folder", type=Path, help="a folder of pictures, or a CSV file")

    def handle(self, *args: Any, folder: Path, **options: Any) -> None:
        """Import what can be imported and name what cannot; exit code 1 if anything."""
        try:
            rows = read_rows(folder)
        except (BadRow, OSError) as error:
            raise CommandError(str(error)) from error
        outcomes = [self._import(row) for row in tqdm(rows, unit="picture", disable=None)]
        new, failed = outcomes.count("new"), outcomes.count("failed")
        known = len(rows) - new - failed
        self.stdout.write(f"{new} imported, {known} there already, {failed} failed.")
        if failed or not rows:
            sys.exit(1)

    def _import(self, row: Row) -> str:
        try:
            return "new" if import_row(row) else "known"
        except (BadRow, InvalidImage, OSError) as error:
            with tqdm.external_write_mode(file=sys.stderr):
                self.stderr.write(f"{row.place}: {error}")
            return "failed"
