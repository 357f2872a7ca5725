"""A relay in front of a server, which can be cut, held, slowed down or made to answer nonsense."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What is wrong with the connection; by default nothing."""

    refuse: bool = False
    """Connections are reset, those that exist as well."""
    hold: bool = False
    """Nothing is passed on until the trouble is over."""
    delay: float = 0.0
    """Seconds that every piece of an answer is late."""
    reply: bytes = b""
    """What is answered instead of the server's own answer; then the connection ends."""
    cut: int = 0
    """After that many bytes of answers a connection is reset; 0: never."""


class Wire:
    """Relays connections to a server on this machine."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._trouble = Trouble()
        self._changed = threading.Condition()
        self._ends: set[socket.socket] = set()
        threading.Thread(target=self._accept, name="wire", daemon=True).start()

    @contextmanager
    def trouble(self, **what: object) -> Iterator[None]:
        """Have this trouble during the block; afterwards all its connections are reset."""
        self._set(Trouble(**what))  # type: ignore[arg-type]
        try:
            yield
        finally:
            self._set(Trouble())

    def close(self) -> None:
        self._listener.close()
        self._reset_all()

    def _set(self, trouble: Trouble) -> None:
        with self._changed:
            before, self._trouble = self._trouble, trouble
            self._changed.notify_all()
        if trouble.refuse or trouble.reply or trouble.cut or before != Trouble():
            self._reset_all()

    def _reset_all(self) -> None:
        for end in list(self._ends):
            _reset(end)
        self._ends.clear()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                outside, _ = self._listener.accept()
                if self._trouble.refuse:
                    _reset(outside)
                elif self._trouble.reply:
                    threading.Thread(target=self._reply, args=(outside,), daemon=True).start()
                else:
                    self._relay(outside)

    def _relay(self, outside: socket.socket) -> None:
        try:
            inside = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            _reset(outside)
            return
        self._ends |= {outside, inside}
        for source, target, answers in ((outside, inside, False), (inside, outside, True)):
            threading.Thread(target=self._pump, args=(source, target, answers), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                with self._changed:
                    while self._trouble.hold:
                        self._changed.wait()
                trouble = self._trouble
                if answers and trouble.delay:
                    time.sleep(trouble.delay)
                if answers and trouble.cut and passed + len(data) > trouble.cut:
                    target.sendall(data[: max(0, trouble.cut - passed)])
                    break
                passed += len(data)
                target.sendall(data)
        for end in (source, target):
            self._ends.discard(end)
            _reset(end) if answers and self._trouble.cut else _shut(end)

    def _reply(self, outside: socket.socket) -> None:
        with contextlib.suppress(OSError):
            outside.settimeout(5)
            outside.recv(_CHUNK)
            outside.sendall(self._trouble.reply)
        _shut(outside)


def _reset(end: socket.socket) -> None:
    """Close with a reset instead of a goodbye."""
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    _shut(end)


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
