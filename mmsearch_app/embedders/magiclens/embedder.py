"""MagicLens as an embedder: options, files, fingerprint."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Unpack

from django.utils.functional import cached_property

from mmsearch_app.embedders.magiclens.architecture import (
    MAGICLENS_ARCHITECTURES,
    MagicLensArchitecture,
)
from mmsearch_app.embedders.runtime import Network, TorchEmbedder, TorchOptions
from mmsearch_app.inference import (
    Tokenizer,
    WordTokenizer,
    digest_files,
    find_file,
    require_one_of,
    tokenizer_release,
)

_TOKENIZER = tokenizer_release(
    "openai/clip-vit-base-patch16", "57c216476eefef5ab752ec549e440a49ae4ae5f3"
)
_PREPROCESSING = "magiclens-1"


class MagicLens(TorchEmbedder):
    """MagicLens "base" (CLIP B/16, 512 dimensions) or "large" (L/14, 768).

    Code Apache-2.0, weights CC-BY 4.0. No hub has the weights: `path` is the released
    `magic_lens_clip_base.pkl` or `magic_lens_clip_large.pkl` (`gsutil cp -R
    gs://gresearch/magiclens/models .`), or its folder. `tokenizer` is a folder with CLIP's
    tokenizer; the default is the folder of `path` if it has one, else the hub's
    `openai/clip-vit-base-patch16`. `architecture` is for weights of another size.

    The model was made for an image with a text, and images are indexed as (image, ""). Texts
    alone work, but it was never trained for them. Texts are cut to 77 tokens.
    """

    def __init__(
        self,
        *,
        model: str = "base",
        path: str | os.PathLike[str],
        tokenizer: str | os.PathLike[str] | None = None,
        architecture: MagicLensArchitecture | None = None,
        **options: Unpack[TorchOptions],
    ) -> None:
        super().__init__(**options)
        require_one_of("model", model, MAGICLENS_ARCHITECTURES)
        self.architecture = architecture or MAGICLENS_ARCHITECTURES[model]
        self.dimension = self.architecture.dimension
        self.path = Path(path)
        self.name = f"magic_lens_clip_{model}.pkl"
        self.tokenizer = Tokenizer.find(tokenizer, beside=self.path, release=_TOKENIZER)

    @cached_property
    def fingerprint(self) -> str:
        weights = digest_files([find_file(self.path, self.name)])
        origin = f"magiclens:{weights}/{self.tokenizer.name}"
        return f"{origin}/{_PREPROCESSING}/{self.documents}/{self.dimension}"

    def _load(self, *, download: bool) -> Network:
        from mmsearch_app.embedders.magiclens.checkpoint import read_parameters
        from mmsearch_app.embedders.magiclens.network import MagicLensEncoder, load_magiclens

        file = find_file(self.path, self.name)
        tokenizer = self.tokenizer.load(download=download)
        network = load_magiclens(self.architecture, read_parameters(file), origin=file)
        network.to(**self._placement())
        return MagicLensEncoder(network, WordTokenizer(tokenizer, pad=0))
