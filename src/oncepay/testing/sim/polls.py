"""Loops that only look whether there is work. Each look that would find nothing is left out: the sleeper is woken at
the first of its own ticks at which there is something, so that a quiet week costs nothing."""

from __future__ import annotations

import asyncio
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from oncepay.testing.sim.loop import Life
from oncepay.testing.sim.process import START_MS

if TYPE_CHECKING:
    from oncepay.testing.sim.world import World


class _Sleeper(NamedTuple):
    life: Life
    kind: str
    since_s: float
    period_s: float
    skew_ms: int
    future: asyncio.Future[None]

    def tick_at(self, at_s: float) -> float:
        """The first tick at or after a moment."""
        return self.since_s + self.period_s * max(1, ceil((at_s - self.since_s) / self.period_s - 1e-9))


class Polls:
    """Who sleeps, and when the next of them has something to do."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._sleepers: list[_Sleeper] = []
        self._due_ms: dict[str, int | None] = {}
        self._changed_s = -1.0
        self._written = True
        self._stale = True
        self._next_s: float | None = None

    async def wait(self, life: Life, kind: str, seconds: float, skew_ms: int) -> None:
        """Sleep until a tick at which there is something."""
        loop = self._world.loop
        sleeper = _Sleeper(life, kind, loop.time(), seconds, skew_ms, loop.create_future())
        self._sleepers.append(sleeper)
        self._stale = True
        try:
            await sleeper.future
        finally:
            self._stale = True  # it may have been woken by a bell

    def written(self) -> None:
        """Somebody commits something: there may be more to do, or less."""
        self._written = True

    def directory_changed(self) -> None:
        """An app, an account or an endpoint was changed."""
        self._changed_s, self._stale = self._world.loop.time(), True

    def next_s(self) -> float | None:
        """When the next one has something to do."""
        if self._written:
            self._due_ms, self._written, self._stale = self._world.next_due_ms(), False, True
        if self._stale:
            self._next_s = min((at for at in map(self._wakes_at, self._sleepers) if at is not None), default=None)
            self._stale = False
        return self._next_s

    def wake(self, at_s: float) -> None:
        """Wake those whose tick it is."""
        left, self._stale = [], True
        for sleeper in self._sleepers:
            at = self._wakes_at(sleeper)
            if at is not None and at <= at_s:
                sleeper.future.set_result(None)
            elif sleeper.life.alive and not sleeper.future.done():
                left.append(sleeper)
        self._sleepers = left

    def _wakes_at(self, sleeper: _Sleeper) -> float | None:
        if not sleeper.life.alive or sleeper.future.done():
            return None
        if sleeper.kind == "directory":
            return sleeper.tick_at(self._changed_s) if self._changed_s >= sleeper.since_s else None
        due_ms = self._due_ms.get(sleeper.kind)
        return None if due_ms is None else sleeper.tick_at((due_ms - START_MS - sleeper.skew_ms) / 1000)
