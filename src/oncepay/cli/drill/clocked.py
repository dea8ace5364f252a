"""``oncepay ...`` with a clock that the drill holds: one time for all processes, and a jump for each alone.

    python -m oncepay.cli.drill.clocked COMMAND ...

DRILL_TIME: a file with how far all are ahead of the machine, in milliseconds; DRILL_JUMP: one with how far this
process is ahead of all others.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Final

from oncepay import assembly
from oncepay.cli import main
from oncepay.cli.demo.clocked import Held

LOOK_S: Final = 0.05


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
        while (left_s := seconds - (time.monotonic() - began) - (self._time.get() - ahead_ms) / 1000) > 0:
            await asyncio.sleep(min(left_s, LOOK_S))


if __name__ == "__main__":
    assembly.SystemClock = DrillClock  # type: ignore[assignment,misc]  # whoever assembles takes this one
    main()
