"""Images and words for the models of sentence-transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from mmsearch_app.embedders.sentence_transformers.embedder import SentenceTransformersEmbedder
from mmsearch_app.inference.content import Content
from tests.pictures import PICTURE

RED, BLUE = (Image.new("RGB", (40, 50), colour) for colour in ("red", "blue"))
MIXED = [
    Content(text="red shoe"),
    Content(image=RED),
    Content(image=PICTURE, text="like this but with leather"),
    Content(text="a large blue bag without laces and with more leather, like this one"),
    Content(image=BLUE),
    Content(image=BLUE, text="in red"),
    Content(image=PICTURE, text="  "),
]


def one(embedder: SentenceTransformersEmbedder, **content: Any) -> Any:
    return embedder.embed_queries([Content(**content)])[0]


def library(path: Path) -> Any:
    """The model, loaded by the library itself."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(path), device="cpu", local_files_only=True)
