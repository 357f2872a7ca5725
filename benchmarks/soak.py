"""A whole production on one machine, of which parts are killed while it is used.

`python -m benchmarks.soak [--minutes 10] [--seed 1] [--model starter]` starts gunicorn with two
processes, `mmsearch_serve`, three workers, Celery with Redis, PostgreSQL and a Milvus server, all
private and on the loopback. Editors save, delete, unpublish and roll back, visitors search, and
parts are killed and started again at random. Then everything comes to rest, and shop and index
are compared in full. Exits with 1 if anything differs, or a visitor got an error other than 503
or 429.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from pathlib import Path
from urllib.parse import quote

from django.core.files.base import ContentFile
from PIL import Image

from tests.faults.servers import Milvus, Redis
from tests.pictures import encode
from tests.postgres import ROOT, cluster
from tests.servers import free_port
from tests.waiting import until

COLOURS = ("red", "green", "blue")
PRODUCTS = 60
EDITORS = 2
VISITORS = 4
THINKING = 0.25
"""Mean seconds between two requests of a visitor, and two changes of an editor."""
QUIET_SECONDS = 180
REFUSALS = (503, 429)
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Part:
    """A process of the production, which can be killed and started again."""

    def __init__(self, name: str, command: list[str], folder: Path, env: dict[str, str]) -> None:
        self.name = name
        self._command = [sys.executable, *command]
        self._log = (folder / f"{name}.log").open("ab")
        self._env = env
        self.memory: list[int] = []
        """Bytes of each sample since it was last started."""
        self.start()

    def start(self) -> None:
        self.memory = []
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, env=self._env, stdout=self._log, stderr=self._log
        )

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it and its children with SIGKILL."""
        children = list(_children(self._process.pid))
        for pid in (self._process.pid, *children):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(30)

    def ensure(self) -> None:
        """Start it if it has ended by itself, as a process manager does."""
        if self._process.poll() is not None:
            self.start()

    def measure(self) -> None:
        self.memory.append(sum(map(_resident, (self._process.pid, *_children(self._process.pid)))))

    def close(self) -> None:
        self.signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(15)
        self.kill()
        self._log.close()


def _children(pid: int) -> Iterator[int]:
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield int(child)
                yield from _children(int(child))


def _resident(pid: int) -> int:
    with suppress(FileNotFoundError, ProcessLookupError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
    return 0


class Production:
    """The servers and processes, and what they have in common."""

    def __init__(self, stack: ExitStack, folder: Path, model: str) -> None:
        self.folder = folder
        database = stack.enter_context(cluster())
        self.redis = Redis(folder)
        stack.callback(self.redis.close)
        self.milvus = Milvus(folder / "milvus")
        stack.callback(self.milvus.close)
        self.port, serving = free_port(), free_port()
        backend = "mmsearch_app.testing.TestingEmbedder" if model == "testing" else model
        self.env = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "benchmarks.soak_settings",
            "DATABASE_URL": database,
            "MILVUS_URI": f"http://127.0.0.1:{self.milvus.port}",
            "SHOP_DATA": str(folder / "shop"),
            "SOAK_REDIS": self.redis.url,
            "SOAK_MODEL": f"http://127.0.0.1:{serving}/v1",
            "SOAK_DIMENSION": str(_dimension(model)),
            "PYTHONUNBUFFERED": "1",
        }
        os.environ.update(self.env)
        import_module("benchmarks.soak_shop")  # sets up Django and Celery
        _fill()
        manage = ["manage.py"]
        serve = ["mmsearch_serve", backend, "--name", "soak", "--port", str(serving)]
        gunicorn = [
            "-m",
            "gunicorn",
            "benchmarks.soak_shop:application",
            "--workers=2",
            "--threads=4",
        ]
        gunicorn += [f"--bind=127.0.0.1:{self.port}", "--log-level=warning"]
        celery = ["-m", "celery", "-A", "benchmarks.soak_shop", "worker", "--pool=solo", "-B"]
        celery += ["-s", str(folder / "beat"), "--loglevel=warning"]
        commands = {"model": [*manage, *serve], "web": gunicorn, "celery": celery}
        commands |= {f"worker-{n}": [*manage, "mmsearch_worker"] for n in (1, 2, 3)}
        self.parts = {}
        for name, command in commands.items():
            env = {**self.env, "PGAPPNAME": name}
            self.parts[name] = Part(name, command, folder, env)
            stack.callback(self.parts[name].close)


def _dimension(model: str) -> int:
    if model == "testing":
        from mmsearch_app.testing import TestingEmbedder

        return TestingEmbedder.dimension
    from mmsearch_app.backends import build_embedder

    return build_embedder(model).dimension


def _fill() -> None:
    from django.core.management import call_command

    call_command("migrate", run_syncdb=True, verbosity=0)
    for number in range(PRODUCTS):
        stock(number)


def stock(number: int) -> None:
    from example_shop.models import Product

    colour, kind = COLOURS[number % 3], ("mug", "shirt", "bag", "lamp")[number % 4]
    name = uuid.uuid4().hex
    product = Product.objects.create(
        sku=name, slug=name, title=f"{colour} {kind} {number}", price=10 + number % 50, stock=1
    )
    product.images.create(original=draw(colour, side=32 + number % 90))


def draw(colour: str, *, side: int) -> ContentFile[bytes]:
    """Return an image file of one colour."""
    image = Image.new("RGB", (side, side), colour)
    return ContentFile(encode(image, "PNG"), name=f"{colour}-{side}.png")


class Crowd:
    """Threads that use the shop until they are told to stop."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.stopped = threading.Event()
        self.threads: list[threading.Thread] = []
        self.count: Counter[str] = Counter()
        """Changes by kind, searches by kind, and answers by status."""
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.errors: list[str] = []
        self.lock = threading.Lock()

    def send(self, work: Callable[[random.Random], object], *, pause: float) -> None:
        chance = random.Random(self.seed + len(self.threads))

        def run() -> None:
            from django.db import connections

            while not self.stopped.wait(chance.expovariate(1 / pause)):
                try:
                    work(chance)
                except Exception as error:
                    with self.lock:
                        self.errors.append(f"{type(error).__name__}: {error}")
                    connections.close_all()
            connections.close_all()

        thread = threading.Thread(target=run)
        thread.start()
        self.threads.append(thread)

    def stop(self) -> None:
        self.stopped.set()
        for thread in self.threads:
            thread.join(120)


class _Undo(Exception):
    """Rolls a transaction back."""


def edit(crowd: Crowd, chance: random.Random) -> None:
    """Make one change of a random kind."""
    from django.db import transaction

    from example_shop.models import Product

    kind = chance.choice(
        ["retitle", "retitle", "price", "hide", "show", "delete", "create", "picture", "undo"]
    )
    ids = list(Product.objects.values_list("pk", flat=True))
    product = Product.objects.filter(pk=chance.choice(ids)).first()
    if product is None:
        return
    with suppress(_Undo), transaction.atomic():
        product = Product.objects.select_for_update().filter(pk=product.pk).first()
        if product is None:
            return
        if kind == "create" or len(ids) < PRODUCTS / 2:
            stock(chance.randrange(1000))
        elif kind == "delete" and len(ids) > PRODUCTS / 2:
            product.delete()
        elif kind == "picture" and (image := product.images.first()):
            image.original = draw(chance.choice(COLOURS), side=chance.randrange(32, 160))
            image.save()
        else:
            product.title = f"{product.title.split()[0]} mug {chance.randrange(1000)}"
            product.price = chance.randrange(5, 60)
            product.is_public = kind != "hide"
            product.save()
        if kind == "undo":
            raise _Undo
    with crowd.lock:
        crowd.count[f"edit {kind}"] += 1


def visit(crowd: Crowd, chance: random.Random, port: int, picture: bytes) -> None:
    """Search once, in a random way, and note the answer."""
    words = quote(chance.choice(["red mug", "blue", "a green shirt", "lamp", "bag in red"]))
    fields = {"text": "in blue", "limit": "12"}
    kinds: dict[str, tuple[str, str, bytes, str]] = {
        "page, words": ("GET", f"/find/?text={words}", b"", ""),
        "API, words": (
            "POST",
            "/api/mmsearch/v1/search/",
            json.dumps({"text": "red mug"}).encode(),
            "application/json",
        ),
        "API, picture": ("POST", "/api/mmsearch/v1/search/", *_multipart({}, picture)),
        "API, composed": ("POST", "/api/mmsearch/v1/search/", *_multipart(fields, picture)),
    }
    kind = chance.choice(list(kinds))
    method, path, body, content_type = kinds[kind]
    headers = {"Content-Type": content_type} if content_type else {}
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body or None, headers)
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    seconds = time.monotonic() - began
    with crowd.lock:
        crowd.count[f"HTTP {answer.status}"] += 1
        if answer.status == 200:
            crowd.seconds[kind].append(seconds)
        elif answer.status in REFUSALS:
            crowd.seconds["refusals"].append(seconds)
        else:
            crowd.errors.append(f"{kind}: {answer.status} {text[:200]!r}")


def _multipart(fields: dict[str, str], picture: bytes) -> tuple[bytes, str]:
    lines = b"".join(
        f'--soak\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    )
    head = b'--soak\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n'
    body = lines + head + b"Content-Type: image/png\r\n\r\n" + picture + b"\r\n--soak--\r\n"
    return body, "multipart/form-data; boundary=soak"


def break_something(production: Production, chance: random.Random, killed: Counter[str]) -> None:
    """Kill one part and start it again after a while."""
    workers = ["worker-1", "worker-2", "worker-3"]
    what = chance.choice(
        [*workers, *workers, "freeze", "celery", "model", "web", "redis", "database", "milvus"]
    )
    if what == "milvus" and killed["milvus"] and chance.random() < 0.7:
        what = "freeze"
    killed[what] += 1
    pause = chance.uniform(0.5, 4)
    if what == "freeze":
        part = production.parts[chance.choice(workers)]
        part.signal(signal.SIGSTOP)
        time.sleep(12)  # past its lease
        part.signal(signal.SIGCONT)
    elif what == "web":
        production.parts["web"].signal(signal.SIGHUP)  # new processes, as at a deployment
    elif what == "redis":
        production.redis.kill()
        time.sleep(pause)
        production.redis.start()
    elif what == "milvus":
        production.milvus.kill()
        time.sleep(pause)
        production.milvus.start()
    elif what == "database":
        _end_connections(["worker-1", "worker-2", "worker-3", "celery"])
    else:
        production.parts[what].kill()
        time.sleep(pause)
        production.parts[what].start()


def _end_connections(names: list[str]) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = ANY(%s) AND pid <> pg_backend_pid()",
            [names],
        )


@contextmanager
def _started(production: Production) -> Iterator[None]:
    """Wait until the first pictures are found."""

    def answers() -> bool:
        crowd = Crowd(0)
        with suppress(OSError):
            visit(crowd, random.Random(0), production.port, draw("red", side=50).read())
            return crowd.count["HTTP 200"] == 1
        return False

    until(answers, seconds=120)
    yield


def run(*, minutes: float, seed: int, model: str) -> int:
    """Run it all; returns the exit code."""
    folder = Path(tempfile.mkdtemp(prefix="mmsearch-soak-"))
    try:
        with ExitStack() as stack:
            production = Production(stack, folder, model)
            return _measure(production, minutes=minutes, seed=seed)
    except BaseException:
        for log in sorted(folder.glob("*.log")):
            print(f"--- {log.name}", log.read_text(errors="replace")[-3000:], sep="\n")
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measure(production: Production, *, minutes: float, seed: int) -> int:
    with _started(production):
        crowd, chance, killed = Crowd(seed), random.Random(seed), Counter[str]()
        photo = draw("blue", side=300).read()
        for _ in range(EDITORS):
            crowd.send(lambda chance: edit(crowd, chance), pause=THINKING)
        for _ in range(VISITORS):
            crowd.send(lambda c: visit(crowd, c, production.port, photo), pause=THINKING)
        began = time.monotonic()
        while time.monotonic() - began < 60 * minutes:
            time.sleep(chance.uniform(4, 10))
            for part in production.parts.values():
                part.ensure()
                part.measure()
            break_something(production, chance, killed)
        seconds = time.monotonic() - began
        crowd.stop()
        left, quiet = _settle(production)
    return report(production, crowd, killed, left=left, seconds=seconds, quiet=quiet)


def _settle(production: Production) -> tuple[list[str], float]:
    """Wait until nothing is left to do; returns what differs, and the seconds it took."""
    from mmsearch_app.models import Entry
    from tests.faults.comparison import differences

    began = time.monotonic()
    while time.monotonic() - began < QUIET_SECONDS:
        for part in production.parts.values():
            part.ensure()
        if not Entry.objects.filter(due_at__isnull=False).exists():
            break
        time.sleep(1)
    quiet = time.monotonic() - began
    left = differences()
    for part in production.parts.values():
        part.measure()
    return left, quiet


def report(
    production: Production,
    crowd: Crowd,
    killed: Counter[str],
    *,
    left: list[str],
    seconds: float,
    quiet: float,
) -> int:
    """Print the figures; returns the exit code."""
    served = [
        second for kind, all_ in crowd.seconds.items() if kind != "refusals" for second in all_
    ]
    edits = {kind[5:]: n for kind, n in sorted(crowd.count.items()) if kind.startswith("edit")}
    statuses = {kind[5:]: n for kind, n in sorted(crowd.count.items()) if kind.startswith("HTTP")}
    print(f"{seconds:.0f} seconds, {os.cpu_count()} cores")
    print(f"killed or ended: {dict(sorted(killed.items()))}")
    print(f"changes: {sum(edits.values())} {edits}")
    print(f"answers: {sum(statuses.values())} {statuses}, {len(served) / seconds:.1f} searches/s")
    for kind, times in sorted(crowd.seconds.items()):
        print(f"{kind:14} {len(times):6}  {_percentiles(times)}")
    print(f"all searches   {len(served):6}  {_percentiles(served)}")
    for part in production.parts.values():
        first, last = part.memory[0] / 2**20, part.memory[-1] / 2**20
        print(f"{part.name:10} {first:6.0f} to {last:.0f} MiB in {len(part.memory)} samples")
    print(f"nothing left to do after {quiet:.0f} s; differences: {len(left)}")
    for line in left:
        print(f"  {line}")
    print(f"errors: {len(crowd.errors)}")
    for line, count in Counter(crowd.errors).most_common(20):
        print(f"  {count} times {line}")
    return 1 if left or crowd.errors else 0


def _percentiles(times: list[float]) -> str:
    if len(times) < 2:
        return "-"
    cuts = statistics.quantiles(times, n=100)
    return f"p50 {cuts[49]:.3f} s  p95 {cuts[94]:.3f} s  p99 {cuts[98]:.3f} s"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", default="testing", help="an embedder's preset, such as starter")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    given = parser.parse_args()
    sys.exit(run(minutes=given.minutes, seed=given.seed, model=given.model))
