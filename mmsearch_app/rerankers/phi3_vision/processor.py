"""A prompt and its pictures as tensors for Phi-3 Vision."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from mmsearch_app.inference import require_at_least
from mmsearch_app.rerankers.phi3_vision.pictures import count_tokens, cut, fit
from mmsearch_app.rerankers.phi3_vision.release import locate
from mmsearch_app.rerankers.phi3_vision.tokens import encode, read_tokenizer, write_prompt

__all__ = ["Phi3VisionProcessor"]

NUM_CROPS = 16


class Phi3VisionProcessor:
    """Used as a processor of transformers is; called from several threads it changes nothing.

    `num_crops` bounds how finely a picture is seen and what it costs: 16 crops are about 2,000
    tokens, 4 crops 757 at most. `tokenizer` is the fast tokenizer of transformers.
    """

    def __init__(self, tokenizer: Any, *, num_crops: int = NUM_CROPS) -> None:
        require_at_least(1, num_crops=num_crops)
        self.tokenizer = tokenizer
        self.num_crops = num_crops

    @classmethod
    def from_pretrained(
        cls,
        place: str | os.PathLike[str],
        *,
        revision: str = "main",
        num_crops: int | None = None,
        local_files_only: bool = False,
    ) -> Phi3VisionProcessor:
        """Of a folder in the release's layout, or of a repository of the hub.

        `num_crops` None takes the folder's own, 16 in the release. Raises MissingWeights.
        """
        folder = locate(place, revision=revision, download=not local_files_only)
        crops = _read_num_crops(folder) if num_crops is None else num_crops
        return cls(read_tokenizer(folder), num_crops=crops)

    def apply_chat_template(
        self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool = False
    ) -> str:
        """A conversation as a prompt; see `tokens.write_prompt`. Words in it are quoted."""
        return write_prompt(messages, add_generation_prompt=add_generation_prompt)

    def count_tokens(self, image: Image.Image) -> int:
        """How many tokens the picture will take."""
        return count_tokens(*fit(image, num_crops=self.num_crops).size)

    def __call__(
        self,
        text: str | Sequence[str],
        images: Sequence[Any] | None = None,
        *,
        return_tensors: str = "pt",
    ) -> Any:
        """What `Phi3Vision` takes, on the CPU; a `BatchFeature`, so it can be moved with `to`.

        `text` is a prompt with one tag `<|image_N|>` for each of its `images`, numbered from 1,
        or several prompts with a list of pictures each. `input_ids` and `attention_mask` are
        int64 (rows, length), short rows padded at the left; picture N is the id -N as often as
        it has tokens. If there are pictures, `pixel_values` is float32 (pictures, num_crops + 1,
        3, 336, 336) and `image_sizes` int64 (pictures, 2), height and width after padding.

        Raises ValueError when tags and pictures do not match.
        """
        import torch
        from transformers import BatchFeature

        if return_tensors != "pt":
            msg = f"return_tensors must be 'pt', not {return_tensors!r}."
            raise ValueError(msg)
        prompts, shown = _rows(text, images)
        fitted = [[fit(image, num_crops=self.num_crops) for image in row] for row in shown]
        rows = [
            encode(self.tokenizer, prompt, [count_tokens(*image.size) for image in row])
            for prompt, row in zip(prompts, fitted, strict=True)
        ]
        found = self._pad(rows)
        if pictures := [image for row in fitted for image in row]:
            crops = [cut(image, num_crops=self.num_crops) for image in pictures]
            found["pixel_values"] = torch.stack(crops)
            found["image_sizes"] = torch.tensor([(p.height, p.width) for p in pictures])
        return BatchFeature(found)

    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = True) -> str:
        """The words of ids; those of pictures are left out."""
        words = [int(token) for token in ids if token >= 0]
        text: str = self.tokenizer.decode(words, skip_special_tokens=skip_special_tokens)
        return text

    def batch_decode(
        self, rows: Iterable[Iterable[int]], *, skip_special_tokens: bool = True
    ) -> list[str]:
        """The words of each row."""
        return [self.decode(row, skip_special_tokens=skip_special_tokens) for row in rows]

    def _pad(self, rows: Sequence[Sequence[int]]) -> dict[str, Any]:
        import torch

        longest = max(map(len, rows))
        ids = torch.full((len(rows), longest), self.tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        for place, row in enumerate(rows):
            ids[place, longest - len(row) :] = torch.tensor(row)
            mask[place, longest - len(row) :] = 1
        return {"input_ids": ids, "attention_mask": mask}


def _rows(
    text: str | Sequence[str], images: Sequence[Any] | None
) -> tuple[Sequence[str], Sequence[Sequence[Image.Image]]]:
    if isinstance(text, str):
        return [text], [images or []]
    shown = [[] for _ in text] if images is None else images
    if not text or len(shown) != len(text):
        msg = f"{len(text)} prompts need as many lists of pictures, not {len(shown)}."
        raise ValueError(msg)
    return text, shown


def _read_num_crops(folder: Path) -> int:
    path = folder / "preprocessor_config.json"
    config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    crops: int = config.get("num_crops", NUM_CROPS)
    return crops
