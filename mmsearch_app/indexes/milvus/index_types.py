"""The index types of Milvus: their parameters, and how far a search looks for its hits.

Milvus refuses some types without parameters, ignores names that it does not know, and looks at
so few vectors by default that a tenth of the nearest products are missed.
`python -m benchmarks.scale` measures what these values find.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MMAP = "mmap.enabled"
"""Index parameter of all types: whether the index is mapped from disk instead of loaded."""
REFINING = ("refine", "refine_type")


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexType:
    """What a type is built with, and searched with, if the options do not say."""

    build: Mapping[str, Any] = field(default_factory=dict)
    may_build: tuple[str, ...] = ()
    """Names of further index parameters."""
    search: Mapping[str, int] = field(default_factory=dict)
    may_search: tuple[str, ...] = ()
    reach: str = ""
    """The search parameter that Milvus requires to be at least the number of hits."""
    lite: bool = False
    """Whether Milvus Lite has it. It accepts others, but then searches without an index."""

    def search_params(self, given: Mapping[str, Any], *, limit: int) -> dict[str, Any]:
        """Return the parameters of a search for `limit` hits."""
        params = {**self.search, **given}
        if self.reach and self.reach not in given:
            params[self.reach] = max(self.search[self.reach], min(REACH * limit, MOST))
        elif self.reach:
            params[self.reach] = max(int(given[self.reach]), limit)
        return params


MOST = 32_768
"""The most that Milvus accepts."""
REACH = 2
"""Vectors that a search keeps in view for each hit."""
EF = 256
"""The least number of vectors that a search of a graph keeps in view."""
GRAPH = {"M": 18, "efConstruction": 240}
"""What Milvus builds for AUTOINDEX."""
CELLS = {"nlist": 1024}
PROBES = {"nprobe": 256}
ALL_CELLS = 65_536
"""The most cells that an index can have."""
SUBSPACE = 8
"""Dimensions of a part of a vector that product quantisation stores in one byte."""

INDEX_TYPES = {
    # On a server of one's own it is an HNSW of `GRAPH`; Zilliz Cloud decides for itself.
    "AUTOINDEX": IndexType(search={"ef": EF}, may_search=("level",), reach="ef", lite=True),
    "FLAT": IndexType(lite=True),
    "HNSW": IndexType(build=GRAPH, search={"ef": EF}, reach="ef", lite=True),
    "HNSW_SQ": IndexType(
        build=GRAPH,
        may_build=("sq_type", *REFINING),
        search={"ef": EF},
        may_search=("refine_k",),
        reach="ef",
        lite=True,
    ),
    "HNSW_PQ": IndexType(
        build={**GRAPH, "nbits": 8},
        may_build=("m", *REFINING),
        search={"ef": EF},
        may_search=("refine_k",),
        reach="ef",
    ),
    "IVF_FLAT": IndexType(build=CELLS, search=PROBES, lite=True),
    "IVF_SQ8": IndexType(build=CELLS, search=PROBES, lite=True),
    "IVF_PQ": IndexType(build={**CELLS, "nbits": 8}, may_build=("m",), search=PROBES),
    "IVF_RABITQ": IndexType(
        build=CELLS, may_build=REFINING, search=PROBES, may_search=("rbq_query_bits", "refine_k")
    ),
    "SCANN": IndexType(
        build=CELLS,
        may_build=("with_raw_data",),
        search={**PROBES, "reorder_k": EF},
        reach="reorder_k",
    ),
    "DISKANN": IndexType(search={"search_list": EF}, reach="search_list"),
}
QUANTISED = ("HNSW_PQ", "IVF_PQ")
"""Types whose parameter `m`, the number of parts of a vector, must divide the dimension."""


def check_index_type(
    index_type: str,
    index_params: Mapping[str, Any],
    search_params: Mapping[str, Any],
    *,
    lite: bool,
) -> None:
    """Raise ValueError, naming the right values, if a type or a parameter is unknown."""
    supported = tuple(name for name, known in INDEX_TYPES.items() if known.lite or not lite)
    if index_type not in supported:
        where = " in Milvus Lite" if lite else ""
        msg = f"index_type={index_type!r} is not supported{where}; use one of {supported}."
        raise ValueError(msg)
    known = INDEX_TYPES[index_type]
    building = (*known.build, *known.may_build, MMAP)
    _check_names("index_params", index_params, building, index_type)
    _check_names("search_params", search_params, (*known.search, *known.may_search), index_type)


def _check_names(
    option: str, given: Mapping[str, Any], names: tuple[str, ...], index_type: str
) -> None:
    if not isinstance(given, Mapping):
        msg = f"{option} must be a dict, not {type(given).__name__}."
        raise ValueError(msg)
    right = f"; {index_type} has {', '.join(names) or 'none'}."
    for name, value in given.items():
        if name not in names:
            msg = f"{option} has an unknown name {name!r}{right}"
            raise ValueError(msg)
        if name in COUNTS and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            msg = f"{option}[{name!r}] = {value!r} must be a whole number above 0."
            raise ValueError(msg)


COUNTS = frozenset(
    ("M", "efConstruction", "nlist", "m", "nbits", "ef", "nprobe", "reorder_k", "search_list")
)


def build_params(index_type: str, given: Mapping[str, Any], *, dimension: int) -> dict[str, Any]:
    """Return the parameters to build an index of vectors of this dimension."""
    params = {**INDEX_TYPES[index_type].build, **given}
    if index_type in QUANTISED and "m" not in params:
        most = max(1, dimension // SUBSPACE)
        params["m"] = next(m for m in range(most, 0, -1) if dimension % m == 0)
    return params


def has_cells(index_type: str) -> bool:
    """Return whether a search looks into some cells only, and so may return too few hits."""
    return index_type in INDEX_TYPES and "nprobe" in INDEX_TYPES[index_type].search


def search_params(
    index_type: str, given: Mapping[str, Any], *, limit: int, everywhere: bool = False
) -> dict[str, Any]:
    """Return the parameters of a search for `limit` hits in an index of this type.

    Of `given`, only what the type knows: the index may have been built before the options were
    changed. A type that is not listed is searched with what is given. With `everywhere`, a type
    that has cells looks into all of them.
    """
    known = INDEX_TYPES.get(index_type)
    if known is None:
        return dict(given)
    names = {*known.search, *known.may_search}
    params = known.search_params(
        {name: value for name, value in given.items() if name in names}, limit=limit
    )
    return {**params, "nprobe": ALL_CELLS} if everywhere and has_cells(index_type) else params
