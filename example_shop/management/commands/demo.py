"""`python manage.py demo`: set up the example shop and serve it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from argparse import ArgumentTypeError, BooleanOptionalAction
from typing import Any
from urllib.parse import urlencode

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import reverse

from example_shop.drawing import stop_on_signals
from example_shop.models import Product
from mmsearch_app import search
from mmsearch_app.backends import get_embedder, get_index
from mmsearch_app.indexes.base import IndexFault
from mmsearch_app.searching import SearchUnavailable


class Command(BaseCommand):
    """Every step is safe to repeat and resumes where the last run stopped."""

    help = "Set up the database, the catalogue and the index, then serve the shop."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=_port, default=8000)
        parser.add_argument("--serve", action=BooleanOptionalAction, default=True)
        parser.add_argument("--limit", type=int, help="draw at most this many products")
        parser.add_argument("--jobs", type=int, help="number of drawing processes")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prepare the shop, print its addresses, and serve it until Ctrl-C."""
        if options["serve"]:
            stop_on_signals()
            _check_port(options["port"])
        try:
            self._prepare(limit=options["limit"], jobs=options["jobs"], serves=options["serve"])
        except KeyboardInterrupt:
            self.stderr.write("\nStopped. The next run continues from here.")
            sys.exit(130)
        self._announce(f"http://127.0.0.1:{options['port']}")
        if options["serve"]:
            os.environ.setdefault("DJANGO_RUNSERVER_HIDE_WARNING", "true")
            call_command("runserver", f"127.0.0.1:{options['port']}", use_reloader=False)

    def _prepare(self, *, limit: int | None, jobs: int | None, serves: bool) -> None:
        call_command("migrate", verbosity=0)
        call_command("make_catalogue", limit=limit, jobs=jobs)
        call_command("demo_login")
        if self._has_index():
            call_command("mmsearch_reconcile")
            call_command("mmsearch_worker", once=True)
        elif serves:
            self.stdout.write("Another process is indexing the pictures.")
            _index_apart()
        else:
            call_command("mmsearch_reindex")
        self._warm_up()

    def _warm_up(self) -> None:
        """Search once, so that the models are loaded before the first visitor comes."""
        try:
            found = search(text="red mug")
        except SearchUnavailable as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"A test search found {len(found.hits)} products.")

    def _has_index(self) -> bool:
        try:
            live = get_index().live()
        except IndexFault as error:
            raise CommandError(str(error)) from error
        return live is not None and live.fingerprint == get_embedder().fingerprint

    def _announce(self, address: str) -> None:
        write = self.stdout.write
        write(self.style.SUCCESS(f"\nThe shop is ready: {address}/"))
        write(f"Admin: {address}{reverse('admin:index')} (user demo, password demo)")
        write("Try these searches:")
        for label, question in _example_searches():
            write(f"  {label}\n    {address}{reverse('mmsearch:search')}?{urlencode(question)}")
        write("")


def _index_apart() -> None:
    """Fill the index in a process of its own: this one would keep a third of the memory it takes.

    Raises SystemExit if that fails.
    """
    get_index().close()  # one process at a time can open a Milvus Lite file
    command = [sys.executable, sys.argv[0], "mmsearch_reindex"]
    # In a session of its own Ctrl-C reaches it once, through this process.
    with subprocess.Popen(command, start_new_session=True) as indexing:  # noqa: S603
        try:
            status = indexing.wait()
        except KeyboardInterrupt:
            indexing.send_signal(signal.SIGINT)
            indexing.wait()
            raise
    if status:
        sys.exit(status)


def _port(given: str) -> int:
    if not given.isdecimal() or not 0 < int(given) < 2**16:
        msg = f"{given!r} is no port from 1 to 65535"
        raise ArgumentTypeError(msg)
    return int(given)


def _check_port(port: int) -> None:
    """Raise CommandError if the port cannot be used, before minutes of work."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            msg = (
                f"Port {port} cannot be used ({error.strerror}); name another: make demo PORT=8001"
            )
            raise CommandError(msg) from error


def _example_searches() -> list[tuple[str, dict[str, Any]]]:
    """Label and query parameters of each search whose starting product exists."""
    found: list[tuple[str, dict[str, Any]]] = [("red mug", {"text": "red mug"})]
    products = Product.objects.public()
    mug = products.filter(kind="mug", colour="blue", pattern="striped").first()
    leopard = products.filter(price=None, title__icontains="leopard").first()
    for start, words in ((mug, "but in red"), (leopard, "a phone case with this")):
        if start:
            found.append((f"{start.title} + {words}", {"like": start.pk, "text": words}))
    return found
