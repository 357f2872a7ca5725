"""A loaded model of sentence-transformers, with the library's traps closed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from PIL import Image

from mmsearch_app.inference import (
    MissingWeights,
    Precision,
    choose_device,
    choose_dtype,
    find_gap,
    find_marks,
    needing,
    trim,
)

if TYPE_CHECKING:
    import torch

__all__ = ["Encoder", "Pooling", "Role", "load_encoder"]

Role: TypeAlias = Literal["query", "document"]
Pooling: TypeAlias = Literal["lasttoken", "mean", "cls"]


class Encoder:
    """A loaded model, used by one thread at a time.

    Tokenizers keep a state while they cut, and several batches at once would need several times
    the memory.
    """

    def __init__(
        self, model: Any, *, prompts: Mapping[Role, str | None], image_weight: float
    ) -> None:
        self.sees: bool = model.supports("image")
        """Whether it takes pictures."""
        self.fuses: bool = model.supports(("image", "text"))
        """Whether it takes a picture with words as one input."""
        self._model = model
        self._prompts = prompts
        self._image_weight = image_weight
        self._marks = find_marks(model.tokenizer)
        self._lock = Lock()

    def encode(
        self,
        images: Sequence[Image.Image] | None,
        texts: Sequence[str] | None,
        *,
        role: Role,
    ) -> torch.Tensor:
        """One row an input, float32, on the model's device; at least one of the two is given."""
        from torch.nn.functional import normalize

        if images is not None and not self.sees:
            texts = _require_words(texts, len(images), role=role)
            images = None
        if images is None or texts is None or self.fuses:
            return self._run(images, texts, role=role)
        pictures = normalize(self._run(images, None, role=role), dim=1)
        words = normalize(self._run(None, texts, role=role), dim=1)
        return self._image_weight * pictures + (1 - self._image_weight) * words

    def _run(
        self,
        images: Sequence[Image.Image] | None,
        texts: Sequence[str] | None,
        *,
        role: Role,
    ) -> torch.Tensor:
        # A dict says what is what: the library opens a plain string that looks like an address
        # or a path. The picture comes first: the order of the keys changes the vector.
        columns: dict[str, Iterable[Any]] = {}
        if images is not None:
            columns["image"] = map(trim, images)
        if texts is not None:
            columns["text"] = map(self._clean, texts)
        inputs = [
            dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
        ]
        run = self._model.encode_query if role == "query" else self._model.encode_document
        with self._lock:
            vectors: torch.Tensor = run(
                inputs,
                prompt=self._prompts[role],
                batch_size=len(inputs),
                show_progress_bar=False,
                convert_to_tensor=True,
            )
        return vectors.float()

    def _clean(self, text: str) -> str:
        """Without the model's own marks, such as "<image>", and without halves of surrogates."""
        return self._marks.sub(" ", text.encode("utf-8", "replace").decode())


def load_encoder(folder: Path, *, device: str, dtype: Precision, pooling: Pooling | None) -> Any:
    """The SentenceTransformer in that folder. Raises MissingWeights when there is none."""
    with needing("models"):
        from sentence_transformers import SentenceTransformer

    if gap := find_gap(folder):
        msg = f"There is no complete model in {folder}: it lacks {gap}."
        raise MissingWeights(msg)
    model = SentenceTransformer(
        str(folder),
        device=str(choose_device(device)),
        local_files_only=True,
        model_kwargs={"dtype": choose_dtype(dtype)},
    )
    if pooling is None and model.supports("message") and not (folder / "modules.json").is_file():
        pooling = "lasttoken"  # the library would take the mean, for which none is trained
    if pooling is not None:
        _set_pooling(model, pooling)
    _pad_fully(model)
    return model


def _set_pooling(model: Any, mode: Pooling) -> None:
    from sentence_transformers.sentence_transformer.modules import Pooling as Layer

    for place, module in enumerate(model):
        if isinstance(module, Layer):
            model[place] = Layer(module.get_embedding_dimension(), mode)
            return
    msg = f"pooling={mode!r} does not fit: this model makes one vector of an input by itself."
    raise ValueError(msg)


def _pad_fully(model: Any) -> None:
    """Pad words as SigLIP was trained; padded less, cosines drop to 0.87."""
    if model.config is None or not model.config.model_type.startswith("siglip"):
        return
    limit = model.config.text_config.max_position_embeddings
    layer = model[0]
    words = {"padding": "max_length", "max_length": limit, "truncation": True}
    layer.processing_kwargs = {**layer.processing_kwargs, "text": words}


def _require_words(texts: Sequence[str] | None, count: int, *, role: Role) -> Sequence[str]:
    if texts is None and role == "query":
        msg = "This model knows words alone and cannot be asked with a picture alone."
        raise ValueError(msg)
    return [""] * count if texts is None else texts
