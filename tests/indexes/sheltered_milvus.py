"""Run a Milvus server that only this machine can reach; a script for `unshare --net --pid`.

The server listens on every interface, so it runs in a network namespace with a loopback only.
Connections come in by a listening socket, passed as a file descriptor: it was opened outside, so
it listens on the loopback outside. The server ends when standard input is closed.

Arguments: data folder, file descriptor.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
import sys
import threading

SIOCSIFFLAGS = 0x8914
UP_AND_RUNNING = 0x1 | 0x40
TICK = 20
"""The longest wait of a strongly consistent read in milliseconds; Milvus's default is 200."""


def raise_loopback() -> None:
    request = struct.pack("16sh14x", b"lo", UP_AND_RUNNING)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, request)


def pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def relay(listener: socket.socket, port: int) -> None:
    while True:
        outside, _ = listener.accept()
        inside = socket.create_connection(("127.0.0.1", port))
        for pair in ((outside, inside), (inside, outside)):
            threading.Thread(target=pump, args=pair, daemon=True).start()


def main(data: str, descriptor: str) -> None:
    from milvus import MilvusServer, MilvusServerConfig

    raise_loopback()
    listener = socket.socket(fileno=int(descriptor))
    config = MilvusServerConfig(data_dir=data)
    config.set("proxy.timeTickInterval", TICK)
    server = MilvusServer(config)
    server.start()
    threading.Thread(target=relay, args=(listener, server.listen_port), daemon=True).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.stop()
    # This is the first process of its namespace, so its end stops all others.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
