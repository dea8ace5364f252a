"""A real server with an application behind it, and clients that say exactly what they are told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import unquote_to_bytes

from oncepay.http.edge import EdgeServer, Limits, make_server
from oncepay.http.exchange import WHOLE

SHORT = Limits(head_s=0.3, request_s=0.6, idle_s=0.5, write_s=0.5, linger_s=0.3)
PATIENT = Limits(head_s=30, request_s=30, idle_s=30, write_s=30, linger_s=30)
SOON_S = 15.0  # on a busy machine; what would end it otherwise comes later, or never
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Echo:
    """An application that tells what it got; ``/wait`` waits for ``go``; ``/big`` answers with 8 MB, by and by;
    ``/whole`` answers in one piece where it may, with the query as one more header."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bytes]] = []
        self.headers: list[list[tuple[bytes, bytes]]] = []
        self.arrived = asyncio.Event()
        self.go = asyncio.Event()
        self.over = asyncio.Event()
        self.wholes: list[bool] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(scope["type"])
        message = await receive()
        assert not message["more_body"], "a request is whole before the application sees it"
        self.seen.append((f"{scope['method']} {scope['path']}", message["body"]))
        self.headers.append(scope["headers"])
        self.arrived.set()
        if scope["path"] == "/wait":
            await self.go.wait()
        body = bytes(80_000) if scope["path"] == "/big" else message["body"] or b"ok"
        times = 100 if scope["path"] == "/big" else 1
        length = str(len(body) * times).encode()
        headers = [(b"content-length", length)]
        if scope["path"].startswith("/whole"):
            headers += [(b"x", unquote_to_bytes(scope["query_string"]))] if scope["query_string"] else []
            self.wholes.append(scope[WHOLE](200, headers, body))
            if self.wholes[-1]:
                return
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for left in reversed(range(times)):
            await send({"type": "http.response.body", "body": body, "more_body": left > 0})
        self.over.set()


@asynccontextmanager
async def serving(limits: Limits = SHORT, graceful_s: int = 1) -> AsyncIterator[tuple[EdgeServer, Echo]]:
    echo = Echo()
    server = make_server(echo, limits=limits, graceful_s=graceful_s, lifespan="off")  # type: ignore[arg-type]
    task = asyncio.create_task(server.serve())
    await server.ready.wait()
    try:
        yield server, echo
    finally:
        server.stop()
        await asyncio.wait_for(task, 2 * SOON_S)


class Client:
    """A connection that says exactly what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    @asynccontextmanager
    async def to(cls, server: EdgeServer, said: bytes = b"") -> AsyncIterator[Client]:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(said)
        try:
            yield cls(reader, writer)
        finally:
            writer.transport.abort()
            await asyncio.sleep(0)

    async def cut_off_after_s(self) -> float:
        """Wait until the server ends the connection; how long that took."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        with suppress(ConnectionError):
            await asyncio.wait_for(self.reader.read(), 2 * SOON_S)
        return loop.time() - began

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        first, *lines = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        body = await self.reader.readexactly(int(headers["content-length"]))
        return int(first.split()[1]), headers, body


async def drip(client: Client, data: bytes, gap_s: float = 0.02) -> None:
    with suppress(ConnectionError):
        for byte in data:
            client.writer.write(bytes([byte]))
            await client.writer.drain()
            await asyncio.sleep(gap_s)


POST = b"POST /v1/payments HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
GET = b"GET /v1/payments HTTP/1.1\r\nhost: x\r\n\r\n"
