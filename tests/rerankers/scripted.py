"""A model whose replies a test scripts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mmsearch_app.rerankers.vlm import Capabilities, Form, Prompt


class Scripted:
    """Replies with a text or a function of the prompt; has logits only if `scorer` is given."""

    fingerprint = "scripted-1"

    def __init__(
        self,
        reply: Callable[[Prompt], str] | str = "",
        *,
        scorer: Callable[[Prompt, str], float] | None = None,
        max_images: int = 1,
        max_pixels: int | None = None,
    ) -> None:
        self.reply = reply
        self.scorer = scorer
        self.asked: list[Prompt] = []
        self.forms: list[Form | None] = []
        self.capabilities = Capabilities(
            logits=scorer is not None,
            constrained=False,
            max_images=max_images,
            max_pixels=max_pixels,
        )

    def generate(
        self, prompts: Sequence[Prompt], *, max_tokens: int, form: Form | None = None
    ) -> list[str]:
        self.asked += prompts
        self.forms += [form] * len(prompts)
        return [self.reply if isinstance(self.reply, str) else self.reply(p) for p in prompts]

    def score(self, prompts: Sequence[Prompt], words: Sequence[str]) -> list[tuple[float, ...]]:
        assert self.scorer is not None
        self.asked += prompts
        return [tuple(self.scorer(prompt, word) for word in words) for prompt in prompts]

    def warm_up(self) -> None:
        self.generate([Prompt(parts=("Hello",))], max_tokens=1)

    def words(self, place: int = -1) -> str:
        """All text of a prompt."""
        prompt = self.asked[place]
        return "\n".join([prompt.system, *(p for p in prompt.parts if isinstance(p, str))])
