"""Events by a Redis stream: what waits at the same moment goes as one pipeline of XADDs, each with its own answer.

An entry's fields: ``body``, ``payment``, and the three headers of a webhook. The answer to XADD says that the server
has the entry; how much that is worth is the server's setting (``appendfsync``). With ``?replicas=1`` a message counts
as delivered only after so many replicas have it as well (WAIT).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from redis import exceptions
from redis.asyncio.connection import Connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from oncepay.ports import Outcome
from oncepay.publishers.links import WHY_CLOSED, WHY_LATE, Connected, Letter, Road, delivered, down, reason

BATCH_MAX: Final = 256
MS: Final = 1_000

_Waiting = tuple[Letter, asyncio.Future[Outcome]]


class Guarded(Connection):
    """A connection to an address that was judged."""

    def __init__(self, road: Road) -> None:
        place = road.place
        super().__init__(
            host=place.hosts[0][0], port=place.hosts[0][1], db=int(place.room), username=place.user or None,
            password=place.password or None, client_name="oncepay", socket_timeout=None,
            socket_connect_timeout=road.timeout_s, retry=Retry(NoBackoff(), 0), protocol=2,
        )  # fmt: skip
        self._road = road

    async def _connect(self) -> None:
        self._reader, self._writer = await self._road.dial()


class RedisLink(Connected[Guarded]):
    """One connection to one stream's server."""

    def __init__(self, road: Road) -> None:
        super().__init__()
        self._road = road
        self._waiting: deque[_Waiting] = deque()
        self._runner: asyncio.Task[None] | None = None

    async def send(self, letter: Letter) -> Outcome:
        """Into the next pipeline; the outcome is the server's answer to this one message."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Outcome] = loop.create_future()
        self._waiting.append((letter, done))
        if self._runner is None:
            self._runner = loop.create_task(self._run())
        return await done

    async def close(self) -> None:
        """Let go of the connection, for good; what waits ends as not confirmed."""
        self._closed = True
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.wait((self._runner,))
        await super().close()

    async def _run(self) -> None:
        batch: list[_Waiting] = []
        outcome = down(WHY_CLOSED)
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH_MAX))]
                try:
                    async with asyncio.timeout(self._road.timeout_s):
                        outcomes = await self._write([letter for letter, _ in batch])
                except Exception as error:  # noqa: BLE001 - whatever it is, nobody may be left waiting
                    # What still waits has waited as long, and would fare no better.
                    late = isinstance(error, TimeoutError)
                    outcome = down(WHY_LATE.format(self._road.timeout_s) if late else reason(error))
                    batch += self._waiting
                    self._waiting.clear()
                    outcomes = [outcome] * len(batch)
                    await self._drop()
                for (_, done), one in zip(batch, outcomes, strict=True):
                    if not done.done():
                        done.set_result(one)
                batch = []
        finally:
            # No await since the queue was seen empty: nobody can have queued in between. (Or the loop is taken down.)
            self._runner = None
            for _, done in (*batch, *self._waiting):
                if not done.done():
                    done.set_result(outcome)
            self._waiting.clear()

    async def _write(self, letters: Sequence[Letter]) -> list[Outcome]:
        connection = await self._connection()
        place = self._road.place
        commands: list[tuple[Any, ...]] = [
            ("XADD", place.name, "*", "body", one.body, "payment", one.key, *_fields(one)) for one in letters
        ]
        if place.replicas:
            commands.append(("WAIT", place.replicas, int(self._road.timeout_s * MS / 2)))
        await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
        outcomes = [await _answer(connection) for _ in letters]
        if place.replicas and (have := await connection.read_response()) < place.replicas:
            return [down(f"{have} of {place.replicas} replicas have it") if one.delivered else one for one in outcomes]
        return outcomes

    async def _open(self) -> Guarded:
        connection = Guarded(self._road)
        try:
            await connection.connect()  # type: ignore[no-untyped-call]  # the library's own signature
        except BaseException:
            await self._shut(connection)
            raise
        return connection

    async def _shut(self, connection: Guarded) -> None:
        with suppress(OSError, exceptions.RedisError):
            await connection.disconnect(nowait=True)


def _fields(letter: Letter) -> list[str]:
    return [word for header in letter.headers.items() for word in header]


_OK: Final = delivered("in the stream")


async def _answer(connection: Guarded) -> Outcome:
    """What became of one XADD. Raises what ends the connection."""
    try:
        await connection.read_response()
    except exceptions.ResponseError as error:  # full, read only, not a stream, no right to: the next fares no better
        return down(f"refused: {error}")
    return _OK
