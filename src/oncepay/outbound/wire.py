"""One connection, and the pool that it belongs to."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Final, cast

import httptools

from oncepay.outbound.message import CallFailed, Reply

HEAD_BYTES_MAX: Final = 16_384  # status line and headers of an answer, interim answers included
_HEAD_TOO_LONG: Final = f"the head of the answer is longer than {HEAD_BYTES_MAX} bytes"


class Pool:
    """The connections to one origin. ``taken``: how many are open or being opened. While somebody waits, none is idle:
    a connection, or the right to open one, goes from hand to hand."""

    __slots__ = ("idle", "taken", "waiting", "wires")

    def __init__(self) -> None:
        self.idle: list[Wire] = []  # the one used last is at the end, and used next
        self.wires: set[Wire] = set()
        self.waiting: deque[asyncio.Future[Wire | None]] = deque()
        self.taken = 0

    def give(self, wire: Wire | None) -> None:
        """Pass on a connection that came free; None: the right to open one."""
        while self.waiting:
            waiter = self.waiting.popleft()
            if not waiter.done():
                waiter.set_result(wire)
                return
        if wire is None:
            self.taken -= 1
        else:
            self.idle.append(wire)

    async def wait(self) -> Wire | None:
        """The next that comes free. One that comes too late for whoever waited goes to the next."""
        waiter: asyncio.Future[Wire | None] = asyncio.get_running_loop().create_future()
        self.waiting.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.give(waiter.result())
            with suppress(ValueError):
                self.waiting.remove(waiter)
            raise


class _Stop(Exception):
    """Ends the parser's reading."""


class Wire(asyncio.Protocol):
    """One connection, one call at a time. What it reads is kept until the answer is whole, within two limits: the head,
    and all of it together (chunk sizes and trailers count too)."""

    def __init__(self, loop: asyncio.AbstractEventLoop, body_max: int) -> None:
        self.transport: asyncio.Transport
        self.pool: Pool | None = None
        self.idle_since = 0.0
        self._loop = loop
        self._body_max = body_max
        self._call: asyncio.Future[Reply] | None = None
        self._start()
        self._parser = httptools.HttpResponseParser(self)

    def _start(self) -> None:
        self._status = self._seen = self._size = 0
        self._headed = self._whole = self._keep = False
        self._raw: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._why = "the answer is not HTTP"

    def ask(self, data: bytes) -> asyncio.Future[Reply]:
        """Hand a request to the connection. From here on it is sent."""
        self._start()
        self._call = call = self._loop.create_future()
        self.transport.write(data)
        return call

    def fail(self, why: str) -> None:
        """End the call under way, if any, and the connection with it."""
        call, self._call = self._call, None
        self.leave()
        if call is not None and not call.done():
            answer = Reply(self._status, self._raw, b"") if self._headed else None
            call.set_exception(CallFailed(why, sent=True, answer=answer))

    def late(self, call: asyncio.Future[Reply], why: str) -> None:
        """The time of this call is over."""
        if self._call is call:
            self.fail(why)

    def forget(self, call: asyncio.Future[Reply]) -> None:
        """Nobody waits for this call any more; its answer must not be taken for the next one's."""
        if self._call is call:
            self._call = None
            self.leave()

    def leave(self) -> None:
        """Close at once; the place in the pool is another's."""
        pool, self.pool = self.pool, None
        self.transport.abort()
        if pool is not None:
            pool.wires.discard(self)
            if self in pool.idle:
                pool.idle.remove(self)
            pool.give(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by class

    def data_received(self, data: bytes) -> None:
        if self._call is None:  # nobody asked, so it must not lie there when somebody does
            self.leave()
            return
        if not self._seen and data[0] != ord("H"):  # the parser also reads ICE and RTSP, and skips empty lines
            self.fail(self._why)
            return
        self._seen += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._keep = False  # after a whole answer: there is more than one, and the first stands
            if not self._whole:
                self.fail(self._why)
                return
        if self._whole:
            self._finish()
        elif not self._headed and self._seen > HEAD_BYTES_MAX:
            self.fail(_HEAD_TOO_LONG)
        elif self._seen > HEAD_BYTES_MAX + 2 * self._body_max:
            self.fail(f"the answer is longer than {self._body_max} bytes")

    def connection_lost(self, exc: Exception | None) -> None:
        # An answer that says nothing of its length ends where the connection does.
        framed = any(name.lower() in {b"content-length", b"transfer-encoding"} for name, _ in self._raw)
        if self._call is not None and exc is None and self._headed and not framed:
            self._finish()
        else:
            self.fail(f"the connection broke: {type(exc).__name__ if exc else 'closed before the answer was whole'}")

    def _finish(self) -> None:
        call, self._call = self._call, None
        if self._keep and self.pool is not None and not self.transport.get_write_buffer_size():
            self.idle_since = self._loop.time()
            self.pool.give(self)
        else:
            self.leave()
        if call is not None and not call.done():
            call.set_result(Reply(self._status, self._raw, b"".join(self._body)))

    # What the parser tells. To raise is to stop it.

    def on_message_begin(self) -> None:
        if self._whole:
            raise _Stop

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._headed:  # trailers say nothing
            self._raw.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self._seen > HEAD_BYTES_MAX < sum(len(name) + len(value) for name, value in self._raw):
            self._why = _HEAD_TOO_LONG
            raise _Stop
        if status < 100 or self._parser.get_http_version() not in {"1.1", "1.0"}:
            raise _Stop
        if status >= 200:
            self._status, self._headed = status, True

    def on_body(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._body_max:
            self._why = f"the answer is longer than {self._body_max} bytes"
            raise _Stop
        self._body.append(data)

    def on_message_complete(self) -> None:
        if self._headed:
            self._whole, self._keep = True, self._parser.should_keep_alive()
        else:
            self._raw = []  # 1xx: the answer is still to come
