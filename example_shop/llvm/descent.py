"""Steps of descent in bfloat16, with the weights and their sums in float32. Imports torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

CLIP = 1.0
"""The largest norm of a step's gradient."""


class Descent:
    """Lowers a loss of a module's parameters: Muon for matrices inside, AdamW for all else.

    `compute` gets the module's parameters by name in bfloat16 and a batch, and returns a loss.
    Learning rates rise over a twentieth of the steps, then fall along a cosine.
    """

    def __init__(
        self,
        module: nn.Module,
        compute: Callable[[Mapping[str, Tensor], Any], Tensor],
        *,
        steps: int,
        rate: float,
        outer: Iterable[str] = ("embed", "heads", "lm_head"),
        precision: torch.dtype = torch.bfloat16,
    ) -> None:
        self.parameters = dict(module.named_parameters())
        self.compute = compute
        self.steps, self.warm = steps, max(1, steps // 20)
        self.precision = precision
        self.done = 0
        inner = [
            parameter
            for name, parameter in self.parameters.items()
            if parameter.ndim == 2 and not any(word in name for word in outer)
        ]
        known = {id(parameter) for parameter in inner}
        rest = [p for p in self.parameters.values() if id(p) not in known]
        matrices = [parameter for parameter in rest if parameter.ndim > 1]
        vectors = [parameter for parameter in rest if parameter.ndim <= 1]
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.Muon(
                inner, lr=rate, weight_decay=0.05, adjust_lr_fn="match_rms_adamw", ns_steps=4
            ),
            torch.optim.AdamW(
                [
                    {"params": matrices, "weight_decay": 0.05},
                    {"params": vectors, "weight_decay": 0.0},
                ],
                lr=rate,
                betas=(0.9, 0.97),
            ),
        ]
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["highest"] = group["lr"]

    def step(self, batch: Any) -> float:
        """One step; returns the loss before it."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["highest"] * self._share()
        short = {name: p.to(self.precision) for name, p in self.parameters.items()}
        loss = self.compute(short, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.parameters.values(), CLIP)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.done += 1
        return float(loss.detach())

    def _share(self) -> float:
        """Of the highest learning rate."""
        if self.done < self.warm:
            return (self.done + 1) / self.warm
        left = (self.done - self.warm) / max(1, self.steps - self.warm)
        return 0.5 * (1 + math.cos(math.pi * min(left, 1.0))) + 0.01

    def state(self) -> dict[str, Any]:
        """What `load` needs to go on."""
        return {
            "done": self.done,
            "sums": [optimizer.state_dict() for optimizer in self.optimizers],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on where another left off."""
        self.done = state["done"]
        for optimizer, sums in zip(self.optimizers, state["sums"], strict=True):
            optimizer.load_state_dict(sums)
