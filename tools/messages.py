"""Update and compile the catalogues of `mmsearch_app/locale`: `make messages`.

Babel reads the texts of the Python files and, as Django rewrites them for that, of the templates:
no GNU gettext is needed. New texts are left for a translator, texts that are gone are dropped.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import PoFileParser, write_po
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parent.parent
APP = ROOT / "mmsearch_app"
KEYWORDS = {
    **DEFAULT_KEYWORDS,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext_lazy": (1, 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext_lazy": ((1, "c"), 2, 3),
}


class AppCatalog(Catalog):
    """A catalogue that does not name the version of Babel, so that no release of it changes one."""

    def __iter__(self) -> Iterator[Message]:
        for message in super().__iter__():
            if not message.id:
                lines = str(message.string).splitlines(keepends=True)
                message.string = "".join(line for line in lines if "Generated-By:" not in line)
            yield message


def collect() -> Catalog:
    """Every text of the app, without translations."""
    found = AppCatalog(project="mmsearch", domain="django")
    for path in sorted([*APP.rglob("*.py"), *APP.rglob("*.html")]):
        source = io.BytesIO(_source(path).encode())
        for line, text, comments, context in extract("python", source, keywords=KEYWORDS):
            place = (path.relative_to(ROOT).as_posix(), line)
            found.add(text, locations=[place], auto_comments=comments, context=context)
    return found


def _source(path: Path) -> str:
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        return text
    # What is left of the markup has no meaningful indentation.
    return "\n".join(line.strip() for line in templatize(text, origin=str(path)).splitlines())


def find_catalogues() -> Iterator[Path]:
    """The file of each language."""
    yield from sorted(APP.glob("locale/*/LC_MESSAGES/django.po"))


def read(path: Path) -> Catalog:
    """The catalogue of the language that the path names."""
    catalogue = AppCatalog(locale=path.parts[-3], domain="django")
    with path.open("rb") as file:
        PoFileParser(catalogue, abort_invalid=True).parse(file)
    return catalogue


def find_untranslated(catalogue: Catalog) -> list[Message]:
    """Texts that have no translation, not all of its plural forms, or a doubtful one."""
    texts = [message for message in catalogue if message.id]
    return [m for m in texts if m.fuzzy or not all(forms_of(m))]


def forms_of(message: Message) -> tuple[str, ...]:
    """The translation in all of its plural forms."""
    string = message.string
    return (string,) if isinstance(string, str) else tuple(string or ("",))


def compile_catalogue(catalogue: Catalog) -> bytes:
    """What Django loads."""
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    return compiled.getvalue()


def main() -> None:
    """Bring all catalogues up to date."""
    texts = collect()
    for path in find_catalogues():
        catalogue = read(path)
        catalogue.update(texts, no_fuzzy_matching=True, update_creation_date=False)
        with path.open("wb") as file:
            write_po(file, catalogue, width=100, include_lineno=False, ignore_obsolete=True)
        path.with_suffix(".mo").write_bytes(compile_catalogue(catalogue))
        missing = len(find_untranslated(catalogue))
        print(f"{path.parts[-3]}: {len(catalogue)} texts, {missing} to translate")  # noqa: T201


if __name__ == "__main__":
    main()
