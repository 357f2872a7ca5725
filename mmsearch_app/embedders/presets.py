"""Models that a shop names in one word: `"EMBEDDER": "bge-vl-base"`."""

from __future__ import annotations

from mmsearch_app.embedders.catalogue import PRESETS, Preset

__all__ = ["PRESETS", "Preset", "find_preset", "render_table"]


def find_preset(name: str) -> Preset:
    """The preset of that name. Raises ValueError that lists the right ones."""
    if name not in PRESETS:
        msg = f"there is no preset {name!r}; the presets are {', '.join(PRESETS)}."
        raise ValueError(msg)
    return PRESETS[name]


def render_table() -> str:
    """All presets as the README's table."""
    head = "preset|dimension|float32 / bfloat16|CIRCO|CIRR|FashionIQ|licence: weights|extra|remark"
    rows = [head.split("|"), ["---"] * 9, *(_cells(preset) for preset in PRESETS.values())]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cells(preset: Preset) -> list[str]:
    f = preset.figures
    figures = ["–"] * 3 if f is None else [str(f.circo), str(f.cirr), str(f.fashioniq)]
    remark = preset.remark if f is None else f"{preset.remark} Figures: {f.source}."
    described = [f"{preset.licence}: {preset.weights}", f"`{preset.extra}`", remark]
    return [f"`{preset.name}`", str(preset.dimension), preset.memory(), *figures, *described]
