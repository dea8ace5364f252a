"""A lean HTTP/1.1 client and sink for the load generator: it shares the cores with what it measures, so it must cost
little. Not for anything but loopback and answers that it knows."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import httptools


class Connection(asyncio.Protocol):
    """One request at a time on one kept-alive connection."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._body = bytearray()
        self._waiting: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """asyncio's."""
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """httptools'."""
        self._body += body

    def on_message_complete(self) -> None:
        """httptools'."""
        waiting, self._waiting = self._waiting, None
        status, body = self._parser.get_status_code(), bytes(self._body)
        self._body.clear()
        if waiting is not None and not waiting.done():
            waiting.set_result((status, body))

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio's."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionError(str(exc or "closed")))
        self._transport = None

    @property
    def alive(self) -> bool:
        """Whether it may be used again."""
        return self._transport is not None and not self._transport.is_closing()

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """One request, one answer."""
        if self._transport is None:
            raise ConnectionError("closed")
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting


class Client:
    """A pool of connections to one place."""

    def __init__(self, host: str, port: int, headers: dict[str, str] | None = None) -> None:
        self._host, self._port = host, port
        lines = {"Host": f"{host}:{port}", "Content-Type": "application/json", **(headers or {})}
        self._head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._free: deque[Connection] = deque()

    async def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer."""
        connection = await self._connection()
        head = f"POST {path} HTTP/1.1\r\n{self._head}Content-Length: {len(body)}\r\n\r\n"
        answer = await connection.send(head.encode() + body)
        self._free.append(connection)
        return answer

    async def _connection(self) -> Connection:
        while self._free:
            connection = self._free.pop()
            if connection.alive:
                return connection
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, self._host, self._port)
        return connection


class Sink(asyncio.Protocol):
    """A server that answers 204 to everything and hands the bodies on."""

    def __init__(self, heard: Callable[[bytes], None]) -> None:
        self._heard = heard
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._body = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """asyncio's."""
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """httptools'."""
        self._body += body

    def on_message_complete(self) -> None:
        """httptools'."""
        body = bytes(self._body)
        self._body.clear()
        assert self._transport is not None
        self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        self._heard(body)
