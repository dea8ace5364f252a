"""What a client takes from the machine it runs on: a clock, a way to wait, dice. The only place in the client that
looks at them; a test passes its own."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """``clock``: seconds that never go back. ``now_ms``: milliseconds since 1970. ``sleep`` and ``sleep_async``: wait
    so many seconds. ``draw``: a number in [0, 1). ``token``: text that nobody else draws."""

    clock: Callable[[], float] = time.monotonic
    now_ms: Callable[[], int] = _now_ms
    sleep: Callable[[float], None] = time.sleep
    sleep_async: Callable[[float], Awaitable[None]] = asyncio.sleep
    draw: Callable[[], float] = random.random
    token: Callable[[], str] = secrets.token_hex


AROUND: Final = Around()
