"""A loaded model of sentence-transformers, guarded against the library's pitfalls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from PIL import Image

from mmsearch_app.inference import (
    MissingWeights,
    Precision,
    choose_device,
    choose_dtype,
    defuse,
    find_gap,
    find_marks,
    needing,
    renew_after_fork,
    trim,
)

if TYPE_CHECKING:
    import torch

Role: TypeAlias = Literal["query", "document"]
Pooling: TypeAlias = Literal["lasttoken", "mean", "cls"]


class Encoder:
    """A loaded model that one thread at a time can use.

    Tokenizers change their state while they truncate, and several batches at once would need
    several times the memory.
    """

    def __init__(
        self, model: Any, *, prompts: Mapping[Role, str | None], image_weight: float
    ) -> None:
        self.sees: bool = model.supports("image")
        """Whether the model takes images."""
        self.fuses: bool = model.supports(("image", "text"))
        """Whether the model takes an image with a text as one input."""
        self._model = model
        self._prompts = prompts
        self._image_weight = image_weight
        self._marks = find_marks(model.tokenizer)
        self._lower = _is_siglip(model)
        self._reset()
        renew_after_fork(self._reset)

    def _reset(self) -> None:
        self._lock = Lock()

    def encode(
        self, images: Sequence[Image.Image] | None, texts: Sequence[str] | None, *, role: Role
    ) -> torch.Tensor:
        """Return one row per input, float32, on the model's device; not normalised.

        `images` and `texts` are None if the inputs have none; at least one of the two is given.
        """
        from torch.nn.functional import normalize

        if images is not None and not self.sees:
            texts = _require_texts(texts, len(images), role=role)
            images = None
        if images is None or texts is None or self.fuses:
            return self._run(images, texts, role=role)
        seen = normalize(self._run(images, None, role=role), dim=1)
        said = normalize(self._run(None, texts, role=role), dim=1)
        return self._image_weight * seen + (1 - self._image_weight) * said

    def _run(
        self, images: Sequence[Image.Image] | None, texts: Sequence[str] | None, *, role: Role
    ) -> torch.Tensor:
        # Inputs are dicts, because the library would open a plain string that looks like an
        # address or a path. The image comes first: the order of the keys changes the vector.
        inputs: list[dict[str, Any]] = [{} for _ in images or texts or ()]
        if images is not None:
            for row, image in zip(inputs, images, strict=True):
                row["image"] = trim(image)
        if texts is not None:
            for row, text in zip(inputs, texts, strict=True):
                row["text"] = self._clean(text)
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
        """Control tokens as plain text; small letters for SigLIP (`_is_siglip`)."""
        text = defuse(text, self._marks)
        return text.lower() if self._lower else text


def load_encoder(folder: Path, *, device: str, dtype: Precision, pooling: Pooling | None) -> Any:
    """Return the SentenceTransformer in that folder. Raises MissingWeights if it is incomplete."""
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
        pooling = "lasttoken"  # the library's default, the mean, fits none of these models
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
    msg = f"pooling={mode!r} does not fit: this model has no pooling layer to replace."
    raise ValueError(msg)


def _is_siglip(model: Any) -> bool:
    """Whether the model is a SigLIP or SigLIP 2, both of which were trained on small letters.

    SigLIP 2 (arXiv 2502.14786, section 2.1) lower-cases texts before Gemma's tokenizer, which
    keeps capitals. Its checkpoints of a fixed resolution call themselves "siglip" and name that
    tokenizer, so that transformers' own `Siglip2Tokenizer`, which lower-cases, is not used
    (huggingface/transformers, pull request 43101).
    """
    return model.config is not None and model.config.model_type.startswith("siglip")


def _pad_fully(model: Any) -> None:
    """Pad SigLIP's texts to full length, as in its training; with less, cosines drop to 0.87."""
    if not _is_siglip(model):
        return
    limit = model.config.text_config.max_position_embeddings
    layer = model[0]
    words = {"padding": "max_length", "max_length": limit, "truncation": True}
    layer.processing_kwargs = {**layer.processing_kwargs, "text": words}


def _require_texts(texts: Sequence[str] | None, count: int, *, role: Role) -> Sequence[str]:
    if texts is None and role == "query":
        msg = "This model embeds texts only; a query needs words."
        raise ValueError(msg)
    return [""] * count if texts is None else texts
