"""The sandbox's own time: the real clock plus an offset, and timers that follow it.

Refund delays, notification retries and the vendor's automatic closing all run on this clock, so a
test that advances it sees a day's worth of retries in a moment. The real clock is an argument.
"""

import asyncio
import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, Protocol

BEIJING: Final = timezone(timedelta(hours=8))


class Dice(Protocol):
    """What the sandbox draws from; ``random.Random`` satisfies it, seeded or not."""

    def random(self) -> float:
        """A number in [0, 1)."""
        ...

    def randbytes(self, n: int, /) -> bytes:
        """``n`` random bytes."""
        ...


class Clock:
    """Seconds since the epoch as the sandbox sees them, with timers in due order."""

    def __init__(self, real: Callable[[], float]) -> None:
        self._real = real
        self.offset_s = 0.0
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._wake: asyncio.TimerHandle | None = None

    def now(self) -> float:
        return self._real() + self.offset_s

    def at(self, due: float, run: Callable[[], None]) -> None:
        """Call ``run`` once the sandbox's time reaches ``due`` (epoch seconds)."""
        self._count += 1
        heapq.heappush(self._timers, (due, self._count, run))
        if self._timers[0][1] == self._count:
            self._arm()

    def advance(self, seconds: float) -> int:
        """Move time forward and run at once whatever has become due; how many timers ran."""
        self.offset_s += seconds
        return self._run_due()

    def stop(self) -> None:
        """Forget all timers; what is due after a restart comes from the journal."""
        self._timers.clear()
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None

    @property
    def waiting(self) -> int:
        """How many timers have not run yet."""
        return len(self._timers)

    @property
    def next_due(self) -> float | None:
        """When the next timer is due, epoch seconds; None when nothing waits."""
        return self._timers[0][0] if self._timers else None

    def _arm(self) -> None:
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        if self._timers:
            wait_s = max(0.0, self._timers[0][0] - self.now())
            # An hour at most, so that a real clock set forward is noticed.
            self._wake = asyncio.get_running_loop().call_later(min(wait_s, 3600.0), self._tick)

    def _tick(self) -> None:
        self._wake = None
        self._run_due()

    def _run_due(self) -> int:
        ran = 0
        while self._timers and self._timers[0][0] <= self.now():
            _, _, run = heapq.heappop(self._timers)
            ran += 1
            run()
        self._arm()
        return ran


def rfc3339(moment: float) -> str:
    """Epoch seconds as the vendors write them, in Beijing time.

    >>> rfc3339(1800000000)
    '2027-01-15T16:00:00+08:00'
    """
    return datetime.fromtimestamp(int(moment), BEIJING).isoformat()


def beijing(moment: float) -> datetime:
    """Epoch seconds as a Beijing datetime."""
    return datetime.fromtimestamp(moment, BEIJING)


def utc(moment: float) -> datetime:
    """Epoch seconds as a UTC datetime."""
    return datetime.fromtimestamp(moment, UTC)
