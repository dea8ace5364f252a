"""A process of the demonstration: started as on the command line, and killable."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final, TypeVar

import aiohttp

START_S: Final = 60.0  # on a machine that is busy with something else; a program that ends is noticed at once
STOP_S: Final = 8.0
LOOK_S: Final = 0.02

T = TypeVar("T")


@cache
def _alive() -> int:
    """The end of a pipe to give to programs. The other one is this process's alone, and is closed with it."""
    given, _held = os.pipe()
    return given


class Broken(Exception):
    """It is not as it should be; the text says what."""


class Process:
    """One command, ``python -m ...``, its output in a file. ``settings``: the ONCEPAY_... and SHOP_... that it gets; it
    inherits none. ``bound``: it takes ``--alive-fd``, and ends when this process has ended, however that was."""

    def __init__(
        self, arguments: Sequence[str], log: Path, settings: Mapping[str, str] | None = None, *, bound: bool = False
    ) -> None:
        self._fds = (_alive(),) if bound else ()
        self._command = [sys.executable, "-m", *arguments, *(f"--alive-fd={fd}" for fd in self._fds)]
        self.log = log
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ONCEPAY_", "SHOP_"))}
        self._environ = {**inherited, **(settings or {})}
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; what it says is added to the log."""
        with self.log.open("ab") as out:
            # A group of its own: Ctrl-C in the terminal is ours to pass on.
            self._child = subprocess.Popen(  # noqa: S603 - our own command
                self._command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=self._environ,
                pass_fds=self._fds, process_group=0,
            )  # fmt: skip

    async def run(self) -> tuple[int, str]:
        """Run it to its end: its exit code, and what it said."""
        self.start()
        child, before = self._child, self.log.stat().st_size
        assert child is not None
        code = await asyncio.to_thread(child.wait)
        with self.log.open("rb") as said:
            said.seek(before)
            return code, said.read().decode(errors="replace")

    async def answers(self, session: aiohttp.ClientSession, url: str) -> None:
        """Until it serves. Raises Broken when it ends instead, or takes too long."""

        async def ready() -> bool:
            if self.code is not None:
                raise Broken(f"it ended with {self.code}: {self._last_lines()}")
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with session.get(url, timeout=aiohttp.ClientTimeout(total=1)) as answer:
                    return answer.status == 200
            return False

        await until(ready, f"an answer of {url}", seconds=START_S)

    @property
    def code(self) -> int | None:
        """Its exit code, once it has ended; negative: the signal that ended it."""
        return None if self._child is None else self._child.poll()

    async def kill(self) -> None:
        """``kill -9``."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """SIGTERM, and when that does not help, SIGKILL."""
        await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> None:
        child = self._child
        if child is None:
            return
        if child.poll() is None:
            child.send_signal(number)
        try:
            await asyncio.to_thread(child.wait, STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            await asyncio.to_thread(child.wait)

    def _last_lines(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:])


async def until(look: Callable[[], Awaitable[T]], what: str, *, seconds: float = 10.0) -> T:
    """Look until something is there, and give it. Raises Broken when it does not come in time."""
    end = time.monotonic() + seconds
    while True:
        found = await look()
        if found:
            return found
        if time.monotonic() > end:
            raise Broken(f"{what} did not come within {seconds:g} s")
        await asyncio.sleep(LOOK_S)
