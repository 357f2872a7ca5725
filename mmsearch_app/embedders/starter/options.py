"""The options of the starter embedder, checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

from mmsearch_app.embedders.starter import weights

__all__ = ["StarterOptions"]

_VERSION: Final = 2  # of the preprocessing and the mixing: raise it when vectors change


@dataclass(frozen=True, slots=True, kw_only=True)
class StarterOptions:
    """How much each block counts, and how the models run. Raises ValueError."""

    meaning: float = 1.0
    """Weight of what it is, in words."""
    shape: float = 0.7
    """Weight of its form."""
    texture: float = 0.3
    """Weight of its pattern and material."""
    colour: float = 0.15
    """Weight of its colours."""
    title: float = 0.65
    """Share of a product's title in its meaning; its picture has the rest."""
    batch_size: int = 16
    """Pictures, or texts, that go through a model at once."""
    threads: int | None = None
    """Threads of torch in the whole process; None leaves them as they are."""
    device: str = "cpu"
    """Where torch computes: "cpu", "cuda", "cuda:1", "mps"."""

    def __post_init__(self) -> None:
        self._check("meaning", 0.01, 100, "a weight")
        self._check("shape", 0, 100, "a weight")
        self._check("texture", 0, 100, "a weight")
        self._check("colour", 0, 100, "a weight")
        self._check("title", 0, 1, "a share")
        self._check("batch_size", 1, 4096, "a whole number")
        if self.threads is not None:
            self._check("threads", 1, 1024, "a whole number or None")
        if not isinstance(self.device, str):
            msg = f"device must be a name such as 'cpu' or 'cuda', not {self.device!r}."
            raise ValueError(msg)

    def _check(self, name: str, least: float, most: float, what: str) -> None:
        value = getattr(self, name)
        kinds = (int,) if what.startswith("a whole") else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= most:
            msg = f"{name} must be {what} from {least} to {most}, not {value!r}."
            raise ValueError(msg)

    @classmethod
    def read(cls, given: Mapping[str, object]) -> StarterOptions:
        """Check options given by name. Raises ValueError that lists the right names."""
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(given) - set(known))
        if unknown:
            msg = f"StarterEmbedder has no option {unknown[0]!r}; it has {', '.join(known)}."
            raise ValueError(msg)
        return cls(**given)  # type: ignore[arg-type]

    def fingerprint(self, *, dimension: int) -> str:
        """Name all that shapes a vector: models, files, preprocessing, weights, dimension."""
        parts = [part.sha256 for part in weights.PINNED]
        mix = [self.meaning, self.shape, self.texture, self.colour, self.title]
        told = json.dumps([_VERSION, parts, [float(x) for x in mix], dimension])
        digest = hashlib.sha256(told.encode()).hexdigest()[:16]
        return f"starter-{_VERSION}/efficientnet-lite0+all-minilm-l6-v2/{dimension}/{digest}"
