"""Running a network in ONNX Runtime, in this process and in those forked from it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmsearch_app.inference import (
    count_cores,
    load_onnxruntime,
    never_free,
    renew_after_fork,
    return_memory,
)

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from mmsearch_app.embedders.starter.networks import BuiltGraph

_RUNTIME = load_onnxruntime()


class Session:
    """Runs a network; threads may share it. The first call builds it, again in each forked child.

    `threads` compute in parallel; None takes one for each core that this process may use. `built`
    is called when the session has its own copies of the weights.
    """

    def __init__(
        self, network: BuiltGraph, *, threads: int | None, built: Callable[[], None] | None = None
    ) -> None:
        self._network = network
        self._built = built
        self._threads = threads or count_cores()
        self._session: InferenceSession | None = None
        self._lock = threading.Lock()
        renew_after_fork(self._reset)

    def _reset(self) -> None:
        """Forget the session of the parent, whose threads do not exist here."""
        self._lock = threading.Lock()
        if self._session is not None:
            never_free(self._session)
        self._session = None

    def run(self, **inputs: NDArray[np.generic]) -> list[NDArray[np.float32]]:
        """Return the network's outputs in their order."""
        found: list[NDArray[np.float32]] = self._open().run(None, inputs)
        return found

    def _open(self) -> InferenceSession:
        with self._lock:
            if self._session is None:
                self._session = self._build()
                if self._built is not None:
                    self._built()
                return_memory()  # building takes several times the weights
            return self._session

    def _build(self) -> InferenceSession:
        graph, weights = self._network
        options = _RUNTIME.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        # ONNX Runtime's own pool of memory only grows. Small batches are as fast without it.
        options.enable_cpu_mem_arena = False
        # Threads that wait in a loop would take the cores from those that open images.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        values = [_RUNTIME.OrtValue.ortvalue_from_numpy(weight) for weight in weights.values()]
        options.add_external_initializers(list(weights), values)
        return _RUNTIME.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
