"""The client: pools by origin, names and addresses, one deadline a call."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from functools import cache
from ipaddress import ip_address
from typing import Final

from oncepay.outbound.message import CallFailed, Origin, Reply, compose
from oncepay.outbound.wire import Pool, Wire

NAMES_S: Final = 10.0  # how long a resolved name is remembered

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


@cache
def _usual() -> ssl.SSLContext:
    """The machine's own authorities. To read them takes up to 50 ms, so a process does it once."""
    return ssl.create_default_context()


def verified(tls: ssl.SSLContext | None) -> ssl.SSLContext:
    """A context that verifies certificates and host names, or ValueError: there is no switch for that."""
    tls = tls or _usual()
    if tls.verify_mode is not ssl.CERT_REQUIRED or not tls.check_hostname:
        raise ValueError("certificates and host names are always verified")
    return tls


class Client:
    """Calls over pooled connections. Use it inside one running loop, and close it."""

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        resolve: Resolve,
        per_host: int,
        idle_s: float,
        body_max: int,
    ) -> None:
        """``tls``: a context with more certificate authorities; one that verifies less is refused (ValueError).
        ``resolve``: host and port to addresses, OSError for none. ``per_host``: connections at a time; who waits for
        one past the deadline was not sent. ``idle_s``: how long an unused connection is kept. ``body_max``: bytes."""
        self._tls = verified(tls)
        self._resolve = resolve
        self._per_host = per_host
        self._idle_s = idle_s
        self._body_max = body_max
        self._pools: dict[Origin, Pool] = {}
        self._names: dict[tuple[str, int], tuple[float, asyncio.Future[Sequence[str]]]] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    async def call(
        self, method: str, url: str, headers: Iterable[tuple[str, str]], body: bytes, deadline_s: float
    ) -> Reply:
        """Send once and wait at most ``deadline_s`` seconds for the whole answer. Raises RequestInvalid, CallFailed."""
        origin, data = compose(method, url, headers, body)
        loop = asyncio.get_running_loop()
        until, late = loop.time() + deadline_s, f"no answer within {deadline_s:g} s"
        if deadline_s <= 0 or self._closed:
            raise CallFailed("the client is closed" if self._closed else late, sent=False)
        pool = self._pools.get(origin) or self._open(origin)
        wire = self._idle(pool, loop.time()) or await self._reach(origin, pool, until, late)
        answer = wire.ask(data)
        timer = loop.call_at(until, wire.late, answer, late)
        try:
            return await answer
        finally:
            timer.cancel()
            wire.forget(answer)

    async def close(self) -> None:
        """Let go of all connections. Calls under way end as unknown, those that wait for a connection as not sent."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for _, looking in self._names.values():
            looking.cancel()
        for pool in self._pools.values():
            for waiter in pool.waiting:
                if not waiter.done():
                    waiter.set_exception(CallFailed("the client was closed", sent=False))
            for wire in list(pool.wires):
                wire.fail("the client was closed")
        await asyncio.sleep(0)  # the loop closes the sockets

    def _open(self, origin: Origin) -> Pool:
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(self._idle_s, self._sweep)
        pool = self._pools[origin] = Pool()
        return pool

    def _idle(self, pool: Pool, now: float) -> Wire | None:
        """A kept connection that still stands, as far as we know."""
        while pool.idle:
            wire = pool.idle.pop()
            if now - wire.idle_since < self._idle_s and not wire.transport.is_closing():
                return wire
            wire.leave()
        return None

    def _sweep(self) -> None:
        """Close what was not used for a while, forget what nobody needs; come again while anything is left."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for origin, pool in list(self._pools.items()):
            for wire in [wire for wire in pool.idle if now - wire.idle_since >= self._idle_s]:
                wire.leave()
            if not pool.taken:
                del self._pools[origin]
        self._names = {name: kept for name, kept in self._names.items() if kept[0] > now or not kept[1].done()}
        again = self._pools or self._names
        self._sweeper = loop.call_later(self._idle_s, self._sweep) if again else None

    async def _reach(self, origin: Origin, pool: Pool, until: float, late: str) -> Wire:
        """A connection to write on: a new one, or one that comes free. Raises CallFailed: nothing was sent."""
        try:
            async with asyncio.timeout_at(until):
                while pool.taken >= self._per_host:
                    given = await pool.wait()
                    if given is None:
                        return await self._connect(origin, pool, until)
                    if not given.transport.is_closing():
                        return given
                pool.taken += 1
                return await self._connect(origin, pool, until)
        except TimeoutError as error:
            raise CallFailed(late, sent=False) from error

    async def _connect(self, origin: Origin, pool: Pool, until: float) -> Wire:
        """Open a connection in a place already taken in the pool, which is free again if it does not come about."""
        try:
            wire = await self._dial(origin, until)
        except BaseException:
            pool.give(None)
            raise
        if self._closed or wire.transport.is_closing():
            wire.transport.abort()
            pool.give(None)
            raise CallFailed("no connection: closed as soon as it was open", sent=False)
        wire.pool = pool
        pool.wires.add(wire)
        return wire

    async def _dial(self, origin: Origin, until: float) -> Wire:
        """Try one address after the other; none but the last may use up all the time that is left."""
        try:
            addresses = await self._addresses(origin)
        except (OSError, UnicodeError) as error:
            raise CallFailed("the name was not found", sent=False) from error
        loop = asyncio.get_running_loop()
        failed = CallFailed("the name was not found", sent=False)
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            now = loop.time()
            try:
                async with asyncio.timeout_at(now + (until - now) / left if left > 1 else None):
                    _, wire = await loop.create_connection(
                        lambda: Wire(loop, self._body_max),
                        address,
                        origin.port,
                        ssl=self._tls if origin.tls else None,
                        server_hostname=origin.host if origin.tls else None,
                    )
                    return wire
            except ssl.SSLError as error:
                failed = CallFailed(f"TLS: {error}", sent=False)
            except OSError as error:
                failed = CallFailed(f"no connection: {error.strerror or str(error) or 'timed out'}", sent=False)
        raise failed

    async def _addresses(self, origin: Origin) -> Sequence[str]:
        """Where a host is. Who asks for the same name at the same time shares one look-up."""
        with suppress(ValueError):
            return [str(ip_address(origin.host))]
        loop = asyncio.get_running_loop()
        name = origin.host, origin.port
        until, looking = self._names.get(name, (0.0, None))
        if looking is None or (looking.done() and (until <= loop.time() or not _found(looking))):
            looking = asyncio.ensure_future(self._look(*name))
            looking.add_done_callback(_found)
            self._names[name] = loop.time() + NAMES_S, looking
        return await asyncio.shield(looking)

    async def _look(self, host: str, port: int) -> Sequence[str]:
        try:
            return await self._resolve(host, port)
        except asyncio.CancelledError:  # by close(): that is no cancelling of those who wait for the name
            raise OSError("the client was closed") from None


def _found(looking: asyncio.Future[Sequence[str]]) -> bool:
    """Whether a look-up brought something. (It may have ended after the last that waited for it had gone.)"""
    return not looking.cancelled() and looking.exception() is None
