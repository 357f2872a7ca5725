"""The tests on every supported pair of Python and Django that this machine can run.

    nox                            # all pairs; a version of Python that is absent is skipped
    nox -s "tests(3.12, 6.0)" -- tests/api
    nox -s models                  # with torch and every model, on each Python

The pairs run without torch: no model depends on the version of Django, and its tests skip.
Every session takes the newest releases that its Python and its Django allow.
"""

from __future__ import annotations

import nox

nox.needs_version = ">=2025.2"
nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["tests"]

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
DJANGOS = {"5.2": PYTHONS, "6.0": PYTHONS[1:], "6.1": PYTHONS[1:]}
PAIRS = [
    nox.param(python, django, id=f"{python}, {django}")
    for django, pythons in DJANGOS.items()
    for python in pythons
]


@nox.session
@nox.parametrize("python,django", PAIRS)
def tests(session: nox.Session, django: str) -> None:
    """The app and the example shop with one version of Django, without models."""
    session.install("-e", ".", "--group", "test-base", f"django~={django}.0")
    session.run("python", "-m", "pytest", *session.posargs, env={"HF_HUB_OFFLINE": "1"})


@nox.session(python=PYTHONS)
def models(session: nox.Session) -> None:
    """Every test, with torch and the newest Django."""
    session.install("-e", ".", "--group", "test", "-c", "constraints.txt")
    session.run("python", "-m", "pytest", *session.posargs, env={"HF_HUB_OFFLINE": "1"})
