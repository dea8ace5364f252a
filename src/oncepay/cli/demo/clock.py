"""A clock that follows a sandbox's: when the sandbox's time is advanced, so is the centre's, and what waited wakes up.

Only for demonstrations: deadlines of minutes pass in a moment. The two run on one machine, so only how far the sandbox
was advanced is asked for; between two looks the centre lags by at most a twentieth of a second.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

import aiohttp

from oncepay.domain.errors import Unavailable

log = logging.getLogger("oncepay.cli")

LOOK_S: Final = 0.05
ANSWER_S: Final = 2.0


class SandboxClock:
    """The Clock port."""

    def __init__(self, url: str) -> None:
        self._url = f"{url.rstrip('/')}/sandbox/clock"
        self._offset_ms = 0
        self._moved = asyncio.Event()
        self._following: asyncio.Task[None] | None = None

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC, as the sandbox has it."""
        return time.time_ns() // 1_000_000 + self._offset_ms

    async def sleep(self, seconds: float) -> None:
        """Wait; an advance of the sandbox's clock counts as waiting."""
        end_ms = self.now_ms() + seconds * 1000
        while (left_ms := end_ms - self.now_ms()) > 0:
            try:
                await asyncio.wait_for(self._moved.wait(), left_ms / 1000)
            except TimeoutError:
                continue

    async def start(self) -> None:
        """Take the sandbox's time, then follow it. Raises Unavailable when there is no sandbox."""
        async with aiohttp.ClientSession() as session:
            try:
                await self._look(session)
            except (aiohttp.ClientError, TimeoutError, ValueError, KeyError) as error:
                raise Unavailable(f"no sandbox tells the time at {self._url}: {error}") from None
        log.warning("clock.borrowed from=%s offset_s=%.0f", self._url, self._offset_ms / 1000)
        self._following = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                await asyncio.sleep(LOOK_S)
                try:
                    await self._look(session)
                except (aiohttp.ClientError, TimeoutError, ValueError, KeyError) as error:
                    log.warning("clock.unanswered why=%s", type(error).__name__)
                    await asyncio.sleep(1)

    async def _look(self, session: aiohttp.ClientSession) -> None:
        async with session.get(self._url, timeout=aiohttp.ClientTimeout(total=ANSWER_S)) as answer:
            offset_ms = round(float((await answer.json())["offset_s"]) * 1000)
        if offset_ms != self._offset_ms:
            self._offset_ms = offset_ms
            self._moved.set()
            self._moved = asyncio.Event()
