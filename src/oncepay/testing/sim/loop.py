"""An event loop in which time is a number, and a process that dies is frozen.

* Nothing waits: when nothing is ready, time jumps to the next timer. With none there is nothing left that could happen,
  and the loop says so.
* Steps of tasks that are ready at the same moment run in an order drawn from the seed. Plain callbacks keep theirs:
  libraries rely on it.
* Every callback belongs to the ``Life`` in its context, or to the world. Those of a dead life never run again: no
  ``finally``, no ``async with``, as ``kill -9`` has it. Those of a stopped one wait until it is continued.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from random import Random
from typing import Any, Final

BURY_ROUNDS: Final = 50


class Life:
    """One process from its start to its end. ``name``: as traces call it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.stopped = False
        self.held: list[asyncio.Handle] = []  # what became ready while it was stopped


LIFE: Final[ContextVar[Life]] = ContextVar("life")


class Stuck(Exception):
    """Nothing is ready and no timer is set: what still waits will wait for ever."""


class SimLoop(asyncio.BaseEventLoop):
    """``dice``: decides who runs first. ``idle``: told the time of the next timer (None: none), it says to which time
    to jump, at most that; it may make things ready instead."""

    def __init__(self, dice: Random, idle: Callable[[float | None], float | None]) -> None:
        super().__init__()
        self._at = 0.0
        self._draw = dice.random
        self._idle = idle
        self._scheduled: list[asyncio.TimerHandle]
        self._ready: Any
        self._stopping: bool
        self.frozen: list[asyncio.Handle] = []  # kept, so that nothing of the dead is finished by the collector
        self.burying = False

    # -- time ----------------------------------------------------------------------------------------------------

    def time(self) -> float:
        """Seconds since the world began."""
        return self._at

    def _run_once(self) -> None:
        if not self._ready and not self._stopping:
            self._jump()
        scheduled, ready = self._scheduled, self._ready
        while scheduled and scheduled[0].when() <= self._at:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False  # type: ignore[attr-defined]  # noqa: SLF001 - a loop is made of its handles
            ready.append(handle)
        batch = [ready.popleft() for _ in range(len(ready))]
        if len(batch) > 1:
            self._shuffle(batch)
        for handle in batch:
            if not handle.cancelled():
                self._run(handle)

    def _jump(self) -> None:
        scheduled = self._scheduled
        while scheduled and scheduled[0].cancelled():
            heapq.heappop(scheduled)._scheduled = False  # type: ignore[attr-defined]  # noqa: SLF001
        at = self._idle(scheduled[0].when() if scheduled else None)
        if at is None:
            if not self._ready:
                raise Stuck(f"after {self._at:.3f} s: nothing is ready, no timer is set")
        elif at > self._at:
            self._at = at

    def _shuffle(self, batch: list[asyncio.Handle]) -> None:
        steps = [n for n, handle in enumerate(batch) if _is_step(handle)]
        for n in range(len(steps) - 1, 0, -1):
            m = int(self._draw() * (n + 1))
            a, b = steps[n], steps[m]
            batch[a], batch[b] = batch[b], batch[a]

    def _run(self, handle: asyncio.Handle) -> None:
        life = handle._context.get(LIFE)  # type: ignore[attr-defined]  # noqa: SLF001
        if life is not None and not self.burying:
            if not life.alive:
                self.frozen.append(handle)
                return
            if life.stopped:
                life.held.append(handle)
                return
        handle._run()  # noqa: SLF001

    def go_on(self, life: Life) -> None:
        """Continue a stopped life: what became ready meanwhile runs."""
        life.stopped = False
        held, life.held = life.held, []
        self._ready.extend(held)

    # -- what must not happen in here ------------------------------------------------------------------------------

    def call_soon_threadsafe(self, *_: Any, **__: Any) -> Any:  # type: ignore[override]
        """No threads."""
        raise RuntimeError("a thread came into the simulation")

    def run_in_executor(self, *_: Any, **__: Any) -> Any:  # type: ignore[override]
        """No threads."""
        raise RuntimeError("something wanted a thread of the simulation")

    async def getaddrinfo(self, *_: Any, **__: Any) -> Any:
        """No network."""
        raise RuntimeError("something wanted the real network in the simulation")

    async def create_connection(self, *_: Any, **__: Any) -> Any:
        """No network."""
        raise RuntimeError("something wanted the real network in the simulation")

    def _write_to_self(self) -> None:
        """Nobody sleeps who must be woken."""

    def _process_events(self, event_list: Any) -> None:
        """There are no sockets."""

    # -- its end ---------------------------------------------------------------------------------------------------

    def bury(self) -> None:
        """End all that is left, the frozen too, so that the collector finds nothing half done. What they do now is no
        part of the world any more."""
        self.burying = True
        self.set_exception_handler(lambda *_: None)
        self._idle = lambda at: at
        self._ready.extend(self.frozen)
        for task in asyncio.all_tasks(self):
            task.cancel()
        for _ in range(BURY_ROUNDS):
            if not self._ready and not asyncio.all_tasks(self):
                break
            if self._ready:
                self.run_until_complete(_nothing())
            for task in asyncio.all_tasks(self):
                task.cancel()
        for task in asyncio.all_tasks(self):
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001
        self.frozen.clear()
        self._scheduled.clear()
        self.close()

    def in_life(self, life: Life, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """A task that belongs to a life."""
        context = Context()
        context.run(LIFE.set, life)
        return self.create_task(coroutine, name=name, context=context)


async def _nothing() -> None:
    await asyncio.sleep(0)


def _is_step(handle: asyncio.Handle) -> bool:
    return isinstance(getattr(handle._callback, "__self__", None), asyncio.Task)  # type: ignore[attr-defined]  # noqa: SLF001
