"""The three networks of a vision-language model in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mmsearch_app.inference import (
    InvalidWeights,
    ModelFailed,
    count_cores,
    load_onnxruntime,
    never_free,
    require_time,
)

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, OrtValue

CHUNK: Final = 256
"""Tokens of a prompt that are read at once: between them the deadline is looked at, and a model
that gives logits for each of them gives no more at once."""
PAST: Final = "past_key_values."
PRESENT: Final = "present."
TENSOR_TYPES: Final[Mapping[str, Any]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}
Provider: TypeAlias = "str | tuple[str, Mapping[str, Any]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeOptions:
    """How ONNX Runtime computes."""

    threads: int | None = None
    """None takes one for each core that this process may use."""
    providers: Sequence[Provider] = ("CPUExecutionProvider",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """The keys and values of the tokens that were read."""

    length: int
    states: Mapping[str, OrtValue]
    """By the name of the decoder's input; each (1, heads, length, width of a head)."""


class OnnxNetwork:
    """Runs one network by the names and types of its own inputs."""

    def __init__(self, path: Path, options: RuntimeOptions) -> None:
        self.name = path.name
        self.session = _open(path, options)
        self.inputs: dict[str, Any] = {item.name: item for item in self.session.get_inputs()}
        self.outputs: list[str] = [item.name for item in self.session.get_outputs()]
        if unusable := sorted({i.type for i in self.inputs.values()} - TENSOR_TYPES.keys()):
            msg = f"{self.name} takes {', '.join(unusable)}, which NumPy cannot give."
            raise InvalidWeights(msg)

    def require(self, *, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        """Raise InvalidWeights unless the network has these inputs and outputs."""
        lacking = [name for name in inputs if name not in self.inputs]
        lacking += [name for name in outputs if name not in self.outputs]
        if lacking:
            msg = (
                f"{self.name} lacks {', '.join(lacking)}: it has the inputs "
                f"{', '.join(self.inputs)} and the outputs {', '.join(self.outputs)}. OnnxVLM "
                "needs an export in the layout of onnx-community."
            )
            raise InvalidWeights(msg)

    def refuse(self, *, beyond: Sequence[str]) -> None:
        """Raise InvalidWeights if the network has inputs that are not named here."""
        if unknown := sorted(self.inputs.keys() - set(beyond)):
            msg = f"{self.name} wants {', '.join(unknown)}, which is not known here."
            raise InvalidWeights(msg)

    def give(self, name: str, value: Any) -> OrtValue:
        """Return the value of an input, in the type that the network wants."""
        array = np.asarray(value, TENSOR_TYPES[self.inputs[name].type], order="C")
        return load_onnxruntime().OrtValue.ortvalue_from_numpy(array)

    def run(self, wanted: Sequence[str], given: Mapping[str, OrtValue]) -> list[OrtValue]:
        """Return these outputs. Raises ModelFailed."""
        try:
            found: list[OrtValue] = self.session.run_with_ort_values(wanted, given)
        except Exception as error:  # ONNX Runtime's own errors have no common class but this
            msg = f"{self.name} failed: {error}"
            raise ModelFailed(msg) from error
        return found


class Idefics3Network:
    """The vision encoder, the embeddings and the decoder. For one thread at a time.

    Everything is float32 on the outside. Raises InvalidWeights for a network of another layout.
    """

    def __init__(
        self, graphs: Mapping[str, Path], options: RuntimeOptions, *, text: Mapping[str, Any]
    ) -> None:
        self._vision = OnnxNetwork(graphs["vision_encoder"], options)
        self._words = OnnxNetwork(graphs["embed_tokens"], options)
        self._decoder = OnnxNetwork(graphs["decoder_model_merged"], options)
        self._check()
        self._states = [name for name in self._decoder.inputs if name.startswith(PAST)]
        self._wanted = ["logits", *(PRESENT + name.removeprefix(PAST) for name in self._states)]
        self._decoder.require(inputs=[], outputs=self._wanted)
        self.nothing = self._begin(text)

    def forget(self) -> None:
        """In a forked child: leave the parent's sessions alone."""
        for network in (self._vision, self._words, self._decoder):
            never_free(network.session)

    @property
    def side(self) -> int | None:
        """Pixels of a tile's side; None if the vision encoder takes any."""
        side = self._vision.inputs["pixel_values"].shape[-1]
        return side if isinstance(side, int) else None

    def see(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the tokens of tiles, (tiles × tokens of a tile, width).

        `pixels` is (tiles, 3, side, side).
        """
        require_time()
        whole = np.ones((len(pixels), *pixels.shape[2:]), np.bool_)
        values = {"pixel_values": pixels, "pixel_attention_mask": whole}
        given = {
            name: self._vision.give(name, value if self._takes_tiles else value[None])
            for name, value in values.items()
            if name in self._vision.inputs
        }
        found = self._vision.run(self._vision.outputs[:1], given)[0].numpy()
        return np.asarray(found.reshape(-1, found.shape[-1]), np.float32)

    def embed(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Return the embeddings of the ids, (tokens, width)."""
        given = {"input_ids": self._words.give("input_ids", [ids])}
        return np.asarray(self._words.run(self._words.outputs[:1], given)[0].numpy()[0], np.float32)

    def read(self, embeds: NDArray[np.float32], past: Past) -> tuple[NDArray[np.float32], Past]:
        """Read one or more tokens, (tokens, width), behind those of `past`.

        Returns the logits of the token after them, (vocabulary), and all that was read. Raises
        ModelFailed, also if the time is up.
        """
        logits: Any = None
        for begin in range(0, len(embeds), CHUNK):
            require_time()
            logits, past = self._step(embeds[begin : begin + CHUNK], past)
        return logits, past

    def shorten(self, past: Past, length: int) -> Past:
        """Return the first tokens of what was read."""
        if length == past.length:
            return past
        states = {
            name: self._decoder.give(name, state.numpy()[:, :, :length])
            for name, state in past.states.items()
        }
        return Past(length=length, states=states)

    def _step(self, embeds: NDArray[np.float32], past: Past) -> tuple[NDArray[np.float32], Past]:
        total = past.length + len(embeds)
        values = {
            "inputs_embeds": embeds[None],
            "attention_mask": np.ones((1, total)),
            "position_ids": np.arange(past.length, total)[None],
            "num_logits_to_keep": 1,
            "use_cache_branch": [past.length > 0],
        }
        given = {
            name: self._decoder.give(name, value)
            for name, value in values.items()
            if name in self._decoder.inputs
        }
        logits, *states = self._decoder.run(self._wanted, {**given, **past.states})
        read = Past(length=total, states=dict(zip(self._states, states, strict=True)))
        return np.asarray(logits.numpy()[0, -1], np.float32), read

    @property
    def _takes_tiles(self) -> bool:
        """Whether the vision encoder takes a batch of tiles, not batches of images."""
        return len(self._vision.inputs["pixel_values"].shape) == 4

    def _check(self) -> None:
        self._vision.require(inputs=["pixel_values"], outputs=[])
        self._vision.refuse(beyond=["pixel_values", "pixel_attention_mask"])
        self._words.require(inputs=["input_ids"], outputs=[])
        self._words.refuse(beyond=["input_ids"])
        self._decoder.require(inputs=["inputs_embeds", "attention_mask"], outputs=["logits"])
        own = ["inputs_embeds", "attention_mask", "position_ids"]
        own += ["num_logits_to_keep", "use_cache_branch"]
        states = [name for name in self._decoder.inputs if name.startswith(PAST)]
        self._decoder.refuse(beyond=[*own, *states])
        if not states:
            msg = f"{self._decoder.name} has no {PAST}N.key: an export without a cache is too slow."
            raise InvalidWeights(msg)

    def _begin(self, text: Mapping[str, Any]) -> Past:
        """The empty cache. Sizes that an export leaves open are those of the configuration."""
        heads = text.get("num_key_value_heads") or text.get("num_attention_heads")
        width = text.get("head_dim")
        if width is None and text.get("num_attention_heads"):
            width = text["hidden_size"] // text["num_attention_heads"]
        states = {}
        for name in self._states:
            shape = self._decoder.inputs[name].shape
            sizes = [shape[1] if isinstance(shape[1], int) else heads]
            sizes += [shape[3] if isinstance(shape[3], int) else width]
            if None in sizes:
                msg = f"{self._decoder.name} and config.json leave the shape of {name} open."
                raise InvalidWeights(msg)
            states[name] = self._decoder.give(name, np.zeros((1, sizes[0], 0, sizes[1])))
        return Past(length=0, states=states)


def _open(path: Path, options: RuntimeOptions) -> InferenceSession:
    """Raises InvalidWeights for a file that is no network, ValueError for unknown providers."""
    runtime, providers = load_onnxruntime(), _name(options.providers)
    chosen = runtime.SessionOptions()
    chosen.intra_op_num_threads = options.threads or count_cores()
    chosen.inter_op_num_threads = 1
    # Threads that wait in a loop would take the cores from those that open images.
    chosen.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Each token has another length: what is kept for reuse would only grow.
    chosen.enable_cpu_mem_arena = False
    chosen.enable_mem_pattern = False
    chosen.log_severity_level = 3
    try:
        return runtime.InferenceSession(str(path), chosen, providers=providers)
    except Exception as error:  # ONNX Runtime's own errors have no common class but this
        msg = f"{path} cannot be loaded by ONNX Runtime {runtime.__version__}: {error}"
        raise InvalidWeights(msg) from error


def _name(providers: Sequence[Provider]) -> list[Any]:
    """The providers as ONNX Runtime wants them. It only warns about one that it lacks."""
    chosen = [(p, {}) if isinstance(p, str) else (p[0], dict(p[1])) for p in providers]
    there = load_onnxruntime().get_available_providers()
    if missing := [name for name, _ in chosen if name not in there]:
        msg = f"providers: ONNX Runtime has no {', '.join(missing)} here, but {', '.join(there)}."
        raise ValueError(msg)
    return chosen
