"""The outermost room: uvicorn, made safe to stand on the open internet.

As it comes, uvicorn keeps slow clients for ever, takes bodies of any size, and waits for such clients when it is to
stop. Here every connection has one deadline, which a sweep per server looks at: a request costs no timer. And an
application is started only when its request is whole and within its limits, so no half request ever occupies it.

Behind a proxy all this still holds; the proxy only adds limits per address.
"""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final, Literal, NoReturn, cast

import httptools
import msgspec
import uvicorn
from starlette.types import ASGIApp
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from oncepay.http.exchange import WHOLE

NEVER: Final = math.inf
STOP_READING_S: Final = 0.2  # what a half-sent request is still given when the server stops


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a client may ask of us. Bodies are counted raw, before any decoding by the application."""

    head_s: float = 5.0  # from the first byte of a request, or the opening of a connection, to the end of its headers
    request_s: float = 10.0  # from the first byte of a request to its last
    idle_s: float = 30.0  # between an answer and the next request
    write_s: float = 30.0  # an answer that the client does not take
    linger_s: float = 1.0  # for a client that still sends to see that it was refused
    head_bytes: int = 16_384
    head_lines: int = 100
    body_bytes: int = 262_144
    body_bytes_below: tuple[tuple[str, int], ...] = (("/notify/", 65_536),)  # by the beginning of the path
    connections: int = 10_000
    ahead: int = 64  # requests that wait behind the one at work; what a client sent beyond them it has to send again


class _Stop(Exception):
    """Stops the parser."""


def _refusal(status: int, phrase: str, code: str, title: str) -> bytes:
    problem = {
        "type": f"https://oncepay.dev/errors/{code}",
        "title": title,
        "status": status,
        "detail": title,
        "code": code,
        "retry": False,
        "outcome": "not_sent",
    }
    body = msgspec.json.encode(problem)
    head = (
        f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/problem+json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body


_MALFORMED: Final = _refusal(400, "Bad Request", "malformed", "This is not a request in HTTP/1.1.")
_BODY_TOO_LARGE: Final = _refusal(413, "Content Too Large", "body_too_large", "The body is too large.")
_HEAD_TOO_LARGE: Final = _refusal(
    431, "Request Header Fields Too Large", "head_too_large", "The address and headers are larger than is taken here."
)


class _Config(uvicorn.Config):
    limits: Limits


class EdgeProtocol(HttpToolsProtocol):
    """One connection. ``deadline``: by the loop's clock, when the sweep cuts it off."""

    def __init__(
        self,
        config: _Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.limits = config.limits
        self.deadline = NEVER
        self.began = 0.0  # when the request at hand began
        self.reading: Literal["", "head", "body"] = ""  # the part of a request that is still to come
        self.taken = 0  # raw bytes of the request at hand, counted only while it is incomplete
        self.body_bytes_max = 0
        self.refusal = b""  # the answer to a request that is not let in; nothing is read after it
        self.held: tuple[RequestResponseCycle, ASGI3Application] | None = None  # a request whose body is to come
        self.answered: RequestResponseCycle | None = None  # the request at work, or the last that was

    # -- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.deadline = self.loop.time() + self.limits.head_s
        if len(self.connections) > self.limits.connections:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more. uvicorn tells only the newest of requests sent ahead. Their bodies go now: what was
        never answered is in a circle, and the collector comes seldom."""
        super().connection_lost(exc)
        for cycle in (self.answered, self.cycle, *(cycle for cycle, _ in self.pipeline)):
            if cycle is not None:
                cycle.disconnected = not cycle.response_complete
                cycle.body = bytearray()
                cycle.message_event.set()

    def data_received(self, data: bytes) -> None:
        # Many small requests in one piece: none of them copies those behind it.
        rest: memoryview | bytes = memoryview(data)
        while rest and not self.refusal:
            rest = self._feed(rest)

    def _feed(self, data: memoryview | bytes) -> memoryview | bytes:
        """What is left to be read."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._feed(self._without_upgrade())
            return data[upgrade.args[0] :]
        except httptools.HttpParserError:
            self._refuse()
        else:
            if self.reading:
                self._count(len(data))
        return b""

    def shutdown(self) -> None:
        """The server stops: finish what is under way, do not wait for what is still being sent."""
        super().shutdown()
        if self.reading or self.refusal:
            self.deadline = min(self.deadline, self.loop.time() + STOP_READING_S)

    def pause_writing(self) -> None:
        """The client does not take its answer."""
        super().pause_writing()
        self.deadline = min(self.deadline, self.loop.time() + self.limits.write_s)

    def resume_writing(self) -> None:
        """It does again."""
        super().resume_writing()
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete and not self.reading:
            self.deadline = NEVER

    # -- the parser's news

    def on_message_begin(self) -> None:
        """The first byte of a request. Each that waits is held in memory, at fifty times the size of a small one."""
        if len(self.pipeline) >= self.limits.ahead:
            self._stop(_MALFORMED)  # never said: those before it are answered, then it is over
        super().on_message_begin()
        self.began = self.loop.time()
        self.deadline = self.began + self.limits.head_s
        self.reading = "head"
        self.taken = 0

    def on_headers_complete(self) -> None:
        """Judge a request by its headers; the application is not started before its body is whole."""
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                self._stop(_MALFORMED)
            return  # comes again, without its wish for another protocol
        limits = self.limits
        size, announced = len(self.url), 0
        for name, value in self.headers:
            size += len(name) + len(value) + 4
            if name == b"content-length":
                announced = int(value)
        if size > limits.head_bytes or len(self.headers) > limits.head_lines:
            self._stop(_HEAD_TOO_LARGE)
        super().on_headers_complete()
        self.scope[WHOLE] = partial(_answer, self.cycle)  # type: ignore[typeddict-unknown-key]
        self.reading = "body"
        self.deadline = self.began + limits.request_s
        self.headers = []  # trailers end up here, not among the headers
        self.body_bytes_max = limits.body_bytes
        path = self.scope["path"]
        for beginning, body_bytes in limits.body_bytes_below:
            if path.startswith(beginning):
                self.body_bytes_max = body_bytes
        if announced > self.body_bytes_max:
            self._stop(_BODY_TOO_LARGE)
        if self.expect_100_continue and self.held is not None:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.cycle.waiting_for_100_continue = False

    def on_body(self, body: bytes) -> None:
        """Gather it: there is little enough of it."""
        self.cycle.body += body
        if len(self.cycle.body) > self.body_bytes_max:
            self._stop(_BODY_TOO_LARGE)

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self.parser.should_upgrade():
            return
        self.reading = ""
        self.deadline = NEVER
        self.cycle.more_body = False
        self.cycle.message_event.set()
        if self.held is not None:
            cycle, app = self.held
            self.held = None
            super()._start_asgi_task(cycle, app)

    # -- the application

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self.answered = cycle
        if cycle.more_body:
            self.held = (cycle, app)
        else:
            super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """The answer is out: the next request of a client that sends them ahead, or wait for one."""
        # Not super's: that one starts a timer for each answer.
        self.server_state.total_requests += 1
        if self.answered is not None:
            del self.answered.scope[WHOLE]  # type: ignore[typeddict-item]  # it holds the cycle, which holds the scope
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif not self.reading:
            self.deadline = self.loop.time() + self.limits.idle_s

    # -- refusing

    def _count(self, size: int) -> None:
        """Headers without end, or a body that is mostly framing."""
        self.taken += size
        if self.reading == "head":
            if self.taken > self.limits.head_bytes:
                self.refusal = _HEAD_TOO_LARGE
        elif self.taken > self.limits.head_bytes + 4 * self.body_bytes_max:
            self.refusal = _BODY_TOO_LARGE
        if self.refusal:
            self._refuse()

    def _stop(self, refusal: bytes) -> NoReturn:
        self.refusal = refusal
        raise _Stop

    def _refuse(self) -> None:
        """Answer and close. Reading stops, but the connection lingers: closing it under a client that still sends
        would take the answer away from it."""
        self.refusal = self.refusal or _MALFORMED
        cycle: RequestResponseCycle | None = self.cycle
        if self.held is None and cycle is not None and not cycle.response_complete:
            if cycle.more_body:  # behind a request that is being answered: nothing can be said in between
                self.transport.abort()
            else:  # rubbish, or too many, behind whole requests: they are answered, then it is over
                cycle.keep_alive = False
                self.reading, self.deadline = "", NEVER
                self.flow.pause_reading()
            return
        if cycle is not None:
            cycle.response_complete = True  # of the request that is refused
        self.held = None
        self.deadline = self.loop.time() + self.limits.linger_s
        self.flow.pause_reading()
        self.transport.write(self.refusal)
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _without_upgrade(self) -> bytes:
        """The head of the request at hand, to be read again: it goes on in HTTP/1.1, as a server may. Java's client
        asks for HTTP/2 in the first request of a connection; the parser would lose that request's body."""
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        lines += [b"%b: %b" % line for line in self.headers if line[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as super's
        return b"\r\n".join(lines) + b"\r\n\r\n"


def _answer(cycle: RequestResponseCycle, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> bool:
    """Answer in one piece: uvicorn writes the head and the body apart, and looks at each header by two patterns. False
    when it cannot be now, because what was said before is not taken yet or nobody is there any more.

    ``headers``: all there are of this answer, its length among them. Raises ValueError for one that breaks the line.
    """
    if cycle.flow.write_paused or cycle.disconnected or cycle.response_started:
        return False
    lines = [*cycle.default_headers, *headers]
    if not cycle.keep_alive:
        lines.append((b"connection", b"close"))
    head = STATUS_LINE[status] + b"".join([b"%b: %b\r\n" % line for line in lines]) + b"\r\n"
    if head.count(b"\n") != len(lines) + 2 or head.count(b"\r") != len(lines) + 2:
        raise ValueError("a header of the answer holds a line break")
    cycle.response_started = cycle.response_complete = True
    cycle.transport.write(head + body)
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()
    return True


class EdgeServer(uvicorn.Server):
    """Serves on a socket that is bound already. Stop it by ``stop()``; then ``serve()`` returns."""

    def __init__(self, config: _Config, listener: socket.socket) -> None:
        super().__init__(config)
        self._listener = listener
        limits = config.limits
        shortest_s = min(limits.head_s, limits.request_s, limits.idle_s, limits.write_s, limits.linger_s)
        self._sweep_ticks = max(1, min(10, int(shortest_s)))  # of a tenth of a second
        self.port: int = listener.getsockname()[1]
        self.ready = asyncio.Event()  # connections are taken

    def stop(self) -> None:
        """Take no more requests; finish those under way."""
        self.should_exit = True

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until stopped."""
        await super().serve(sockets or [self._listener])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, then say so."""
        await super().startup(sockets)
        self.ready.set()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        if counter % self._sweep_ticks == 0:
            self.sweep()
        return await super().on_tick(counter)

    def sweep(self) -> None:
        """Cut off the connections whose deadline has passed."""
        now = asyncio.get_running_loop().time()
        for connection in self._connections():
            if connection.deadline < now:
                connection.transport.abort()
            elif connection.deadline is NEVER and connection.transport.is_closing():
                connection.deadline = now + connection.limits.write_s  # closed by us, but its answer is not taken

    def _connections(self) -> list[EdgeProtocol]:
        return cast("list[EdgeProtocol]", list(self.server_state.connections))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what is under way within the grace, then cut off whoever is left."""
        sweeping = asyncio.get_running_loop().create_task(self._sweep_on())
        try:
            await super().shutdown(sockets)
        finally:
            sweeping.cancel()
            for connection in self._connections():
                connection.transport.abort()
            if self.server_state.tasks:  # cancelled by now; whoever closes the store next must not meet them
                await asyncio.wait(self.server_state.tasks, timeout=1)
            with suppress(asyncio.CancelledError):
                await sweeping

    async def _sweep_on(self) -> None:
        while True:
            await asyncio.sleep(0.05)
            self.sweep()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Signals are the program's: it calls ``stop()``."""
        yield


def make_server(
    app: ASGIApp,
    *,
    port: int = 0,
    listener: socket.socket | None = None,
    limits: Limits | None = None,
    graceful_s: int = 3,
    lifespan: Literal["auto", "on", "off"] = "auto",
) -> EdgeServer:
    """A server that is bound, to be run by ``await server.serve()`` in any loop (uvloop's is the fast one).

    ``port``: of loopback, 0 for any; see ``server.port``. ``listener``: a bound socket to use instead, e.g. one that
    several processes share. ``graceful_s``: what requests under way are given when it stops. Raises OSError when the
    port cannot be had.
    """
    if listener is None:
        listener = socket.create_server(("127.0.0.1", port), backlog=2048)
    config = _Config(
        cast("ASGI3Application", app),
        http=EdgeProtocol,
        ws="none",
        interface="asgi3",
        lifespan=lifespan,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=graceful_s,
        workers=1,
    )
    config.limits = limits or Limits()
    return EdgeServer(config, listener)
