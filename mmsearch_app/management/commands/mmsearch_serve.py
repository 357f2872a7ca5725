"""Serve a model to processes that share one copy of it."""

from __future__ import annotations

import ipaddress
import json
import os
from pprint import pformat
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from mmsearch_app.backends import build_embedder, get_embedder
from mmsearch_app.conf import get_settings
from mmsearch_app.embedders import Batcher, Embedder
from mmsearch_app.inference import Content, measure_usage


class Command(BaseCommand):
    """Listens when the model is loaded; Ctrl-C or SIGTERM lets running requests finish."""

    help = (
        "Serve a model at /v1/embeddings in OpenAI's format, images included, so that several "
        "processes use one copy of it. Needs the extra: pip install 'mmsearch[serve]'."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "model",
            nargs="?",
            help="a preset's name or the dotted path of an embedder; default: MMSEARCH['EMBEDDER']",
        )
        parser.add_argument(
            "--options",
            type=json.loads,
            default={},
            help='options of the model, as JSON: {"device": "cuda"}',
        )
        parser.add_argument("--name", help="what clients call the model; default: its own name")
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8600)
        parser.add_argument(
            "--key-env",
            default="MMSEARCH_SERVE_KEY",
            help="the environment variable that holds the bearer token (MMSEARCH_SERVE_KEY)",
        )
        parser.add_argument(
            "--max-requests",
            type=int,
            default=64,
            help="how many requests may run at the same time (64)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            import uvicorn

            from mmsearch_app.contrib.serving.application import ModelService, make_application
        except ImportError as error:
            raise CommandError(f"{error}. pip install 'mmsearch[serve]'") from error
        embedder = self._load(options["model"], options["options"])
        settings = get_settings()
        service = ModelService(
            batcher=Batcher(embedder, most=settings.QUERY_BATCH, seconds=settings.QUERY_SECONDS),
            name=options["name"] or _name(options["model"], embedder),
            key=_read_key(options["key_env"], options["host"]),
            max_bytes=settings.MAX_IMAGE_BYTES * 3 // 2,
            max_requests=options["max_requests"],
        )
        self._print_setting(service.model, embedder, options)
        uvicorn.run(
            make_application(service),
            host=options["host"],
            port=options["port"],
            ws="none",
            lifespan="off",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=30,
        )

    def _load(self, model: str | None, options: dict[str, Any]) -> Embedder:
        """Return the embedder, loaded completely before the server listens."""
        try:
            embedder = _build(model, options)
            if getattr(embedder, "batches_itself", False):
                msg = f"{type(embedder).__name__} uses a server itself: name a model to serve."
                raise CommandError(msg)
            load = getattr(embedder, "warm_up", None)
            usage = measure_usage(load or (lambda: embedder.embed_queries([Content(text="a")])))
        except (ImproperlyConfigured, ImportError, OSError, ValueError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{type(embedder).__name__} is loaded: {usage}.")
        return embedder

    def _print_setting(self, model: str, embedder: Embedder, options: dict[str, Any]) -> None:
        host = f"[{options['host']}]" if ":" in options["host"] else options["host"]
        base_url = f"http://{host}:{options['port']}/v1"
        client = {"base_url": base_url, "model": model, "dimension": embedder.dimension}
        if os.environ.get(options["key_env"]):
            client |= {"api_key_env": options["key_env"]}
        backend = "mmsearch_app.embedders.openai.OpenAICompatibleEmbedder"
        setting = pformat({"BACKEND": backend, "OPTIONS": client}, sort_dicts=False)
        self.stdout.write(f'Use it with MMSEARCH["EMBEDDER"] =\n{setting}')


def _build(model: str | None, options: dict[str, Any]) -> Embedder:
    if model is None:
        if options:
            msg = "--options need the name of a model; those of MMSEARCH['EMBEDDER'] are set there."
            raise CommandError(msg)
        return get_embedder()
    return build_embedder({"BACKEND" if "." in model else "PRESET": model, "OPTIONS": options})


def _name(model: str | None, embedder: Embedder) -> str:
    configured = get_settings().EMBEDDER.PRESET if model is None else model
    return configured.rpartition(".")[2] or type(embedder).__name__


def _read_key(variable: str, host: str) -> str:
    """Return the bearer token, or "".

    Raises CommandError if there is none and other machines can reach the server.
    """
    key = os.environ.get(variable, "")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise CommandError(f"{variable} contains characters that a bearer token cannot have.")
    if not key and not _is_loopback(host):
        msg = f"{host} can be reached from other machines: set {variable} to a long random token."
        raise CommandError(msg)
    return key


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
