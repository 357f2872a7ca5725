"""The two commands of the README set up what they need, wherever they were stopped before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("made", ["nothing", "an environment without pip"])
def test_an_environment_is_made_whole(tmp_path: Path, made: str) -> None:
    environment = tmp_path / "environment"
    if made != "nothing":
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    pip = environment / "bin" / "pip"
    names = [f"VENV={environment}", f"PYTHON={sys.executable}"]
    subprocess.run(["make", *names, str(pip)], cwd=ROOT, check=True, capture_output=True)
    subprocess.run([pip, "--version"], check=True, capture_output=True)
