"""What `make demo` takes in a fresh clone: time, disk, and the memory of the serving process.

    python -m benchmarks.demo

Clones the last commit, runs `make demo` there, and asks the shop by words and by products with
words. Seconds are wall time and, in brackets, CPU time, which other programs disturb less.
Downloads should be cached: run it twice. Linux only. With `--memory` the demo is started again
and asked: a process that has not indexed itself.
"""

from __future__ import annotations

import argparse
import http.client
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlencode

from tests.servers import free_port
from tests.waiting import until

ROOT = Path(__file__).resolve().parent.parent
PHASES = {
    "manage.py demo": "install and draw",
    "pictures drawn": "stock the shop",
    "images indexed": "index",
    "The shop is ready": "test search",
}
"""What `make demo` prints at the end of each phase."""
WORDS = ("red mug", "blue sneakers", "rote Tasse", "mug rouge sans rayures", "floral dress")
WISHES = ("but in red", "but striped", "but in blue")
SETTINGS = "DJANGO_SETTINGS_MODULE"  # which the helpers of the tests set
SERVING = ".venv/bin/python manage.py demo"
EACH = 20
"""Searches from one address, below what the shop allows in a minute."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--searches", type=int, default=120)
    parser.add_argument("--memory", action="store_true", help="start the demo again, and ask it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder, "clone")
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        _try(clone, searches=options.searches)
        print(f"environment: {_size(clone / '.venv') / 1e6:.0f} MB")
        if options.memory:
            _try(clone, searches=options.searches)


def _try(clone: Path, *, searches: int) -> None:
    port = free_port()
    with _demo(clone, port) as demo:
        _print_phases(demo)
        serving = next(pid for pid in _tree(demo.pid) if _command(pid).startswith(SERVING))
        until(lambda: _answers(port))
        print(f"serving process: {_memory(serving)}")
        start = _cpu(serving)
        for number in range(searches):
            _ask(port, number)
        taken = (_cpu(serving) - start) / searches * 1000
        print(f"after {searches} searches of {taken:.0f} ms CPU each: {_memory(serving)}")
        for pid in _tree(serving):
            if pid != serving:
                print(f"its child, {_command(pid)[:60]}: {_memory(pid)}")


@contextmanager
def _demo(clone: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    unlike_users = {"PYTHONDONTWRITEBYTECODE", "SHOP_DATA", "MALLOC_ARENA_MAX", SETTINGS}
    env = {name: value for name, value in os.environ.items() if name not in unlike_users}
    env["PYTHONUNBUFFERED"] = "1"  # else a pipe gets the lines late
    python = f"PYTHON={sys.base_prefix}/bin/python3"
    command = ["make", "demo", f"PORT={port}", "VENV=.venv", python]
    with subprocess.Popen(
        command, cwd=clone, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as demo:
        try:
            yield demo
        finally:
            for pid in reversed(list(_tree(demo.pid))):
                with suppress(ProcessLookupError):
                    os.kill(pid, 15)


def _print_phases(demo: subprocess.Popen[str]) -> None:
    """Print what each phase took, up to the last one."""
    assert demo.stdout
    start, used = time.perf_counter(), 0.0
    total = start
    left, said = dict(PHASES), ""
    for line in demo.stdout:
        said += line
        for mark in [mark for mark in left if mark in line]:
            now, cpu = time.perf_counter(), sum(map(_cpu, _tree(demo.pid)))
            print(f"{left.pop(mark)}: {now - start:.1f} s ({cpu - used:.1f})", flush=True)
            start, used = now, cpu
        if not left or "The shop is ready" in line:
            print(f"ready: {time.perf_counter() - total:.1f} s ({used:.1f})")
            return
    raise SystemExit(f"{said}\nThe demo ended before it served.")


def _tree(pid: int) -> Iterator[int]:
    """Yield the process and all that come from it."""
    yield pid
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _tree(int(child))


def _cpu(pid: int) -> float:
    """Return the CPU seconds of a process and of its children that have ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


def _memory(pid: int) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    now, most = (
        next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))
        for name in ("VmRSS", "VmHWM")
    )
    return f"{now:.0f} MiB resident, at most {most:.0f} so far"


def _answers(port: int) -> bool:
    try:
        _get(port, "/", address=2)
    except OSError:
        return False
    return True


def _ask(port: int, number: int) -> None:
    """Search by words or, every second time, by a product with words; none twice."""
    question = {"text": f"{WORDS[number % len(WORDS)]} {number}"}
    if number % 2:
        question = {"like": str(number + 1), "text": WISHES[number % len(WISHES)]}
    _get(port, f"/find/?{urlencode(question)}", address=3 + number // EACH)


def _get(port: int, path: str, *, address: int) -> None:
    connection = http.client.HTTPConnection(
        "127.0.0.1", port, timeout=60, source_address=(f"127.0.0.{address}", 0)
    )
    connection.request("GET", path)
    response = connection.getresponse()
    response.read()
    connection.close()
    if response.status != http.client.OK:
        raise SystemExit(f"{path}: {response.status}")


def _size(folder: Path) -> int:
    """Return the bytes of the files in a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*"))


if __name__ == "__main__":
    main()
