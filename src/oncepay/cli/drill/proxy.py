"""A TCP proxy of our own, in the path between the processes of a drill: it drops connections, and sees when a large
message is on its way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final

CHUNK: Final = 1 << 16


class Proxy:
    """Listens on a port of loopback and passes bytes on to one of ``ports``, the next one for each connection."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = ports
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = 0
        self._armed: tuple[int, Callable[[], None]] | None = None
        self.refusing = False  # new connections are closed at once
        self.port = 0

    async def open(self) -> None:
        """Start to listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=CHUNK)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Drop everything."""
        if self._server is not None:
            self._server.close()
        self.drop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def drop(self) -> int:
        """Break all connections, both ways, without a good-bye; how many there were."""
        for writer in self._writers:
            writer.transport.abort()
        return len(self._writers) // 2

    def arm(self, size: int, fire: Callable[[], None]) -> None:
        """Call ``fire`` as soon as a message of so many bytes has been passed on to the server, once."""
        self._armed = (size, fire)

    def disarm(self) -> bool:
        """Whether it was still armed."""
        armed, self._armed = self._armed, None
        return armed is not None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        far = None if self.refusing else await self._connected()
        if far is None:
            writer.transport.abort()
            return
        pair = {writer, far[1]}
        self._writers |= pair
        try:
            ways = [asyncio.ensure_future(way) for way in (self._up(reader, far[1]), self._down(far[0], writer))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        finally:
            self._writers -= pair
            for end in pair:
                with contextlib.suppress(OSError, RuntimeError):
                    end.close()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for _ in self._ports:
            self._turn += 1
            with contextlib.suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", self._ports[self._turn % len(self._ports)])
        return None

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK):
                writer.write(chunk)
                if self._armed is not None and len(chunk) >= self._armed[0]:
                    (_, fire), self._armed = self._armed, None
                    fire()
                await writer.drain()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK):
                writer.write(chunk)
                await writer.drain()
