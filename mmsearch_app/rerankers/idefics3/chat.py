"""A conversation with images as the token ids of an Idefics3."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from mmsearch_app.inference import InvalidWeights, MissingWeights, ModelFailed
from mmsearch_app.rerankers.idefics3.files import Idefics3Settings
from mmsearch_app.rerankers.idefics3.pictures import TileGrid

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BESIDE: Final = "<fake_token_around_image>"
WHOLE: Final = "<global-img>"


class ChatWriter:
    """Writes prompts. Thread-safe.

    Raises InvalidWeights if the tokenizer has no token for images or the template is broken.
    """

    def __init__(self, tokenizer: Tokenizer, settings: Idefics3Settings) -> None:
        self._tokenizer = tokenizer
        self._settings = settings
        self._render = compile_template(settings.template)
        mark = tokenizer.id_to_token(settings.image_token)
        if mark is None:
            msg = (
                f"The tokenizer has no token {settings.image_token}, which stands for images by "
                "image_token_id in config.json: these files belong to different models."
            )
            raise InvalidWeights(msg)
        self._mark: str = mark

    def write(self, messages: Sequence[Mapping[str, Any]], shown: Sequence[TileGrid]) -> list[int]:
        """Return the ids of a conversation with its images, in order, up to the reply.

        Raises ModelFailed if the template does not show every image.
        """
        text = self._render(
            messages=messages,
            tools=None,
            documents=None,
            add_generation_prompt=True,
            **self._settings.named,
        )
        words = text.split(self._mark)
        if len(words) != len(shown) + 1:
            msg = (
                f"The chat template writes {len(words) - 1} images of {len(shown)}: take the "
                "template that belongs to the model."
            )
            raise ModelFailed(msg)
        pieces = [words[0]]
        for grid, after in zip(shown, words[1:], strict=True):
            pieces += [self._describe(grid), after]
        begin = self._settings.named.get("bos_token", "")
        begun = bool(begin) and text.startswith(begin)
        found: list[int] = self._tokenizer.encode("".join(pieces), add_special_tokens=not begun).ids
        return found

    def _describe(self, grid: TileGrid) -> str:
        """The marks of an image: its tiles row by row, then the whole."""
        spots = self._mark * self._settings.tokens_per_tile
        rows = [
            "".join(
                f"{BESIDE}<row_{row + 1}_col_{column + 1}>{spots}" for column in range(grid.columns)
            )
            for row in range(grid.rows)
        ]
        gap = "\n" if rows else ""
        return "".join(f"{row}\n" for row in rows) + f"{gap}{BESIDE}{WHOLE}{spots}{BESIDE}"


def read_tokenizer_file(folder: Path) -> Tokenizer:
    """Read `tokenizer.json` as it is written. Raises MissingWeights or InvalidWeights."""
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        msg = f"{folder} lacks tokenizer.json."
        raise MissingWeights(msg)
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        msg = f"{path} is no tokenizer: {error}"
        raise InvalidWeights(msg) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def find_ids(tokenizer: Tokenizer, names: Iterable[str]) -> list[int]:
    """Return the ids of the tokens that the tokenizer has."""
    found = (tokenizer.token_to_id(name) for name in names)
    return [number for number in found if number is not None]


def compile_template(template: str) -> Callable[..., str]:
    """Return what renders a chat template of the hub, in a sandbox.

    Templates are code that strangers wrote. They get what transformers gives them: no blank lines
    of blocks, `break` and `continue`, `tojson`, `raise_exception` and `strftime_now`. Rendering
    raises ModelFailed. Raises InvalidWeights for a template that does not compile.
    """
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def raise_exception(message: str) -> NoReturn:
        raise TemplateError(message)

    def tojson(value: Any, *, indent: int | None = None, **_: Any) -> str:
        return json.dumps(value, ensure_ascii=False, indent=indent)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    try:
        compiled = environment.from_string(template)
    except TemplateError as error:
        msg = f"The model's chat template is broken: {error}"
        raise InvalidWeights(msg) from error

    def render(**variables: Any) -> str:
        try:
            return compiled.render(**variables)
        except (TemplateError, TypeError, ValueError) as error:
            msg = f"The model's chat template refuses the prompt: {error}"
            raise ModelFailed(msg) from error

    return render
