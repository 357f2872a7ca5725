"""Start a real server with the example shop, and ask it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tests.postgres import ROOT

PREPARE = """
import django
django.setup()
from django.core.management import call_command
call_command("migrate", run_syncdb=True, verbosity=0)
from example_shop.models import Product, ProductImage
from tests.shop import picture_file
for number, colour in enumerate(("red", "green", "blue")):
    product = Product.objects.create(title=f"{colour} mug", sku=str(number), slug=str(number))
    ProductImage.objects.create(product=product, original=picture_file(colour))
"""
APPLICATION = """
from django.core.{kind} import get_{kind}_application
application = get_{kind}_application()
"""
_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


@dataclass(frozen=True, kw_only=True)
class Shop:
    """A shop with three products that wait to be indexed."""

    folder: Path
    environment: Mapping[str, str]

    @classmethod
    def prepare(cls, folder: Path, **mmsearch: Any) -> Shop:
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.serving.settings",
            "SHOP_DATA": str(folder),
            "DATABASE_URL": "",
            "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}",
            "PYTHONUNBUFFERED": "1",
            "MMSEARCH": json.dumps(mmsearch),
        }
        for kind in ("wsgi", "asgi"):
            (folder / f"shop_{kind}.py").write_text(APPLICATION.format(kind=kind))
        subprocess.run([sys.executable, "-c", PREPARE], cwd=ROOT, env=environment, check=True)
        return cls(folder=folder, environment=environment)

    @contextmanager
    def serve(self, *command: str) -> Iterator[Server]:
        """Run `python -m` with the command; end it with SIGTERM."""
        log = self.folder / "server.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            yield Server(process=process, log=log)
        finally:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


@dataclass(frozen=True, kw_only=True)
class Server:
    process: subprocess.Popen[bytes]
    log: Path

    def address(self) -> str:
        found = _ADDRESS.search(self.log.read_text())
        return found.group() if found else ""

    def search(self, words: str) -> tuple[int, Any]:
        """Return status and body of the API's answer; 0 if there is none yet."""
        body = json.dumps({"text": words}).encode()
        headers = {"Content-Type": "application/json"}
        url = f"{self.address()}/api/mmsearch/v1/search/"
        if not self.address():
            return 0, None
        try:
            asked = Request(url, body, headers)  # noqa: S310, our own server
            with urlopen(asked, timeout=30) as answer:  # noqa: S310
                return answer.status, json.load(answer)
        except HTTPError as error:
            return error.code, json.load(error)
        except OSError:
            return 0, None

    def page(self) -> int:
        """Return the status of a plain page."""
        try:
            with urlopen(f"{self.address()}/admin/login/", timeout=30) as answer:  # noqa: S310
                return int(answer.status)
        except HTTPError as error:
            return error.code
