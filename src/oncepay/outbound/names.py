"""The machine's own resolver, on threads of its own.

A name whose servers do not answer takes it half a minute. Loops have few threads for this, for all names together
(uvloop two, and its end waits for them), and an app chooses the names of its endpoints: sixteen that nobody answers for
kept every channel from being called. So each use has a ``LookUp`` of its own.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from threading import Thread
from typing import Final

AT_ONCE: Final = 64


class LookUp:
    """Looks names up, ``at_once`` of them at the same time. Use it inside one running loop."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._room = asyncio.Semaphore(at_once)

    async def __call__(self, host: str, port: int) -> list[str]:
        """Where a host is. Raises OSError, UnicodeError. Whoever stops waiting leaves a thread that comes to an end by
        itself, and takes its place until then."""
        await self._room.acquire()
        loop = asyncio.get_running_loop()
        looking: asyncio.Future[list[str]] = loop.create_future()

        def tell(found: list[str] | Exception) -> None:
            self._room.release()
            if looking.done():  # nobody waits any more
                return
            if isinstance(found, Exception):
                looking.set_exception(found)
            else:
                looking.set_result(found)

        def look() -> None:
            found: list[str] | Exception
            try:
                told = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                found = list(dict.fromkeys(str(address[0]) for *_, address in told))
            except (OSError, UnicodeError) as error:
                found = error
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(tell, found)

        try:
            Thread(target=look, name=f"look up {host}", daemon=True).start()
        except RuntimeError as error:
            self._room.release()
            raise OSError(None, f"no thread to look {host} up: {error}") from error
        return await looking
