"""The sandbox's HTTP server: uvicorn inside our own loop, with a fast road to the vendor's API.

Pages and controls go through ASGI. Calls of the vendor's API are answered without it: whole bodies
in, whole answers out in one write, header names and their order as the vendor sends them. That
also puts the connection within reach of faults such as "processed, then closed without an answer".
"""

import asyncio
import contextlib
import http
import re
import socket
from collections.abc import Iterator
from typing import Any, Final, Protocol

import msgspec
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from oncepay.sandbox.faults import Rule

BODY_MAX: Final = 1 << 20
KEEP_ALIVE_S: Final = 8  # as the vendor's own Keep-Alive header says
END_S: Final = 1.0
ABSOLUTE: Final = re.compile(rb"^https?://[^/?]*/?", re.IGNORECASE)
GARBAGE: Final = bytes(range(128, 256)) + b"\r\n\r\n"
_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in http.HTTPStatus}


class Request(msgspec.Struct):
    """One request as it came in: the target as sent (of an absolute one, its path), header names in lower case."""

    method: str
    path: str
    query: str
    headers: dict[bytes, bytes]
    body: bytes
    mchid: str = ""  # who signed it, once that is known

    @property
    def target(self) -> str:
        return f"{self.path}?{self.query}" if self.query else self.path

    def header(self, name: bytes) -> str:
        return self.headers.get(name, b"").decode("latin-1")


class Reply(msgspec.Struct):
    """A whole answer; ``fault``, when the connection is to suffer."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    fault: Rule | None = None

    def head(self, *, keep: bool) -> bytes:
        """``keep``: the connection stays for another request. The vendors' headers say so, and are swapped if not."""
        parts = [_LINES[self.status]]
        for name, value in self.headers:
            if keep or name not in {b"Connection", b"Keep-Alive"}:
                parts += (name, b": ", value, b"\r\n")
            elif name == b"Connection":
                parts.append(b"Connection: close\r\n")
        parts.append(b"\r\n")
        return b"".join(parts)


class Application(Protocol):
    """What the server needs of an application beside ASGI."""

    def is_quick(self, path: bytes) -> bool:
        """Whether requests of this path take the fast road."""
        ...

    def reply(self, request: Request) -> Reply:
        """Answer one request of the fast road."""
        ...


class Connection(HttpToolsProtocol):
    """uvicorn's protocol, which answers some paths itself."""

    app: Application
    _quick = False  # the request being read takes the fast road
    _suffering: asyncio.Task[None] | None = None

    def on_headers_complete(self) -> None:
        if not self.url.startswith(b"/"):  # absolute: a server must take it (RFC 9112, 3.2.2), and some SDKs send it
            self.url = ABSOLUTE.sub(b"/", self.url, count=1)
        path, _, query = self.url.partition(b"?")
        self._quick = self.app.is_quick(path) and not self.expect_100_continue
        if not self._quick:
            super().on_headers_complete()
            return
        self._target = (path.decode("latin-1"), query.decode("latin-1"))
        self._body: list[bytes] = []
        self._size = 0
        busy = getattr(self.cycle, "response_complete", True) is False
        if busy or self._suffering is not None:
            self.transport.abort()  # pipelining is not offered

    def on_body(self, body: bytes) -> None:
        if not self._quick:
            super().on_body(body)
            return
        self._size += len(body)
        if self._size > BODY_MAX:
            self.transport.abort()
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if not self._quick:
            super().on_message_complete()
            return
        if self.transport.is_closing():
            return
        path, query = self._target
        method = self.parser.get_method().decode("latin-1")
        request = Request(method, path, query, dict(self.headers), b"".join(self._body))
        reply = self.app.reply(request)
        if reply.fault is not None:
            self.flow.pause_reading()
            self._suffering = self.loop.create_task(self._suffer(reply, reply.fault))
            self.tasks.add(self._suffering)
            self._suffering.add_done_callback(self.tasks.discard)
            return
        self.transport.write(reply.head(keep=self.parser.should_keep_alive()) + reply.body)
        self._done()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._suffering is not None:
            self._suffering.cancel()  # the client did not wait
        super().connection_lost(exc)

    def shutdown(self) -> None:
        if self._suffering is not None:
            self._suffering.cancel()
            self.transport.abort()
        super().shutdown()

    def _done(self) -> None:
        """An answer has gone out: keep the connection for the next, or not."""
        if not self.parser.should_keep_alive():
            self.transport.close()
        self.on_response_complete()

    async def _suffer(self, reply: Reply, rule: Rule) -> None:
        """Carry out a fault of the connection on a reply that was ready to go."""
        seconds, write = rule.seconds, self.transport.write
        head = reply.head(keep=self.parser.should_keep_alive())
        if rule.fault == "slow":
            await asyncio.sleep(30.0 if seconds is None else seconds)
            write(head + reply.body)
        elif rule.fault == "slow_drip":
            write(head)
            for at in range(len(reply.body)):
                write(reply.body[at : at + 1])
                await asyncio.sleep(0.5 if seconds is None else seconds)
        elif rule.fault == "garbage":
            write(GARBAGE)
            self.transport.close()
        elif rule.fault == "truncated":
            write(head + reply.body[: len(reply.body) // 2])
            self.transport.close()
        else:  # drop_before, drop_after: not another byte
            self.transport.abort()
        self._suffering = None
        if not self.transport.is_closing():
            self._done()


class Server(uvicorn.Server):
    """A server that leaves signals to whoever runs the loop, and sleeps until it is told to end."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._over = asyncio.Event()

    def end(self) -> None:
        self.should_exit = True
        self._over.set()

    async def main_loop(self) -> None:
        await self._over.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, let what is being answered end within a second, hang up."""
        for listening in self.servers:
            listening.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if self.server_state.tasks:
            await asyncio.wait(set(self.server_state.tasks), timeout=END_S)
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        await asyncio.sleep(0)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bind(host: str, port: int) -> socket.socket:
    """A listening address; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    listener.settimeout(0)
    return listener


def server(app: Any) -> Server:
    """A quiet server for ``app``: no access log, no header of its own."""
    return Server(
        uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            lifespan="off",
            proxy_headers=False,
            log_level="warning",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            backlog=2048,
        )
    )
