"""The locked versions fit what `pyproject.toml` asks for, on every version of Python."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
GROUPS = PROJECT["dependency-groups"]
PYTHONS = [
    classifier.rpartition(" ")[2]
    for classifier in PROJECT["project"]["classifiers"]
    if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", classifier)
]


def read_pins(name: str, python: str) -> dict[str, str]:
    """The version of each package that is installed on Linux with this version of Python."""
    text = (ROOT / "locks" / f"{name}.txt").read_text("utf-8")
    pins = re.findall(r"^[a-z0-9].*?(?= \\$|$)", text, re.MULTILINE)
    found = {}
    for requirement in map(Requirement, pins):
        if applies(requirement, python):
            [pin] = requirement.specifier
            assert requirement.name not in found
            found[requirement.name] = pin.version
    return found


def applies(requirement: Requirement, python: str) -> bool:
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.7",
        "sys_platform": "linux",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
        "extra": "",
    }
    return requirement.marker is None or requirement.marker.evaluate(environment)


def asked_for(entries: list[str | dict[str, str]]) -> Iterator[Requirement]:
    """Requirements, with those of included groups and of the package's own extras."""
    for entry in entries:
        if isinstance(entry, dict):
            yield from asked_for(GROUPS[entry["include-group"]])
            continue
        requirement = Requirement(entry)
        if requirement.name == PROJECT["project"]["name"]:
            for extra in requirement.extras:
                yield from asked_for(EXTRAS[extra])
        else:
            yield requirement


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(
    ("name", "entries"),
    [
        ("demo", [*EXTRAS["starter"], *GROUPS["build"]]),
        ("dev", GROUPS["dev"]),
        ("shops", GROUPS["shops"]),
    ],
    ids=["demo", "dev", "shops"],
)
def test_every_dependency_is_locked_to_a_version_that_fits(
    name: str, entries: list[str | dict[str, str]], python: str
) -> None:
    pins = read_pins(name, python) | read_pins("torch", python)
    wanted = [*map(Requirement, PROJECT["project"]["dependencies"]), *asked_for(entries)]
    wrong = []
    for requirement in wanted:
        version = pins.get(canonicalize_name(requirement.name), "")
        if applies(requirement, python) and not requirement.specifier.contains(version):
            wrong.append(f"{requirement}: locked is {version or 'none'}")
    assert wrong == [], "run: make lock"


@pytest.mark.parametrize("python", PYTHONS)
def test_the_demo_runs_on_the_versions_that_the_tests_ran_on(python: str) -> None:
    assert read_pins("demo", python).items() <= read_pins("dev", python).items()
