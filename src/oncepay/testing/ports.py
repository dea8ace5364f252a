"""Ports for programs that are still to start. Apart from the servers, which need more than the demonstration brings."""

from __future__ import annotations

import contextlib
import secrets
import socket
from typing import Final

PORTS: Final = range(20_000, 32_000)  # systems give away higher ones


def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago, for a program that is still to start: none of those that the
    system gives to whoever asks for any."""
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
