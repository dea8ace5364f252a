"""The thread in which centres run beside tests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, TypeVar

from oncepay.sandbox.main import Sandbox

T = TypeVar("T")

KEYS: Final = "keys.json"


class Ground:
    """A thread with an event loop, and keys for the channels: once for many centres, since keys take a second to draw.

    folder: an empty one, for keys and databases.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._opened = 0
        self._closing: list[Future[None]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="oncepay", daemon=True)
        self._thread.start()
        try:
            self._keys = self.do(self._drawn())
        except BaseException:
            self.close()
            raise

    def begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Have it done in the thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Have it done in the thread, and wait for it."""
        return self.begin(work).result()

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Have it done; ``close`` waits for it."""
        self._closing.append(self.begin(work))

    def home(self) -> Path:
        """A folder for one more centre, with the keys in it, in which a sandbox may write."""
        self._opened += 1
        home = self._folder / f"centre-{self._opened}"
        home.mkdir()
        (home / KEYS).write_bytes(self._keys)
        return home

    def close(self) -> None:
        """End the thread, after what is still to be done. Raises what that raises."""
        try:
            for work in self._closing:
                work.result()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
        finally:
            self._loop.close()

    async def _drawn(self) -> bytes:
        async with Sandbox(home=self._folder / "keys", journal=False):
            return (self._folder / "keys" / KEYS).read_bytes()
