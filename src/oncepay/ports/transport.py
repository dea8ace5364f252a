"""The network towards channels: one request, and the three ways in which it may end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request, to the byte. ``url``: absolute; ``headers``: as sent, order kept."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """An answer came whole. ``headers``: names in lower case; ``body``: any content encoding undone."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NotSent(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing left this machine: name not found, connection refused, TLS, no connection free."""

    why: str


class Unknown(msgspec.Struct, frozen=True, kw_only=True):
    """Something left and no whole answer came: the other side may have done it."""

    why: str


Answer = Answered | NotSent | Unknown


class Transport(Protocol):
    """The network, towards channels. Never follows redirects, never repeats."""

    async def send(self, request: Request, deadline_s: float) -> Answer:
        """Send and wait at most ``deadline_s`` seconds in all. Never raises for what the network does."""
        ...

    async def close(self) -> None:
        """Let go of all connections."""
        ...
