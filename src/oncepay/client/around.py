"""What a client takes from the machine it runs on: a clock, a way to wait, dice. The only place in the client that
looks at them; a test passes its own."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """``clock``: seconds that never go back. ``sleep`` and ``sleep_async``: wait so many seconds. ``draw``: a number in
    [0, 1)."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    sleep_async: Callable[[float], Awaitable[None]] = asyncio.sleep
    draw: Callable[[], float] = random.random
