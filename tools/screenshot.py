"""Take the README's picture of the example shop: `make screenshot`."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
PORT = 8123
PAGE = f"http://127.0.0.1:{PORT}"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]


def main() -> None:
    """Start the demo, ask the README's question, keep what a visitor sees."""
    command = [sys.executable, str(ROOT / "manage.py"), "demo", "--port", str(PORT)]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    demo = subprocess.Popen(  # noqa: S603
        command, stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert demo.stdout is not None  # noqa: S101 - for the type checker
        link = next(line.strip() for line in demo.stdout if "like=" in line and "red" in line)
        _wait()
        _shoot(link)
    finally:
        demo.send_signal(signal.SIGINT)
        demo.wait(30)


def _wait() -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(PAGE, timeout=5)
        except urllib.error.URLError:
            time.sleep(1)
        else:
            return


def _shoot(address: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.goto(address, wait_until="networkidle")
        image = Image.open(io.BytesIO(page.screenshot()))
        browser.close()
    image.convert("RGB").save(ROOT / "docs" / "screenshot.webp", quality=82, method=6)


if __name__ == "__main__":
    main()
