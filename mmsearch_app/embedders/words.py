"""Words as token ids, from several threads, whatever the words are."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["Words"]


class Words:
    """A tokenizer of transformers behind a lock: truncating changes its state.

    `pad` fills short rows at their end; None takes the tokenizer's own padding id.
    """

    def __init__(self, tokenizer: Any, *, pad: int | None = None) -> None:
        self._tokenizer = tokenizer
        self._pad = tokenizer.pad_token_id if pad is None else pad
        self._lock = Lock()

    def __call__(
        self, texts: Sequence[str], *, limit: int, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids and mask (1 for a token, 0 for padding), both int64 (n, longest) on `device`.

        A text longer than `limit` tokens, special ones included, is cut; the last special one
        stays. Halves of surrogate pairs become "?".
        """
        import torch

        clean = [text.encode("utf-8", "replace").decode() for text in texts]
        with self._lock:
            rows = self._tokenizer(clean, truncation=True, max_length=limit)["input_ids"]
        longest = max(map(len, rows))
        ids = torch.full((len(rows), longest), self._pad)
        mask = torch.zeros_like(ids)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = torch.tensor(row)
            mask[place, : len(row)] = 1
        return ids.to(device), mask.to(device)
