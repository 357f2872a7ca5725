"""A storage that is down, loses files, or answers nonsense."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from django.core.files.base import ContentFile
from django.core.management import CommandError, call_command

from example_shop.models import ProductImage
from mmsearch_app import mark
from tests.faults.faults import fault
from tests.faults.scene import FIELD, REREAD, S3, Scene, work_for_a_while, work_until_quiet
from tests.shop import picture

GROUP = "Storage"


def mark_all() -> None:
    mark(ProductImage.objects.all(), force=True)


@fault("The media folder is not mounted", group=GROUP)
def _unmounted(scene: Scene) -> Iterator[None]:
    media = scene.folder / "media"
    media.rename(scene.folder / "away")
    mark_all()
    work_for_a_while()
    yield
    (scene.folder / "away").rename(media)


@fault("The media folder is not mounted during mmsearch_reindex", group=GROUP)
def _unmounted_reindex(scene: Scene) -> Iterator[None]:
    media = scene.folder / "media"
    media.rename(scene.folder / "away")
    with suppress(CommandError):
        call_command("mmsearch_reindex", verbosity=0)
    yield
    (scene.folder / "away").rename(media)


@fault("The media folder is empty during mmsearch_reindex", group=GROUP)
def _emptied(scene: Scene) -> Iterator[None]:
    media = scene.folder / "media"
    media.rename(scene.folder / "away")
    media.mkdir()
    with suppress(CommandError):
        call_command("mmsearch_reindex", verbosity=0)
    yield
    media.rmdir()
    (scene.folder / "away").rename(media)


def _on(storage: str) -> None:
    on: dict[str, Any] = {"storage": storage}

    @fault(f"A file is missing, and comes back ({storage})", group=GROUP, heals=REREAD, **on)
    def missing(scene: Scene) -> None:
        file: Any = scene.image(0).original
        data = file.storage.open(file.name).read()
        file.storage.delete(file.name)
        scene.retitle(0, "zebra mug")
        work_until_quiet()
        file.storage.save(file.name, ContentFile(data))

    @fault(f"A file is replaced under its name ({storage})", group=GROUP, heals=REREAD, **on)
    def replaced(scene: Scene) -> None:
        file: Any = scene.image(0).original
        file.storage.delete(file.name)
        file.storage.save(file.name, ContentFile(picture("blue", side=99)))

    @fault(f"A file is cut off, and repaired ({storage})", group=GROUP, heals=REREAD, **on)
    def cut(scene: Scene) -> None:
        file: Any = scene.image(0).original
        data = file.storage.open(file.name).read()
        file.storage.delete(file.name)
        file.storage.save(file.name, ContentFile(data[: len(data) // 2]))
        scene.retitle(0, "zebra mug")
        work_until_quiet()
        file.storage.delete(file.name)
        file.storage.save(file.name, ContentFile(data))


_on("files")
_on(S3)


def _answer(status: str, code: str) -> bytes:
    body = f"<Error><Code>{code}</Code></Error>"
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


TROUBLES: dict[str, dict[str, Any]] = {
    "refuses connections": {"refuse": True},
    "does not answer": {"hold": True},
    "is slow": {"delay": 0.03},
    "answers 403 to everything": {"reply": _answer("403 Forbidden", "AccessDenied")},
    "answers 404 to everything": {"reply": _answer("404 Not Found", "NoSuchKey")},
    "answers 500 to everything": {"reply": _answer("500 Internal Server Error", "InternalError")},
    "answers 503 to everything": {"reply": _answer("503 Slow Down", "SlowDown")},
    "breaks off every answer": {"cut": 500},
    "answers nonsense": {"reply": b"220 mail.example.com ESMTP\r\n"},
}


def _troubled(what: str, trouble: dict[str, Any]) -> None:
    @fault(f"S3 {what}", group=GROUP, storage=S3)
    def inject(scene: Scene) -> Iterator[None]:
        mark_all()
        with scene.bucket_wire.trouble(**trouble):
            work_for_a_while()
            scene.retitle(1, "zebra shirt")
            yield


def _troubled_reindex(what: str, trouble: dict[str, Any]) -> None:
    @fault(f"S3 {what} during mmsearch_reindex", group=GROUP, storage=S3)
    def inject(scene: Scene) -> None:
        with scene.bucket_wire.trouble(**trouble), suppress(CommandError):
            call_command("mmsearch_reindex", verbosity=0)


for name, trouble in TROUBLES.items():
    _troubled(name, trouble)
    if "answers" in name:
        _troubled_reindex(name, trouble)


@fault("The bucket is the wrong one", group=GROUP, storage=S3)
def _wrong_bucket(scene: Scene) -> None:
    right, FIELD.storage = FIELD.storage, scene.bucket.storage(scene.bucket.port, bucket="wrong")
    try:
        mark_all()
        work_for_a_while()
        with suppress(CommandError):
            call_command("mmsearch_reindex", verbosity=0)
    finally:
        FIELD.storage = right
