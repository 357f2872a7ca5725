"""The README's two commands complete an environment that was set up only partly."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("made", ["nothing", "an environment without pip"])
def test_an_incomplete_environment_is_completed(tmp_path: Path, made: str) -> None:
    environment = tmp_path / "environment"
    if made != "nothing":
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    pip = environment / "bin" / "pip"
    names = [f"VENV={environment}", f"PYTHON={sys.executable}"]
    subprocess.run(["make", *names, str(pip)], cwd=ROOT, check=True, capture_output=True)
    subprocess.run([pip, "--version"], check=True, capture_output=True)
