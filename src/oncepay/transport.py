"""The network towards channels. What an answer means is a channel's business; how it ended is ours to tell truly.

The one distinction that money hangs on is whether a byte of the request can have left. It is drawn at one place: a
request leaves only over a connection, so what goes wrong before the pool hands one out was *not sent*, and whatever
goes wrong after that is *unknown*, also on a pooled connection that the other side may have closed long ago.
"""

from __future__ import annotations

import asyncio
import ssl
from contextvars import ContextVar
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from yarl import URL

from oncepay.ports import Answer, Answered, NotSent, Request, Unknown

ANSWER_BYTES_MAX: Final = 1_048_576  # after decompression
CHUNK_BYTES: Final = 65_536
IDLE_S: Final = 10.0  # shorter than servers keep a connection, so that few requests meet one just closed


class _Call:
    """One request under way. ``connected``: a connection was handed out; from here on the outcome is unknown."""

    __slots__ = ("connected",)

    def __init__(self) -> None:
        self.connected = False


_call: ContextVar[_Call] = ContextVar("_call")


class _Connector(aiohttp.TCPConnector):
    """Notes when a request gets its connection, and gives it no second one."""

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's signature
    ) -> Connection:
        call = _call.get()
        if call.connected:
            # aiohttp repeats a GET, PUT or DELETE by itself when its connection breaks. Whether to repeat is the
            # engine's to say.
            raise aiohttp.ClientConnectionError("the connection broke; nothing is sent twice")
        connection = await super().connect(req, traces, timeout)
        call.connected = True
        return connection


class AiohttpTransport:
    """The Transport port over pooled connections. Use it inside one running loop, and close it.

    Certificates and host names are always verified: there is no switch for that.
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        resolver: AbstractResolver | None = None,
        connections: int = 256,
        idle_s: float = IDLE_S,
    ) -> None:
        """``tls``: a context with more certificate authorities; one that verifies less is refused (ValueError).
        ``connections``: at most so many at a time; a request that waits for one past its deadline is not sent.
        ``idle_s``: how long an unused connection is kept."""
        self._tls = tls or ssl.create_default_context()
        if self._tls.verify_mode is not ssl.CERT_REQUIRED or not self._tls.check_hostname:
            raise ValueError("certificates of channels are always verified")
        self._resolver = resolver
        self._connections = connections
        self._idle_s = idle_s
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: Request, deadline_s: float) -> Answer:
        """Send once and wait at most ``deadline_s`` seconds for the whole answer. Follows no redirect, repeats
        nothing, and raises for nothing that the network or the other side does."""
        session = self._session or self._open()
        call = _Call()
        _call.set(call)
        try:
            async with (
                asyncio.timeout(deadline_s),
                session.request(
                    request.method,
                    URL(request.url, encoded=True),
                    headers=request.headers,
                    data=request.body or None,
                    allow_redirects=False,
                ) as answer,
            ):
                body = await _read(answer)
                if body is None:
                    answer.close()
                    return Unknown(why=f"the answer is longer than {ANSWER_BYTES_MAX} bytes")
                return Answered(status=answer.status, headers=_headers(answer), body=body)
        except Exception as error:  # noqa: BLE001 - whatever it was: the request may have arrived, and that must be told
            why = _why(error, deadline_s)
            return Unknown(why=why) if call.connected else NotSent(why=why)

    async def close(self) -> None:
        """Let go of all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession(
            connector=_Connector(
                ssl=self._tls,
                resolver=self._resolver or aiohttp.ThreadedResolver(),
                limit=self._connections,
                keepalive_timeout=self._idle_s,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=CHUNK_BYTES,
            skip_auto_headers=("accept", "accept-encoding", "content-type", "user-agent"),  # a request is sent as it is
            timeout=aiohttp.ClientTimeout(),  # ours is around all of it, and not rounded to whole seconds
            trust_env=False,
        )
        return self._session


async def _read(answer: aiohttp.ClientResponse) -> bytes | None:
    """The whole body, its content encoding undone, or None when it is too long."""
    body = bytearray()
    while chunk := await answer.content.readany():
        body += chunk
        if len(body) > ANSWER_BYTES_MAX:
            return None
    return bytes(body)


def _headers(answer: aiohttp.ClientResponse) -> dict[str, str]:
    """Names in lower case. A header that came twice is joined by commas: a doubled signature then fits nothing."""
    headers: dict[str, str] = {}
    for name, value in answer.headers.items():
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers


def _why(error: Exception, deadline_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {deadline_s:g} s"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the name was not found"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection: {error.os_error.strerror or error.os_error}"
    return f"{type(error).__name__}: {error}"[:200]
