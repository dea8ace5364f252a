"""Time and chance, injected."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Time, injected."""

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Dice(Protocol):
    """Chance, injected."""

    def token(self) -> str:
        """32 unguessable letters and digits (128 bits or more)."""
        ...

    def draw(self) -> float:
        """A number in [0, 1) for jitter; need not be unguessable."""
        ...
