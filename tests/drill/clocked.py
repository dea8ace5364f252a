"""``oncepay ...`` with a clock that the drill holds: one time for all processes, and a jump for each alone.

    python -m tests.drill.clocked COMMAND ...

DRILL_TIME: a file with how far all are ahead of the machine, in milliseconds; DRILL_JUMP: one with how far this
process is ahead of all others. Both hold one signed 64-bit number and are read in place at every look.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import struct
import time
from pathlib import Path
from typing import Final

from oncepay import assembly
from oncepay.cli import main

LOOK_S: Final = 0.05
_NUMBER: Final = struct.Struct("<q")


class Held:
    """A number that another process sets."""

    def __init__(self, path: Path) -> None:
        with path.open("a+b") as file:
            if not file.tell():
                file.write(_NUMBER.pack(0))
                file.flush()
            self._memory = mmap.mmap(file.fileno(), _NUMBER.size)

    def get(self) -> int:
        """As it is now."""
        return int(_NUMBER.unpack_from(self._memory)[0])

    def set(self, value: int) -> None:
        """For all who look."""
        _NUMBER.pack_into(self._memory, 0, value)


class DrillClock:
    """The Clock port."""

    def __init__(self) -> None:
        self._time = Held(Path(os.environ["DRILL_TIME"]))
        self._jump = Held(Path(os.environ["DRILL_JUMP"]))

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC, as this process has it."""
        return time.time_ns() // 1_000_000 + self._time.get() + self._jump.get()

    async def sleep(self, seconds: float) -> None:
        """Wait by the time of all; a jump of our own neither shortens nor lengthens it."""
        began, ahead_ms = time.monotonic(), self._time.get()
        while (left_s := seconds - (time.monotonic() - began) - (self._time.get() - ahead_ms) / 1000) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(left_s, LOOK_S))


if __name__ == "__main__":
    assembly.SystemClock = DrillClock  # type: ignore[assignment,misc]  # whoever assembles takes this one
    main()
