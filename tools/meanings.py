"""Write the meanings of the names that the starter embedder needs at every start.

    python -m tools.meanings

Run it after a change of the classes' names or of the pinned sentence encoder; a test says so.
"""

from __future__ import annotations

from pathlib import Path

from mmsearch_app.embedders.starter import known
from mmsearch_app.embedders.starter.models import NAMED, Sentences, read_names

PATH = Path(known.__file__).with_name("data") / Path(known.FILE).name


def main() -> None:
    groups = list(dict.fromkeys(group for of in NAMED for group in read_names(of)))
    known.write_meanings(PATH, groups, Sentences(threads=None).embed_means(groups))
    print(f"{PATH.name}: {len(groups)} meanings, {PATH.stat().st_size / 1e6:.1f} MB")  # noqa: T201


if __name__ == "__main__":
    main()
