"""What the broker roads have in common: a message as it is handed over, and one connection to one place.

A link opens its connection when there is something to send, once for all that wait for it, and again after it broke.
It never tries a message twice by itself: the deliverer does, by the timetable, because only it knows what is confirmed.
"""

from __future__ import annotations

import asyncio
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Generic, Protocol, TypeVar, cast

import msgspec

from oncepay.outbound import Resolve
from oncepay.ports import Outcome
from oncepay.publishers.places import Place
from oncepay.publishers.targets import GuardedResolver, Network, TargetRefused, address_of, check_addresses

# What a broker may say: to open a connection, and then for each byte of ours. A confirm is shorter than its message, a
# message that comes back is hardly longer.
SAID_MAX: Final = 1_048_576
SAID_TIMES: Final = 4


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A signed message. ``headers``: the three of Standard Webhooks, names in lower case."""

    id: str
    key: str
    body: bytes
    headers: Mapping[str, str]


class Road(msgspec.Struct, frozen=True, kw_only=True):
    """How to get to a place. ``timeout_s``: for one message, opening the connection included."""

    place: Place
    allow: tuple[Network, ...]
    resolve: Resolve
    tls: ssl.SSLContext
    timeout_s: float

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """Where a host is, all of it judged. Raises TargetRefused, OSError."""
        if address_of(f"[{host}]" if ":" in host else host) is not None:
            check_addresses([host], self.allow, inside=self.place.inside)
            return [host]
        guard = GuardedResolver(self.resolve, self.allow, inside=self.place.inside)
        try:
            return await guard.resolve(host, port)
        except OSError as error:
            if isinstance(error.__cause__, TargetRefused):
                raise error.__cause__ from None
            raise OSError(f"{host}: the name was not found") from error

    async def dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to an address that was judged: the name is not looked up a second time. Raises TargetRefused,
        OSError."""
        ((host, port),) = self.place.hosts
        failed: OSError = OSError("no address")
        for address in await self.addresses(host, port):
            try:
                return await self._connect(host, address, port)
            except OSError as error:
                failed = error
        raise failed

    async def _connect(self, host: str, address: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        loop = asyncio.get_running_loop()
        reader = Bounded(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport, _ = await loop.create_connection(
            lambda: protocol,
            address,
            port,
            ssl=self.tls if self.place.tls else None,
            server_hostname=host if self.place.tls else None,
        )
        return reader, Gathering(transport, protocol, reader, loop)


class Bounded(asyncio.StreamReader):
    """Hears no more than what we wrote gives reason to say. The libraries keep a frame or an answer until it is whole,
    whatever length it claims: a broker that an app names could fill the memory of all."""

    def __init__(self, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self.left = SAID_MAX
        self._end: Callable[[], None] = lambda: None

    def set_transport(self, transport: asyncio.BaseTransport) -> None:
        """From here on there is a connection to end."""
        super().set_transport(transport)
        self._end = cast("asyncio.Transport", transport).abort

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # the protocol hands over bytes
        """Keep it, or end the connection."""
        self.left -= len(data)
        if self.left < 0:
            self.set_exception(OSError("the broker says more than it was asked"))
            self._end()
        else:
            super().feed_data(data)


class Gathering(asyncio.StreamWriter):
    """What is written in one turn of the loop goes out in one piece: a library that writes each message by itself costs
    one system call a batch, not one a message."""

    def __init__(
        self,
        transport: asyncio.WriteTransport,
        protocol: asyncio.BaseProtocol,
        reader: Bounded,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(transport, protocol, reader, loop)
        self._heard = reader
        self._turn = loop.call_soon
        self._pieces: list[bytes | bytearray | memoryview] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it until the turn is over."""
        if not self._pieces:
            self._turn(self._let_go)
        self._pieces.append(data)

    def writelines(self, data: Iterable[bytes | bytearray | memoryview]) -> None:
        """All of them, after what is kept."""
        for piece in data:
            self.write(piece)

    async def drain(self) -> None:
        """Let it go, and wait while the other side is slow."""
        self._let_go()
        await super().drain()

    def write_eof(self) -> None:
        """After what is kept."""
        self._let_go()
        super().write_eof()

    def close(self) -> None:
        """After what is kept."""
        self._let_go()
        super().close()

    def _let_go(self) -> None:
        pieces, self._pieces = self._pieces, []
        if pieces and not self.transport.is_closing():  # who waits for a confirm hears of the end elsewhere
            data = b"".join(pieces)
            self._heard.left += SAID_TIMES * len(data)
            super().write(data)


class Link(Protocol):
    """A way to one place, for many messages at a time."""

    async def send(self, letter: Letter) -> Outcome:
        """Hand over and wait for the broker's confirm. Never raises for what the network or the broker does."""
        ...

    async def close(self) -> None:
        """Let go of the connection. What is under way ends as not confirmed."""
        ...


def delivered(how: str) -> Outcome:
    """The broker has it."""
    return Outcome(delivered=True, why=how)


def down(why: str) -> Outcome:
    """The broker does not take anything now."""
    return Outcome(delivered=False, why=why, down=True)


def reason(error: BaseException) -> str:
    """One clause about what went wrong; what a library wrapped is looked for inside."""
    if isinstance(error.__cause__, TargetRefused):
        error = error.__cause__
    if isinstance(error, TargetRefused):
        return f"not sent: {error}"
    if isinstance(error, OSError):
        return f"no connection: {error.strerror or str(error) or 'timed out'}"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


C = TypeVar("C")


class Connected(ABC, Generic[C]):
    """The part of a link that keeps one connection of the library's kind."""

    def __init__(self) -> None:
        self._opening: asyncio.Task[C] | None = None
        self._closed = False

    @abstractmethod
    async def _open(self) -> C:
        """Make a connection."""

    @abstractmethod
    async def _shut(self, connection: C) -> None:
        """Let go of one."""

    async def _connection(self) -> C:
        """The one that stands, or a new one; whoever comes while it is being opened waits for the same. Raises what
        opening raises, OSError when the link is closed."""
        if self._closed:
            raise OSError(WHY_CLOSED)
        if self._opening is None or (self._opening.done() and not _stands(self._opening)):
            self._opening = asyncio.get_running_loop().create_task(self._open())
        return await asyncio.shield(self._opening)

    async def close(self) -> None:
        """Let go of the connection, for good. What is under way ends as not confirmed."""
        self._closed = True
        await self._drop()

    async def _drop(self, connection: C | None = None) -> None:
        """Let go of this connection, or of whatever there is; the next message opens another. An older one than that
        which stands now has been let go of already."""
        task = self._opening
        if task is None or (connection is not None and _stands(task) and task.result() is not connection):
            return
        self._opening = None
        if _stands(task):
            await self._shut(task.result())
        elif not task.done():
            task.cancel()
            await asyncio.wait((task,))


def _stands(task: asyncio.Task[C]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


WHY_CLOSED: Final = "the link was closed"
WHY_LATE: Final = "no confirm within {:g} s"
