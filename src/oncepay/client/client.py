"""The client, twice: for threads and for asyncio. Both are thin: what is sent and how it is read stands in
``payments.py`` and its neighbours, when it is made again in ``tries.py``."""

from __future__ import annotations

import asyncio
import copy
import os
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

import httpx2

from oncepay import __version__
from oncepay.client import rooms
from oncepay.client.around import AROUND, Around
from oncepay.client.calls import Answer, Call
from oncepay.client.errors import ArgumentInvalid
from oncepay.client.tries import Limits, Lost, Send, converse

T = TypeVar("T")
H = TypeVar("H")

ANSWER_MAX: Final = 64 * 1024 * 1024  # bytes; far more than a centre ever says
LIMITS: Final = Limits()

_TOO_LARGE: Final = f"the answer has more than {ANSWER_MAX} bytes"
_NO_CONNECTION: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError, httpx2.UnsupportedProtocol)


class _Address:
    """Where the centre is, and how calls to it are headed. The key appears in no ``repr`` and no error."""

    def __init__(self, base_url: str, key: str) -> None:
        try:
            parts = httpx2.URL(base_url)
        except httpx2.InvalidURL:
            parts = httpx2.URL()
        more = parts.query or parts.fragment or parts.userinfo
        if parts.scheme not in {"https", "http"} or not parts.host or (parts.port or 0) > 65535 or more:
            raise ArgumentInvalid("the address of the centre is like https://pay.example, and nothing behind its path")
        if not key.isascii() or not key.isprintable() or not key or " " in key:
            raise ArgumentInvalid("the key is onc_ and letters and digits, as it was shown when it was made")
        self.base_url = base_url.rstrip("/")
        self._headers = {
            "authorization": f"Bearer {key}",
            "accept": "application/json",
            "user-agent": f"oncepay-python/{__version__}",
        }

    def request(self, call: Call[Any], limits: Limits, seconds: float) -> dict[str, Any]:
        """The call as httpx2 builds requests, no step of it longer than it may be."""
        step_s = min(limits.connect_s, seconds)
        return {
            "method": call.method,
            "url": self.base_url + call.target,
            "headers": self._headers | ({"content-type": "application/json"} if call.body else {}),
            "content": call.body or None,
            "timeout": httpx2.Timeout(seconds, connect=step_s, pool=step_s),
        }

    def lost(self, error: Exception, seconds: float) -> Lost:
        """What it means that there is no answer: only where no byte can have left, it was not sent."""
        words = str(error) or type(error).__name__
        if isinstance(error, httpx2.PoolTimeout):
            return Lost(sent=False, why="all connections of this client are busy")
        if isinstance(error, _NO_CONNECTION):
            return Lost(sent=False, why=f"no connection to {self.base_url} ({words})")
        if isinstance(error, httpx2.TimeoutException | TimeoutError):
            return Lost(sent=True, why=f"no answer within {seconds:.3g} s")
        return Lost(sent=True, why=f"the connection broke ({words})")


class _Link(Generic[H]):
    """The connections of one process: two processes that share one would read each other's answers. ``given``: the
    caller's own, which stay the caller's; else ``make`` makes them, anew after a fork."""

    def __init__(self, given: H | None, make: Callable[[], H]) -> None:
        self.given = given
        self._make = make
        self._http = make() if given is None else given
        self._pid = os.getpid()

    @property
    def http(self) -> H:
        """The connections to use."""
        if self.given is None and self._pid != os.getpid():
            self._http, self._pid = self._make(), os.getpid()
        return self._http


class _Base(Generic[H]):
    """What both clients are made of."""

    def __init__(self, base_url: str, key: str, link: _Link[H], limits: Limits, around: Around) -> None:
        self._address = _Address(base_url, key)
        self._link = link
        self._limits = limits
        self._around = around
        self._furnish()

    def _furnish(self) -> None:
        """Open the rooms."""

    def within(self, total_s: float) -> Self:
        """This client, over the same connections, with calls that end within so many seconds, all tries and pauses
        included."""
        other = copy.copy(self)
        other._limits = self._limits.within(total_s)  # noqa: SLF001 - ourselves
        other._furnish()  # noqa: SLF001
        return other

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._address.base_url!r})"


class Client(_Base[httpx2.Client]):
    """Calls to a centre. It holds connections: make one, keep it, share it between threads. After a fork each process
    opens its own.

    ``base_url``: where the centre is. ``key``: of your app, ``onc_...``. ``limits``: how long calls may take; for some
    of them see ``within``. ``http``: an ``httpx2.Client`` of your own (proxies, certificate authorities ...), which
    stays yours to close.

    Every call raises CallFailed when it comes to nothing: NotSent, Unknown, Unauthorized, Unavailable, and what its own
    docstring names. ArgumentInvalid for what cannot be sent.
    """

    def __init__(
        self,
        base_url: str,
        key: str,
        *,
        limits: Limits = LIMITS,
        http: httpx2.Client | None = None,
        around: Around = AROUND,
    ) -> None:
        super().__init__(base_url, key, _Link(http, httpx2.Client), limits, around)

    def _furnish(self) -> None:
        self.payments = rooms.Payments(self.make)
        self.refunds = rooms.Refunds(self.make)
        self.events = rooms.Events(self.make)
        self.endpoints = rooms.Endpoints(self.make)
        self.deliveries = rooms.Deliveries(self.make)
        self.cases = rooms.Cases(self.make)

    def make(self, call: Call[T], /) -> T:
        """Make a described call."""
        talk = converse(call, self._limits, self._around)
        told: Answer | Lost | None = None
        while True:
            try:
                step = talk.send(told)
            except StopIteration as end:
                answered: T = end.value
                return answered
            if isinstance(step, Send):
                told = self._send(call, step.seconds)
            else:
                self._around.sleep(step.seconds)
                told = None

    def _send(self, call: Call[Any], seconds: float) -> Answer | Lost:
        # Each step is bounded by what is left at the start, and what is left is looked at between the pieces of a body.
        # A centre that sends its headers byte by byte could hold a thread for longer; the other client ends in time.
        end = self._around.clock() + seconds
        http = self._link.http
        body = bytearray()
        try:
            request = http.build_request(**self._address.request(call, self._limits, seconds))
            response = http.send(request, stream=True, follow_redirects=False)
            try:
                for piece in response.iter_bytes():
                    body += piece
                    if len(body) > ANSWER_MAX:
                        return Lost(sent=True, why=_TOO_LARGE)
                    if self._around.clock() > end:
                        return self._address.lost(TimeoutError(), seconds)
            finally:
                response.close()
        except httpx2.HTTPError as error:
            return self._address.lost(error, seconds)
        return Answer(response.status_code, response.headers, bytes(body))

    def close(self) -> None:
        """Let go of the connections."""
        if self._link.given is None:
            self._link.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient(_Base[httpx2.AsyncClient]):
    """``Client`` for asyncio: the same calls, awaited. It belongs to the event loop that first uses it."""

    def __init__(
        self,
        base_url: str,
        key: str,
        *,
        limits: Limits = LIMITS,
        http: httpx2.AsyncClient | None = None,
        around: Around = AROUND,
    ) -> None:
        super().__init__(base_url, key, _Link(http, httpx2.AsyncClient), limits, around)

    def _furnish(self) -> None:
        self.payments = rooms.Payments(self.make)
        self.refunds = rooms.Refunds(self.make)
        self.events = rooms.Events(self.make)
        self.endpoints = rooms.Endpoints(self.make)
        self.deliveries = rooms.Deliveries(self.make)
        self.cases = rooms.Cases(self.make)

    async def make(self, call: Call[T], /) -> T:
        """Make a described call."""
        talk = converse(call, self._limits, self._around)
        told: Answer | Lost | None = None
        while True:
            try:
                step = talk.send(told)
            except StopIteration as end:
                answered: T = end.value
                return answered
            if isinstance(step, Send):
                told = await self._send(call, step.seconds)
            else:
                await self._around.sleep_async(step.seconds)
                told = None

    async def _send(self, call: Call[Any], seconds: float) -> Answer | Lost:
        http = self._link.http
        body = bytearray()
        try:
            async with asyncio.timeout(seconds):
                request = http.build_request(**self._address.request(call, self._limits, seconds))
                response = await http.send(request, stream=True, follow_redirects=False)
                try:
                    async for piece in response.aiter_bytes():
                        body += piece
                        if len(body) > ANSWER_MAX:
                            return Lost(sent=True, why=_TOO_LARGE)
                finally:
                    await response.aclose()
        except (httpx2.HTTPError, TimeoutError) as error:
            return self._address.lost(error, seconds)
        return Answer(response.status_code, response.headers, bytes(body))

    async def close(self) -> None:
        """Let go of the connections."""
        if self._link.given is None:
            await self._link.http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
