"""Milvus Lite: one process, one writer, and acknowledged writes survive."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmsearch_app.indexes.base import Generation, IndexUnavailable
from mmsearch_app.indexes.milvus import MilvusIndex
from tests.indexes.kit import ROOT, record, records, run_python, unit, units, where
from tests.waiting import until

OPEN = """
import sys
from mmsearch_app.indexes.milvus import MilvusIndex
from tests.indexes.kit import record, records
index = MilvusIndex(uri=sys.argv[1], timeout=300)
"""

LIST = OPEN + "print(*dict(index.contents(generation=sys.argv[2])))"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shop.db"


@pytest.fixture
def index(path: Path) -> Iterator[MilvusIndex]:
    index = MilvusIndex(uri=path)
    yield index
    index.close()


@pytest.fixture
def generation(index: MilvusIndex) -> Generation:
    return index.create(fingerprint="model@1", dimension=4)


def kill_after(path: Path, work: str) -> str:
    """Kill a process once `work` is done; returns its generation."""
    code = (
        OPEN
        + "name = index.create(fingerprint='m', dimension=4).name\n"
        + work
        + "\nprint(name, flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        process.send_signal(signal.SIGKILL)
        process.wait()
    return name


@pytest.mark.parametrize(("given", "used"), [("", "system"), ("mimalloc", "mimalloc")])
def test_arrow_returns_the_memory_that_it_frees_unless_told_otherwise(
    path: Path, monkeypatch: pytest.MonkeyPatch, given: str, used: str
) -> None:
    monkeypatch.delenv("ARROW_DEFAULT_MEMORY_POOL", raising=False)
    if given:
        monkeypatch.setenv("ARROW_DEFAULT_MEMORY_POOL", given)
    pool = "import pyarrow; print(pyarrow.default_memory_pool().backend_name)"
    done = run_python(OPEN + "index.live()\n" + pool, str(path))
    assert done.stdout.split() == [used], done.stderr


def test_written_records_survive_a_kill(path: Path) -> None:
    name = kill_after(path, "index.upsert(records(300), generation=name)")
    index = MilvusIndex(uri=path)
    assert set(dict(index.contents(generation=name))) == {r.id for r in records(300)}
    assert len(index.stored([r.id for r in records(300)], generation=name)) == 300
    index.close()


def test_deleted_records_stay_deleted_after_a_kill(path: Path) -> None:
    work = (
        "index.upsert(records(300), generation=name)\n"
        "index.delete([r.id for r in records(299)], generation=name)"
    )
    name = kill_after(path, work)
    index = MilvusIndex(uri=path)
    assert list(dict(index.contents(generation=name))) == ["r00299"]
    index.close()


def test_concurrent_writes_survive_a_kill(path: Path) -> None:
    work = """
import threading
import time
def write(prefix):
    stored = records(600, prefix=prefix)
    for start in range(0, 600, 30):
        index.upsert(stored[start:start + 30], generation=name)
threads = [threading.Thread(target=write, args=(p,)) for p in "abc"]
[t.start() for t in threads]
[t.join() for t in threads]"""
    name = kill_after(path, work)
    index = MilvusIndex(uri=path)
    assert set(dict(index.contents(generation=name))) == {
        r.id for prefix in "abc" for r in records(600, prefix=prefix)
    }
    index.close()


def test_a_promotion_survives_a_kill(path: Path) -> None:
    name = kill_after(path, "index.promote(name)")
    index = MilvusIndex(uri=path)
    live = index.live()
    assert live is not None
    assert live.name == name
    index.close()


def test_an_index_damaged_by_a_kill_is_rebuilt(
    path: Path, index: MilvusIndex, generation: Generation
) -> None:
    index.upsert(records(300), generation=generation.name)
    until(lambda: list(path.rglob("*.idx")))
    index.close()
    for file in path.rglob("*.idx"):
        file.write_bytes(file.read_bytes()[:100])
    assert len(index.search(unit(1, 0, 0, 0), generation=generation.name, limit=300)) == 300


def test_a_second_process_learns_which_process_has_the_file(
    path: Path, index: MilvusIndex, generation: Generation
) -> None:
    done = run_python(LIST, str(path), generation.name)
    assert done.returncode == 1
    assert f"IndexUnavailable: Milvus Lite cannot open {path}. Only one process" in done.stderr


def test_other_obstacles_to_opening_the_file_are_reported(tmp_path: Path) -> None:
    (tmp_path / "plain.db").write_text("of something else")
    with pytest.raises(IndexUnavailable, match="It is an ordinary file"):
        MilvusIndex(uri=tmp_path / "plain.db").live()
    with pytest.raises(IndexUnavailable, match=r"There is no folder .*nowhere"):
        MilvusIndex(uri=tmp_path / "nowhere" / "shop.db").live()


def test_closing_lets_another_process_open_the_file(
    path: Path, index: MilvusIndex, generation: Generation
) -> None:
    index.upsert([record("a")], generation=generation.name)
    index.close()
    done = run_python(LIST, str(path), generation.name)
    assert (done.returncode, done.stdout) == (0, "a\n"), done.stderr


def test_the_index_opens_again_after_the_other_process_ends(
    path: Path, index: MilvusIndex, generation: Generation
) -> None:
    index.close()
    code = OPEN + "index.upsert([record('b')], generation=sys.argv[2])"
    assert run_python(code, str(path), generation.name).returncode == 0
    assert list(dict(index.contents(generation=generation.name))) == ["b"]


def test_two_indexes_of_one_process_share_a_file(
    path: Path, index: MilvusIndex, generation: Generation
) -> None:
    other = MilvusIndex(uri=str(path))
    other.upsert([record("a")], generation=generation.name)
    assert list(dict(index.contents(generation=generation.name))) == ["a"]
    other.close()
    index.upsert([record("b")], generation=generation.name)
    assert set(dict(index.contents(generation=generation.name))) == {"a", "b"}


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_does_not_touch_its_parents_file(
    index: MilvusIndex, generation: Generation
) -> None:
    index.upsert([record("a")], generation=generation.name)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            index.upsert([record("b")], generation=generation.name)
            os.write(writer, b"written")
        except IndexUnavailable as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        assert "Only one process can open it" in answer.read()
    index.upsert([record("c")], generation=generation.name)
    assert set(dict(index.contents(generation=generation.name))) == {"a", "c"}


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    index = MilvusIndex(uri=tmp_path / "missing" / "shop.db")
    with pytest.raises(IndexUnavailable, match=r"missing/shop\.db"):
        index.live()


def test_a_filter_that_few_images_match_finds_all_of_them(index: MilvusIndex) -> None:
    """The graph index of Milvus Lite loses them: it found 1 of 20 among 20,000."""
    generation = index.create(fingerprint="model@1", dimension=16)
    stored = [
        record(f"r{n}", vector, rare=n % 250 == 0)
        for n, vector in enumerate(units(3000, dimension=16))
    ]
    index.upsert(stored, generation=generation.name)
    # The graph is used after opening the file again.
    index.close()
    matches = index.search(
        stored[7].vector,
        generation=generation.name,
        limit=24,
        conditions=[where("rare", "in", True)],
    )
    assert len(matches) == 12


def test_a_file_is_not_shared_and_has_a_single_writer(index: MilvusIndex) -> None:
    assert (index.shared, index.single_writer) == (False, True)
