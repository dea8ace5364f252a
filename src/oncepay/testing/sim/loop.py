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
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from heapq import heappop, heappush
from random import Random
from typing import Any, Final

BURY_ROUNDS: Final = 50


class Life:
    """One process from its start to its end. ``name``: as traces call it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.stopped = False
        self.held: list[SimHandle] = []  # what became ready while it was stopped


LIFE: Final[ContextVar[Life]] = ContextVar("life")


class Stuck(Exception):
    """Nothing is ready and no timer is set: what still waits will wait for ever."""


class SimHandle:
    """A callback that is ready, or will be at its time. Leaner than asyncio's: a payment needs three hundred."""

    __slots__ = ("args", "at_s", "call", "context", "is_cancelled")

    def __init__(self, call: Callable[..., Any], args: tuple[Any, ...], context: Context, at_s: float) -> None:
        self.call = call
        self.args = args
        self.context = context
        self.at_s = at_s
        self.is_cancelled = False

    def cancel(self) -> None:
        """It will not run."""
        self.is_cancelled = True
        self.args = ()

    def cancelled(self) -> bool:
        """Whether it will not run."""
        return self.is_cancelled

    def when(self) -> float:
        """Seconds since the world began."""
        return self.at_s


class SimLoop(asyncio.BaseEventLoop):
    """``dice``: decides who runs first. ``idle``: told the time of the next timer (None: none), it says to which time
    to jump, at most that; it may make things ready instead."""

    def __init__(self, dice: Random, idle: Callable[[float | None], float | None]) -> None:
        super().__init__()
        self._at = 0.0
        self._draw = dice.random
        self._idle = idle
        self._timers: list[tuple[float, int, SimHandle]] = []
        self._count = 0
        self._ready: deque[SimHandle]
        self._stopping: bool
        self.frozen: list[SimHandle] = []  # kept, so that nothing of the dead is finished by the collector
        self.burying = False

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> Any:  # type: ignore[override]
        """Run it in the next round."""
        handle = SimHandle(callback, args, copy_context() if context is None else context, self._at)
        self._ready.append(handle)
        return handle

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> Any:  # type: ignore[override]
        """Run it at a time; of several at the same time, the first that was asked for first."""
        handle = SimHandle(callback, args, copy_context() if context is None else context, when)
        self._count += 1
        heappush(self._timers, (when, self._count, handle))
        return handle

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> Any:  # type: ignore[override]
        """Run it after so many seconds."""
        return self.call_at(self._at + delay, callback, *args, context=context)

    def sleep(self, seconds: float) -> asyncio.Future[None]:
        """As ``asyncio.sleep``, for those who are not cancelled: without a coroutine for each."""
        woken: asyncio.Future[None] = asyncio.Future(loop=self)
        self.call_at(self._at + seconds, _wake, woken)
        return woken

    def create_task(self, coro: Any, *, name: Any = None, context: Context | None = None) -> asyncio.Task[Any]:
        """A task of this loop."""
        return asyncio.Task(coro, loop=self, name=name, context=context)

    # -- time ----------------------------------------------------------------------------------------------------

    def time(self) -> float:
        """Seconds since the world began."""
        return self._at

    def _run_once(self) -> None:
        """Rounds, until somebody stops the loop."""
        timers, ready = self._timers, self._ready
        while True:
            if not ready and not self._stopping:
                self._jump()
            while timers and timers[0][0] <= self._at:
                ready.append(heappop(timers)[2])
            if len(ready) == 1:  # nearly always
                self._run(ready.popleft())
            else:
                batch = list(ready)
                ready.clear()
                self._shuffle(batch)
                for handle in batch:
                    self._run(handle)
            if self._stopping:
                return

    def _jump(self) -> None:
        timers = self._timers
        while timers and timers[0][2].is_cancelled:
            heappop(timers)
        at = self._idle(timers[0][0] if timers else None)
        if at is None:
            if not self._ready:
                raise Stuck(f"after {self._at:.3f} s: nothing is ready, no timer is set")
        elif at > self._at:
            self._at = at

    def _shuffle(self, batch: list[SimHandle]) -> None:
        steps = [n for n, handle in enumerate(batch) if _is_step(handle)]
        for n in range(len(steps) - 1, 0, -1):
            m = int(self._draw() * (n + 1))
            a, b = steps[n], steps[m]
            batch[a], batch[b] = batch[b], batch[a]

    def _run(self, handle: SimHandle) -> None:
        if handle.is_cancelled:
            return
        context = handle.context
        life = context.get(LIFE)
        if life is not None and not self.burying:
            if not life.alive:
                self.frozen.append(handle)
                return
            if life.stopped:
                life.held.append(handle)
                return
        try:
            context.run(handle.call, *handle.args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - as asyncio does: whatever it is, the loop goes on
            self.call_exception_handler({"message": f"exception in {handle.call!r}", "exception": error})

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
        self._timers.clear()
        self.close()

    def in_life(self, life: Life, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """A task that belongs to a life."""
        context = Context()
        context.run(LIFE.set, life)
        return self.create_task(coroutine, name=name, context=context)


async def _nothing() -> None:
    await asyncio.sleep(0)


def _wake(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)


def _is_step(handle: SimHandle) -> bool:
    return isinstance(getattr(handle.call, "__self__", None), asyncio.Task)
