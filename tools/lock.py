"""Write the locked versions, `locks/*.txt`, from `pyproject.toml`: `make lock` or `make upgrade`.

- `locks/dev.txt` and `locks/demo.txt` hold every package of an environment with its hashes, for
  every supported version of Python and every platform. They are installed without dependencies.
- `locks/torch.txt` holds torch and the CUDA packages of its builds for Linux, by version only:
  a machine may offer a build of torch of its own (for CPUs, say), which has other hashes and asks
  for no CUDA packages. It is a file of constraints: what torch does not ask for is not installed.
- `locks/shops.txt` holds the environment of `make test-shops`, without torch. It is resolved on its
  own, because django-oscar and Wagtail set upper bounds that need not fit `locks/dev.txt`.

Versions that still fit stay as they are, unless `--upgrade` is given. Needs uv beside this Python.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "locks"
UV = Path(sys.executable).with_name("uv")
COMMAND = [
    *(UV, "--no-config", "pip", "compile", "-", "--universal", "--python-version", "3.11"),
    *("--generate-hashes", "--no-annotate", "--no-header", "--no-emit-index-url", "--quiet"),
    *("--no-emit-package", "mmsearch", "--constraints", "constraints.txt"),
]
HELD_BACK = "transformers<5.24"
"""FlagEmbedding 1.4.2 cannot be imported with newer releases; `make test-newest` tries them."""
UNUSED = ("sentence-transformers", "huggingface-hub")
"""What the starter embedder never imports: a package of weights asks for the first, and so for
torch; the tokenizers ask for the second, to download files."""
NEVER = "sys_platform == 'never'"
UNHASHED = re.compile(r"(torch|triton|nvidia-|cuda-)")
HEADER = "# Written by `make lock`; see tools/lock.py.\n"


def main() -> None:
    """Write the files named as arguments, or all."""
    kept = "--upgrade" not in sys.argv[1:]
    names = {name for name in sys.argv[1:] if not name.startswith("-")} or {"dev", "shops"}
    LOCKS.mkdir(exist_ok=True)
    if "dev" in names:
        _lock_main(_previous("dev", "torch") if kept else "")
    if "shops" in names:
        # Versions that both environments have are the same, if the shops' bounds allow it.
        before = _previous("shops") if kept else ""
        shops = _compile("-e .", "--group", "shops", previous=before or _previous("dev"))
        _write("shops", _split(shops))


def _lock_main(before: str) -> None:
    dev = _compile(f"-e .\n{HELD_BACK}", "--group", "dev", previous=before)
    # The demo gets the versions of the tests: both share one environment.
    demo = _compile("-e .[starter]", "--group", "build", previous=dev, without=UNUSED)
    for name, pins in (("dev", dev), ("demo", demo)):
        _write(name, [p for p in _split(pins) if not UNHASHED.match(p) and NEVER not in p])
    _write("torch", [_without_hashes(pin) for pin in _split(dev) if UNHASHED.match(pin)])


def _compile(requirement: str, *options: str, previous: str, without: Iterable[str] = ()) -> str:
    """Resolve the requirement `without` some packages. Keep the versions in `previous` that fit."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "lock.txt"
        output.write_text(previous, "utf-8")
        overrides = Path(folder) / "overrides.txt"
        overrides.write_text("".join(f"{name} ; {NEVER}\n" for name in without), "utf-8")
        subprocess.run(  # noqa: S603
            [*COMMAND, *options, "--override", str(overrides), "--output-file", str(output)],
            input=requirement,
            text=True,
            cwd=ROOT,
            check=True,
        )
        return output.read_text("utf-8")


def _previous(*names: str) -> str:
    paths = [LOCKS / f"{name}.txt" for name in names]
    return "".join(path.read_text("utf-8") for path in paths if path.exists())


def _split(pins: str) -> list[str]:
    """One text for each pin, with its hashes."""
    return re.findall(r"^[a-z0-9].*\n(?: .*\n)*", pins, re.MULTILINE)


def _without_hashes(pin: str) -> str:
    return pin.splitlines()[0].removesuffix("\\").rstrip() + "\n"


def _write(name: str, pins: list[str]) -> None:
    path = LOCKS / f"{name}.txt"
    path.write_text(HEADER + "".join(pins), "utf-8")
    print(f"{path.relative_to(ROOT)}: {len(pins)} packages")  # noqa: T201


if __name__ == "__main__":
    main()
