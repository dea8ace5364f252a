"""At most so many calls a second to a channel for one account: merchants are turned away above a number of their own.

Calls are spread evenly, and after a pause a tenth of a second's worth may go at once. With shared limits all processes
keep the ceiling together; each counts for itself all the same, so that it goes on alone without a break.
"""

from __future__ import annotations

from typing import Final

from oncepay.ports import Clock, Limits

BURST_S: Final = 0.1
# So long a call waits for its turn: within the margin of its intent, before it counts as not sent.
WITHIN_S: Final = 1.0


class Turns:
    """The turns of one process, by key."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next_ms: dict[str, float] = {}

    def turn_s(self, key: str, per_s: float, within_s: float) -> float:
        """As ``Limits.turn_s``, alone."""
        now_ms = self._clock.now_ms()
        next_ms = max(self._next_ms.get(key, 0.0), now_ms - BURST_S * 1000)
        if next_ms > now_ms + within_s * 1000 + 1000 / per_s:  # no turn lies so far ahead: the clock was set back
            next_ms = now_ms
        wait_s = max(0.0, (next_ms - now_ms) / 1000)
        if wait_s > within_s:
            return float("inf")
        self._next_ms[key] = next_ms + 1000 / per_s
        return wait_s


class Ceiling:
    """``per_s``: for each account, over all processes where they share it; 0: none."""

    def __init__(self, clock: Clock, per_s: float, shared: Limits | None) -> None:
        self._clock = clock
        self._per_s = per_s
        self._shared = shared
        self._own = Turns(clock)

    async def admits(self, account: str, declared_per_s: float = 0.0) -> bool:
        """Wait for the turn of a call, and True; or at once False when that is too far off. ``declared_per_s``: what
        the channel says of itself, where nothing was set."""
        per_s = self._per_s or declared_per_s
        if not per_s:
            return True
        wait_s = self._own.turn_s(account, per_s, WITHIN_S)
        if self._shared is not None:
            together_s = await self._shared.turn_s(account, per_s, WITHIN_S)
            wait_s = wait_s if together_s is None else together_s
        if wait_s > WITHIN_S:
            return False
        if wait_s:
            await self._clock.sleep(wait_s)
        return True

    async def close(self) -> None:
        """Let go of what is shared."""
        if self._shared is not None:
            await self._shared.close()
