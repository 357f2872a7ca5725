"""Product images on S3: a real client and a server that speaks the protocol."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import boto3
import pytest
from django.core.files.base import ContentFile
from django.core.management import call_command
from moto.server import ThreadedMotoServer

from example_shop.models import Product, ProductImage
from mmsearch_app import search
from mmsearch_app.indexing.worker import drain
from mmsearch_app.models import Entry, State
from tests.shop import Sell, entry, held, make_due, picture, work

pytestmark = [
    pytest.mark.django_db,
    # Warnings of botocore and moto, at import and in the server's threads.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
BUCKET = "pictures"


@pytest.fixture
def server() -> Iterator[ThreadedMotoServer]:
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    with closing(HTTPConnection(host, port)) as connection:
        connection.request("POST", "/moto-api/reset")  # servers in a process share their buckets
        assert connection.getresponse().status == 200
    yield running
    running.stop()


@pytest.fixture
def s3(server: ThreadedMotoServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A bucket, and the storage that keeps product images in it."""
    from storages.backends.s3 import S3Storage

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    client.create_bucket(Bucket=BUCKET)
    storage = S3Storage(
        bucket_name=BUCKET,
        endpoint_url=endpoint,
        region_name="us-east-1",
        client_config=_impatient(),
    )
    field = ProductImage._meta.get_field("original")
    monkeypatch.setattr(field, "storage", storage)
    yield client
    client.close()


def _impatient() -> Any:
    from botocore.config import Config

    return Config(connect_timeout=30, read_timeout=30, retries={"total_max_attempts": 1})


def names(client: Any) -> list[str]:
    return [found["Key"] for found in client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def test_images_on_s3_are_indexed_and_found(s3: Any, sell: Sell) -> None:
    for title in ("red mug", "blue mug"):
        sell(title)
    assert len(names(s3)) == 2
    assert work().indexed == 2
    hit = search(image=picture("blue", side=200)).hits[0]
    assert hit.title == "blue mug"
    assert hit.image_url.startswith("http://127.0.0.1:")


def test_a_missing_object_is_a_state_and_not_a_failure(s3: Any, sell: Sell) -> None:
    image, _other = sell().images.get(), sell("blue mug")
    s3.delete_object(Bucket=BUCKET, Key=image.original.name)
    drained = work()
    assert (drained.indexed, drained.skipped, drained.failed) == (1, 1, 0)
    found = entry(image)
    assert found.state == State.EMPTY
    assert "The file is missing" in found.error


def test_an_outage_does_not_count_as_an_attempt_and_nothing_is_lost(
    s3: Any, sell: Sell, server: ThreadedMotoServer
) -> None:
    image = sell().images.get()
    data = s3.get_object(Bucket=BUCKET, Key=image.original.name)["Body"].read()
    _host, port = server.get_host_and_port()
    server.stop()
    assert "The storage does not answer: EndpointConnectionError" in drain().problem
    found = entry(image)
    assert (found.state, found.attempts) == (State.PENDING, 0)
    again = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    again.start()
    try:
        s3.create_bucket(Bucket=BUCKET)
        s3.put_object(Bucket=BUCKET, Key=image.original.name, Body=data)
        make_due()
        assert work().indexed == 1
    finally:
        again.stop()
        server.start()
    assert len(held()) == 1


def test_saving_a_product_sends_no_request_to_s3(
    s3: Any, sell: Sell, server: ThreadedMotoServer
) -> None:
    product = sell()
    server.stop()
    try:
        product.title = "red cup"
        product.save()
    finally:
        server.start()
    assert Entry.objects.get().state == State.PENDING


def test_an_object_replaced_under_the_same_name_is_found_by_reading_files(
    s3: Any, sell: Sell
) -> None:
    product = sell()
    image = product.images.get()
    work()
    name, digest = image.original.name, entry(image).digest
    image.original.storage.save(name, ContentFile(picture("blue", side=77)))
    assert names(s3) == [name]
    call_command("mmsearch_reconcile")
    work()
    assert entry(image).digest == digest
    call_command("mmsearch_reconcile", "--files")
    work()
    assert entry(image).digest != digest
    assert Product.objects.count() == 1


def test_an_image_that_is_too_large_is_refused_before_it_is_downloaded(
    s3: Any, sell: Sell, use: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(MAX_SOURCE_BYTES=10)
    image = sell().images.get()
    monkeypatch.setattr("storages.backends.s3.S3File._get_file", pytest.fail)
    work()
    assert entry(image).state == State.REJECTED
