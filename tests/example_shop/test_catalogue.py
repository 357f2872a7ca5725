"""The shop's own catalogue: `make_catalogue` and `demo`."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from example_shop.catalogue import items
from example_shop.drawing import draw_all, file_name, tasks_of
from example_shop.models import Product
from mmsearch_app.testing import index_everything
from tests.embedders.starter.parts import needs_weights
from tests.servers import free_port
from tests.waiting import until

pytestmark = pytest.mark.django_db
Shop = dict[str, Product]


@pytest.fixture
def few(settings: Any) -> Path:
    """Two products and the inspiration, drawn and on sale."""
    call_command("make_catalogue", limit=2, jobs=1, stdout=StringIO(), stderr=StringIO())
    return Path(settings.MEDIA_ROOT)


def test_the_catalogue_is_drawn_and_put_on_sale(client: Client, few: Path) -> None:
    products = Product.objects.for_sale()
    assert products.count() == 2
    for product in products:
        assert [image.position for image in product.images.all()] == [0, 1]
        assert all(Path(image.original.path).stat().st_size for image in product.images.all())
        assert product.kind
        assert product.colour
        assert client.get(product.get_absolute_url()).status_code == 200


def test_making_the_catalogue_again_adds_nothing_and_keeps_edits(few: Path) -> None:
    Product.objects.update(title="Edited")
    before = sorted(path.stat().st_mtime_ns for path in few.rglob("*.jpg"))
    out = StringIO()
    call_command("make_catalogue", limit=2, jobs=1, stdout=out)
    assert "0 pictures drawn, 0 products new." in out.getvalue()
    assert sorted(path.stat().st_mtime_ns for path in few.rglob("*.jpg")) == before
    assert set(Product.objects.values_list("title", flat=True)) == {"Edited"}


def test_several_processes_draw_the_same_pictures_in_the_same_order() -> None:
    tasks = [("MUG-001", 0), ("MUG-001", 1), ("TEE-002", 0)]
    assert list(draw_all(tasks, jobs=2)) == list(draw_all(tasks, jobs=1))


DRAWING = """
from contextlib import closing
from example_shop.drawing import draw_all

if __name__ == "__main__":
    tasks = [("MUG-001", 0), ("MUG-001", 1)] * 6_000  # more lines than a pipe holds
    try:
        with closing(draw_all(tasks, jobs=2)) as drawn:
            for _ in drawn:
                print("drawn", flush=True)
    except KeyboardInterrupt:
        print("stopped")
"""


@pytest.mark.parametrize("soon", [True, False], ids=["before the first picture", "after it"])
def test_ctrl_c_is_heard_by_the_one_who_asked_and_by_no_process_that_draws(
    tmp_path: Path, soon: bool
) -> None:
    script = tmp_path / "drawing.py"
    script.write_text(DRAWING)
    with subprocess.Popen(
        [sys.executable, script],
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as run:
        assert run.stdout
        try:
            if soon:
                until(lambda: len(children(run.pid)) >= 2)
            else:
                assert run.stdout.readline() == "drawn\n"
            os.killpg(run.pid, signal.SIGINT)
            out, err = run.communicate(timeout=300)
        finally:
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGKILL)
    assert (out.splitlines()[-1], err) == ("stopped", "")
    assert out.count("drawn") < 12_000


def children(pid: int) -> list[str]:
    """Processes that the one of that id has started to draw, and in which Python has begun."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    drawing = [one for one in found if "spawn_main" in Path(f"/proc/{one}/cmdline").read_text()]
    return [one for one in drawing if _caught(one) & 1 << signal.SIGINT - 1]


def _caught(pid: str) -> int:
    """The signals that a process has handlers for, as bits."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"SigCgt:\s*(\w+)", status)[0], 16)


def test_a_lost_picture_is_drawn_again(few: Path) -> None:
    lost = next(few.rglob("*.jpg"))
    while lost.name.startswith("ins-"):
        lost = next(path for path in few.rglob("*.jpg") if path != lost)
    drawn = lost.read_bytes()
    lost.unlink()
    call_command("make_catalogue", limit=2, jobs=1, stdout=StringIO(), stderr=StringIO())
    assert lost.read_bytes() == drawn


def test_a_folder_gets_the_pictures_that_it_lacks_and_no_half_of_one(tmp_path: Path) -> None:
    lost = ("MUG-001", 0), ("MUG-002", 1)
    for task in tasks_of(items()):
        path = tmp_path / file_name(*task)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"" if task in lost else b"as it was")
    half, none = (tmp_path / file_name(*task) for task in lost)
    half.rename(half.with_suffix(".part"))  # what a process leaves that is killed
    none.unlink()
    subprocess.run([sys.executable, "-m", "example_shop.drawing", tmp_path], check=True)
    assert [half.read_bytes(), none.read_bytes()] == [data for _, data in draw_all(lost, jobs=1)]
    others = [path for path in tmp_path.rglob("*.*") if path not in {half, none}]
    assert {path.read_bytes() for path in others} == {b"as it was"}


def test_ctrl_c_stops_the_drawing_of_a_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "example_shop.drawing", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as run:
        try:
            until(lambda: any(tmp_path.rglob("*.jpg")))
            os.killpg(run.pid, signal.SIGINT)
            _, err = run.communicate(timeout=300)
        finally:
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGKILL)
    assert (run.returncode, err) == (130, b"")
    assert len(list(tmp_path.rglob("*.jpg"))) < len(tasks_of(items()))


def test_the_inspiration_can_be_asked_with(client: Client, few: Path) -> None:
    index_everything()
    leopard = Product.objects.get(price=None)
    asked = client.get("/find/", {"like": str(leopard.pk), "text": "a phone case with this"})
    assert asked.status_code == 200
    assert len(asked.context["answer"].hits) == 2
    assert leopard not in [hit.product for hit in asked.context["answer"].hits]


def test_the_demo_does_nothing_where_its_port_is_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(CommandError, match=f"Port {port} cannot be used .*in use"):
            call_command("demo", serve=True, limit=2, port=port, stdout=StringIO())
    assert not Product.objects.exists()


@pytest.mark.parametrize("port", ["0", "65536", "99999999", "web"])
def test_the_demo_names_a_port_that_is_none(port: str) -> None:
    with pytest.raises(CommandError, match=f"'{port}' is no port from 1 to 65535"):
        call_command("demo", f"--port={port}")


def test_the_demo_prepares_everything_and_names_its_searches(client: Client, settings: Any) -> None:
    settings.DEBUG = True
    for _ in range(2):
        out = StringIO()
        call_command("demo", serve=False, limit=2, jobs=1, port=8123, stdout=out)
        links = re.findall(r"http://127\.0\.0\.1:8123(/find/\S+)", out.getvalue())
        assert links[0] == "/find/?text=red+mug"
        assert "text=a+phone+case+with+this" in links[-1]
        for link in links:
            assert client.get(link).context["answer"].hits


@needs_weights
def test_the_demo_that_is_stopped_while_it_indexes_goes_on_from_there(tmp_path: Path) -> None:
    """The index is filled by a process of its own, which must end too and release its lease."""
    assert _stop_demo(tmp_path, when="is indexing") == 130
    assert _stop_demo(tmp_path, when="Quit the server") == 0


def _stop_demo(data: Path, *, when: str) -> int:
    """Send Ctrl-C to the demo when it has printed that; returns its exit code."""
    command = [sys.executable, "manage.py", "demo", "--limit=12", f"--port={free_port()}"]
    env = {**os.environ, "SHOP_DATA": str(data), "PYTHONUNBUFFERED": "1"}
    env.pop("DJANGO_SETTINGS_MODULE", None)
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as demo:
        assert demo.stdout
        try:
            assert any(when in line for line in demo.stdout)
            os.killpg(demo.pid, signal.SIGINT)
            return demo.wait(timeout=120)
        finally:
            if demo.poll() is None:
                os.killpg(demo.pid, signal.SIGKILL)
