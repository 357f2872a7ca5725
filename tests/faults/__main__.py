"""Inject every fault: `python -m tests.faults [--write] [pytest's arguments]`.

Two processes share the work, each with servers of its own: a private PostgreSQL, and what
`tests/faults` starts. With `--write` the table in `docs/reference/faults.md` is written anew from
what was seen.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.faults.report import PAGE, make_page
from tests.postgres import ROOT, cluster

PROCESSES = 2


def main(arguments: list[str]) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers are stopped
    given = [argument for argument in arguments if argument != "--write"]
    command = [sys.executable, "-m", "pytest", "-m", "faults", "-p", "no:randomly"]
    command += ["tests/faults", *given]  # in an order in which the shop rarely moves
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mmsearch-faults-")))
        running = []
        for number in range(PROCESSES):
            environment = {
                **os.environ,
                "DATABASE_URL": stack.enter_context(cluster()),
                "MMSEARCH_FAULTS_PART": f"{number}/{PROCESSES}",
                "MMSEARCH_FAULTS_RESULTS": str(folder / f"{number}.json"),
            }
            output = stack.enter_context((folder / f"{number}.txt").open("w+b"))
            process = subprocess.Popen(
                command, env=environment, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT
            )
            stack.enter_context(process)
            stack.callback(process.terminate)
            running.append((process, output))
        codes = [process.wait() for process, _ in running]
        for _, output in running:
            output.seek(0)
            sys.stdout.write(output.read().decode(errors="replace"))
        if "--write" in arguments and not any(codes):
            seen = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
            PAGE.write_text(make_page([row for part in seen for row in part]))
    return max(codes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
