"""`MilvusIndex` only validates its options before it connects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmsearch_app.indexes.milvus import MilvusIndex
from tests.indexes.kit import run_python


def test_constructing_loads_no_client_and_opens_no_file(tmp_path: Path) -> None:
    code = """
import sys
from mmsearch_app.indexes.milvus import MilvusIndex
MilvusIndex(uri=sys.argv[1]).close()
print(sorted({"pymilvus", "milvus_lite", "grpc", "pandas"} & set(sys.modules)))
"""
    done = run_python(code, str(tmp_path / "shop.db"))
    assert (done.stdout, list(tmp_path.iterdir())) == ("[]\n", []), done.stderr


@pytest.mark.parametrize(
    ("options", "lesson"),
    [
        ({"uri": "shop.sqlite"}, "ends in .db"),
        ({"uri": "localhost:19530"}, "start with one of http:"),
        ({"uri": "https://"}, "uri has no host after https:"),
        ({"uri": "http://user:secret@"}, "uri has no host after http:$"),
        ({"uri": "unix:"}, "uri has no host after unix:"),
        ({"uri": "http://["}, "uri is not a valid URL: Invalid IPv6"),
        ({"uri": "http://milvus:99999"}, "uri is not a valid URL: Port out of range"),
        ({"uri": 5}, "uri must be a path or a URL, not int"),
        ({"uri": None}, "uri must be a path or a URL, not NoneType"),
        ({"uri": b"shop.db"}, "uri must be a path or a URL, not bytes"),
        ({"index_type": "hnsw"}, "use one of .*'HNSW'"),
        ({"index_type": "DISKANN"}, "not supported in Milvus Lite"),
        ({"consistency": "strong"}, "use one of .*'Strong'"),
        ({"collection": "product images"}, "letters, digits and _"),
        ({"collection": ""}, "letters, digits and _"),
        ({"timeout": 0}, "above 0"),
        ({"index_params": {"nlist": 9}}, "unknown name 'nlist'; AUTOINDEX has mmap.enabled"),
        ({"index_type": "HNSW", "index_params": {"m": 9}}, "HNSW has M, efConstruction, mmap"),
        ({"index_type": "HNSW", "search_params": {"nprobe": 9}}, "'nprobe'; HNSW has ef"),
        ({"index_type": "FLAT", "search_params": {"ef": 9}}, "FLAT has none"),
        ({"search_params": {"ef": 0}}, r"\['ef'\] = 0 must be a whole number above 0"),
        ({"search_params": {"ef": "64"}}, "must be a whole number"),
        ({"search_params": {"ef": True}}, "must be a whole number"),
        ({"index_params": ["M"]}, "index_params must be a dict, not list"),
    ],
)
def test_a_wrong_option_value_is_refused_and_the_right_ones_are_named(
    options: dict[str, object], lesson: str
) -> None:
    with pytest.raises(ValueError, match=lesson):
        MilvusIndex(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("uri", ["unix:/run/milvus.sock", "tcp://milvus:19530", "http://[::1]:1"])
def test_several_kinds_of_uri_are_accepted(uri: str) -> None:
    assert MilvusIndex(uri=uri).shared


def test_a_server_accepts_options_that_milvus_lite_does_not() -> None:
    MilvusIndex(uri="http://milvus:19530", index_type="DISKANN")
    MilvusIndex(uri="http://milvus:19530", index_type="SCANN", search_params={"reorder_k": 99})
    MilvusIndex(uri="http://milvus:19530", index_params={"mmap.enabled": True})


def test_the_file_stays_the_same_if_the_working_directory_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.BASE_DIR = tmp_path
    monkeypatch.chdir("/")
    index = MilvusIndex(uri="shop.db")
    assert str(tmp_path / "shop.db") in index.describe()
    index.close()
