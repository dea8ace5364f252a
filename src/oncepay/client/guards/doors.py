"""Doors before a ``SubmissionGuard``: they keep the crowd of repeats from the database while the first is being made.

A door is never the guard. What it knows is kept elsewhere than the orders, so it may forget what was made (a Redis that
was restarted or failed over) and remember what was not (a crash). Who gets through still meets the primary key in the
database; the worst that a door can do is to let somebody wait.
"""

from __future__ import annotations

import threading
from typing import Final, Protocol

from oncepay.client.around import AROUND, Around

MAKING_S: Final = 30.0  # an order is made in less; a key that a crash left is gone by then


class Door(Protocol):
    """Lets one submission of each kind through at a time."""

    def enter(self, digest: str) -> str | None:
        """A token for who may go through, None when another of its kind is inside. Raises GuardUnavailable."""

    def leave(self, digest: str, token: str) -> None:
        """Nothing came of it: let the next one through at once. Never raises."""


class AsyncDoor(Protocol):
    """The same for asyncio."""

    async def enter(self, digest: str) -> str | None:
        """As ``Door.enter``."""

    async def leave(self, digest: str, token: str) -> None:
        """As ``Door.leave``."""


class LocalDoor:
    """A door of this process: for an app of one process, and for tests. ``making_s``: seconds until a key that nobody
    gave back is gone."""

    def __init__(self, *, making_s: float = MAKING_S, around: Around = AROUND) -> None:
        self.making_s = making_s
        self._around = around
        self._inside: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def enter(self, digest: str) -> str | None:
        """As ``Door.enter``."""
        now_s = self._around.clock()
        with self._lock:
            if digest in self._inside and self._inside[digest][1] > now_s:
                return None
            for gone in [key for key, (_, until_s) in self._inside.items() if until_s <= now_s]:
                del self._inside[gone]
            token = self._around.token()
            self._inside[digest] = (token, now_s + self.making_s)
            return token

    def leave(self, digest: str, token: str) -> None:
        """As ``Door.leave``."""
        with self._lock:
            if self._inside.get(digest, ("", 0.0))[0] == token:
                del self._inside[digest]
