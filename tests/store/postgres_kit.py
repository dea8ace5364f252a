"""What tests of the PostgreSQL ledger share: opening it, a session beside it, and a wire that can be cut."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from oncepay.store.postgres import PostgresLedger, open_postgres


def token() -> str:
    """The dice."""
    return secrets.token_hex(16)


@asynccontextmanager
async def opened(url: str, **settings: Any) -> AsyncIterator[PostgresLedger]:
    """A ledger for the length of a block."""
    ledger = await open_postgres(url, token=token, **settings)
    try:
        yield ledger
    finally:
        await ledger.close()


@asynccontextmanager
async def session(url: str) -> AsyncIterator[Any]:
    """A connection of somebody else, without any of our limits."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


class Wire:
    """A proxy between a ledger and its server. ``cut`` arms it: the next message from the ledger that holds the mark
    meets its fate, once.

    =========  =====================================================================================
    before     the message never reaches the server, and the connection is gone
    after      the server has answered, but the answer never reaches the ledger
    during     the message is on its way, nobody waits for an answer, and the connection is gone
    =========  =====================================================================================
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._to = (parts.hostname or "127.0.0.1", parts.port or 5432)
        self._parts = parts
        self._server: asyncio.Server | None = None
        self._fate: tuple[str, bytes] | None = None
        self.refusing = False  # new connections are closed at once
        self.cuts = 0
        self.on_cut: Callable[[], None] = lambda: None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        """The server's address, through this wire."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        login, at, _ = self._parts.netloc.rpartition("@")
        return urlunsplit(self._parts._replace(netloc=f"{login}{at}127.0.0.1:{port}"))

    def cut(self, fate: str, mark: str) -> None:
        """Arm it."""
        self._fate = (fate, mark.encode())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        if self.refusing:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection(*self._to)
        silent = asyncio.Event()  # set: answers are swallowed
        answered = asyncio.Event()

        async def back() -> None:
            while chunk := await far_reader.read(1 << 16):
                if silent.is_set():
                    answered.set()
                else:
                    writer.write(chunk)
            writer.transport.abort()

        backward = asyncio.create_task(back())
        try:
            while chunk := await reader.read(1 << 20):
                if self._fate is not None and self._fate[1] in chunk:
                    fate, self._fate = self._fate[0], None
                    await self._end(fate, chunk, far_writer, silent, answered)
                    writer.transport.abort()
                    return
                far_writer.write(chunk)
                await far_writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            backward.cancel()
            far_writer.close()

    async def _end(
        self, fate: str, chunk: bytes, far: asyncio.StreamWriter, silent: asyncio.Event, answered: asyncio.Event
    ) -> None:
        self.cuts += 1
        self.on_cut()
        if fate == "before":
            return
        silent.set()
        far.write(chunk)
        await far.drain()
        if fate == "after":
            await answered.wait()
