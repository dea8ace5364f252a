"""What processes share beside the ledger. Nothing depends on it: without it they are slower, and each keeps the limits
by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol


class Wake(Protocol):
    """Word to the other processes that there is something to look at. It may be lost, late or come twice: who hears it
    looks, and who does not hear it looks by itself a little later."""

    async def tell(self, words: Sequence[str]) -> None:
        """Pass words on (ASCII, without spaces, 4 kB in all) to all processes that listen, but for this one. Waits a
        moment at most and raises nothing: what cannot be told is dropped."""
        ...

    async def listen(self, hear: Callable[[str], None], caught_up: Callable[[], None]) -> None:
        """Call ``hear`` with each word, for ever; cancel it to stop. Connections that break are made again quietly;
        ``caught_up`` is called whenever words may have been missed before and are heard from now on."""
        ...

    async def close(self) -> None:
        """Let go of all connections."""
        ...


class Limits(Protocol):
    """Ceilings that all processes keep together."""

    async def turn_s(self, key: str, per_s: float, within_s: float) -> float | None:
        """Take a turn at what may be done ``per_s`` times a second, and say in how many seconds it is; infinity when it
        would be later than ``within_s``: then none was taken. None when nobody can say; known soon, also when the other
        side is slow."""
        ...

    async def close(self) -> None:
        """Let go of all connections."""
        ...
