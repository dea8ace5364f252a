"""A way to tell apps what happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from oncepay.ports.records import Endpoint


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """An event on the wire. ``id`` is the same on every try; ``key``: what is told in order, where the road has an
    order (the payment's id); ``timestamp_s``: seconds since 1970, of this try."""

    id: str
    key: str = ""
    body: bytes
    timestamp_s: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a try to tell an app ended. ``gone``: never again. ``down``: the road itself is closed, so whatever waits for
    the same endpoint would get there no better now. ``why``: one clause, shown to operators."""

    delivered: bool
    why: str
    gone: bool = False
    down: bool = False
    retry_after_s: float | None = None


class Publisher(Protocol):
    """One way to tell apps."""

    async def publish(self, endpoint: Endpoint, private_networks: Sequence[str], message: Message) -> Outcome:
        """Try once. ``private_networks``: CIDRs that this app's targets may lie in. Never raises for what the network
        or the other side does."""
        ...

    def at_once(self, endpoint: Endpoint) -> int:
        """How many messages may be on their way to this endpoint at the same moment."""
        ...

    def next_try_ms(self, tries: int, now_ms: int, draw: float, retry_after_s: float | None) -> int | None:
        """When to try again after ``tries`` tries; None: park."""
        ...

    async def close(self) -> None:
        """Let go of all connections."""
        ...
