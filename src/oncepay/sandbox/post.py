"""Delivering notifications: a POST over pooled keep-alive connections, and the answer it got.

A third of what a general HTTP client costs, which matters when a load test has the sandbox tell of
a thousand payments a second on the cores it shares with what is tested. Of the answer, the status
and the beginning of the body are kept; redirects are not followed.
"""

import asyncio
import functools
import ssl
from typing import Final, Protocol, cast
from urllib.parse import urlsplit

import httptools

IDLE_S: Final = 4.0  # shorter than most servers keep a connection
IDLE_MAX: Final = 64  # a target
UNDER_WAY_MAX: Final = 256
ANSWER_MAX: Final = 4096  # of a body; nobody has to say more than "success"

Target = tuple[str, int, bool]
Answer = tuple[int, bytes]


class Post(Protocol):
    """What carries notifications."""

    async def ask(self, url: str, headers: dict[str, str], body: bytes, answer_s: float) -> Answer | None:
        """POST once; the status and the beginning of the body, or None when no answer came in time."""
        ...

    def close(self) -> None:
        """Let go of all connections."""
        ...


class Lost(Exception):
    """The connection ended without an answer."""


class _Wire(asyncio.Protocol):
    """One connection: a request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.used = 0
        self.idle_since = 0.0
        self.keep = False
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[Answer] | None = None
        self._status = 0
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by class

    async def ask(self, data: bytes) -> Answer:
        """Send one request and wait for its status and the beginning of its body."""
        assert self.transport is not None
        self.used += 1
        self._status, self._body, self.keep = 0, b"", False
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(data)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self._body = (self._body + body)[:ANSWER_MAX]

    def on_message_complete(self) -> None:
        if self._status >= 200:
            self.keep = self._parser.should_keep_alive()
            self._resolve()

    def connection_lost(self, _: Exception | None) -> None:
        if self._status >= 200:  # an answer that ends with its connection
            self._resolve()
        elif self._answer is not None and not self._answer.done():
            self._answer.set_exception(Lost())

    def close(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    @property
    def open(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    def _resolve(self) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((self._status, self._body))


class Poster:
    """A pool of connections to wherever notifications go."""

    def __init__(self) -> None:
        self._idle: dict[Target, list[_Wire]] = {}
        self._room = asyncio.Semaphore(UNDER_WAY_MAX)

    async def ask(self, url: str, headers: dict[str, str], body: bytes, answer_s: float) -> Answer | None:
        """POST once; the status and the beginning of the body, or None when no answer came in time."""
        try:
            target, path, netloc = _split(url)
        except ValueError:
            return None
        lines = [f"POST {path} HTTP/1.1\r\nHost: {netloc}\r\nContent-Length: {len(body)}\r\n"]
        lines += [f"{name}: {value}\r\n" for name, value in headers.items()]
        data = "".join(lines).encode("latin-1") + b"\r\n" + body
        async with self._room:
            try:
                async with asyncio.timeout(answer_s):
                    return await self._ask(target, data)
            except (Lost, OSError, TimeoutError, ssl.SSLError):
                return None

    def close(self) -> None:
        for wires in self._idle.values():
            for wire in wires:
                wire.close()
        self._idle.clear()

    async def _ask(self, target: Target, data: bytes) -> Answer:
        """Ask over an idle connection, or a new one when there is none or it proves stale."""
        wire = self._take(target)
        if wire is not None:
            try:
                return await self._ask_over(wire, target, data)
            except Lost:
                pass  # it was closed while idle, most likely
        host, port, secure = target
        loop = asyncio.get_running_loop()
        _, wire = await loop.create_connection(_Wire, host, port, ssl=_context() if secure else None)
        return await self._ask_over(wire, target, data)

    async def _ask_over(self, wire: _Wire, target: Target, data: bytes) -> Answer:
        try:
            answer = await wire.ask(data)
        except BaseException:
            wire.close()
            raise
        idle = self._idle.setdefault(target, [])
        if wire.keep and wire.open and len(idle) < IDLE_MAX:
            wire.idle_since = asyncio.get_running_loop().time()
            idle.append(wire)
        else:
            wire.close()
        return answer

    def _take(self, target: Target) -> _Wire | None:
        idle, now = self._idle.get(target), asyncio.get_running_loop().time()
        while idle:
            wire = idle.pop()
            if wire.open and now - wire.idle_since < IDLE_S:
                return wire
            wire.close()
        return None


@functools.lru_cache(maxsize=256)
def _split(url: str) -> tuple[Target, str, str]:
    """A URL as (where to connect, what to ask for, the Host header). Raises ValueError."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    if parts.hostname is None or not url.isascii() or any(c.isspace() for c in url):
        raise ValueError(url)
    port = parts.port or (443 if secure else 80)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return (parts.hostname, port, secure), path, parts.netloc.rpartition("@")[2]


@functools.cache
def _context() -> ssl.SSLContext:
    return ssl.create_default_context()
