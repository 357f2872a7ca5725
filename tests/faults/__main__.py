"""Inject every fault: `python -m tests.faults [--write] [pytest's arguments]`.

Starts a private PostgreSQL; `tests/faults` starts the other servers. With `--write` the table in
`docs/reference/faults.md` is written anew from what was seen.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.faults.report import PAGE, make_page
from tests.postgres import ROOT, cluster


def main(arguments: list[str]) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the server is stopped
    write = "--write" in arguments
    given = [argument for argument in arguments if argument != "--write"]
    with tempfile.TemporaryDirectory(prefix="mmsearch-faults-") as folder, cluster() as url:
        seen = Path(folder) / "seen.json"
        environment = {**os.environ, "DATABASE_URL": url, "MMSEARCH_FAULTS_RESULTS": str(seen)}
        command = [sys.executable, "-m", "pytest", "-m", "faults", "-p", "no:randomly"]
        command += ["tests/faults", *given]  # in an order in which the shop rarely moves
        code = subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode
        if write and not code:
            PAGE.write_text(make_page(json.loads(seen.read_text())))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
