"""Run code in a new interpreter, where nothing is imported yet."""

from __future__ import annotations

import subprocess
import sys
from textwrap import indent


def run(code: str) -> str:
    """Run the code and return what it prints. Raises CalledProcessError if it fails."""
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    return done.stdout.decode()


def imports(code: str, *modules: str) -> list[str]:
    """Those of the modules that the code imports, sorted."""
    return run(f"{code}\nimport sys\nprint(*sorted({set(modules)} & set(sys.modules)))").split()


def error_without(library: str, code: str) -> str:
    """The message of the code's ImportError if the library is not installed, or ""."""
    return run(
        f"import sys\nsys.modules[{library!r}] = None\n"
        f"try:\n{indent(code, '    ')}\nexcept ImportError as error:\n    print(error)\n"
    )
