"""Words between processes, by PostgreSQL and by a Redis: both keep the same promises."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import psutil
import pytest
import redis

from oncepay.ports import Wake
from oncepay.shared.wake import RedisWake
from oncepay.store.postgres_wake import PostgresWake
from oncepay.testing.servers import PostgresServer, run_sql
from oncepay.testing.services import Service

BOUND_S = 10.0


@dataclass
class Place:
    """Where words are passed on. ``cut``: every connection that listens is ended; ``kill``, ``start``: the server."""

    join: Callable[[str], Wake]
    cut: Callable[[], None]
    kill: Callable[[], None]
    start: Callable[[], None]
    pid: Callable[[], int]


@contextmanager
def postgres_place() -> Iterator[Place]:
    with PostgresServer() as server:
        yield Place(
            join=lambda _: PostgresWake(server.url),
            cut=lambda: _cut_sessions(server.url),
            kill=server.kill9,
            start=server.start,
            pid=lambda: server.processes()[0].pid,
        )


def _cut_sessions(url: str) -> None:
    others = "application_name = 'oncepay' AND pid <> pg_backend_pid()"
    run_sql(url, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")


def redis_place(server: Service) -> Place:
    def cut() -> None:
        with redis.Redis.from_url(server.url) as client:
            client.client_kill_filter(_type="pubsub")

    return Place(
        join=lambda me: RedisWake(server.url, installation="i", me=me),
        cut=cut,
        kill=server.kill9,
        start=server.start,
        pid=lambda: _pid(server.port),
    )


def _pid(port: int) -> int:
    return next(
        int(c.pid) for c in psutil.net_connections("tcp") if c.laddr.port == port and c.status == "LISTEN" and c.pid
    )


@pytest.fixture(params=["postgres", "redis"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "redis":
        yield redis_place(request.getfixturevalue("redis_server"))
    else:
        with postgres_place() as found:
            yield found


@dataclass
class Member:
    """A process, as far as words go."""

    wake: Wake
    words: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    again: asyncio.Queue[None] = field(default_factory=asyncio.Queue)  # it hears, from now on

    async def hears(self) -> str:
        return await asyncio.wait_for(self.words.get(), BOUND_S)

    async def listens(self) -> None:
        await asyncio.wait_for(self.again.get(), BOUND_S)


@asynccontextmanager
async def joined(place: Place, me: str) -> AsyncIterator[Member]:
    """A process that listens."""
    member = Member(place.join(me))
    listening = asyncio.create_task(member.wake.listen(member.words.put_nowait, lambda: member.again.put_nowait(None)))
    try:
        await member.listens()
        yield member
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await member.wake.close()


async def test_all_others_hear_it_and_not_who_told_it(place: Place) -> None:
    async with joined(place, "a") as a, joined(place, "b") as b, joined(place, "c") as c:
        await a.wake.tell(["payments", "@0123"])
        assert [await b.hears(), await b.hears()] == ["payments", "@0123"]
        assert [await c.hears(), await c.hears()] == ["payments", "@0123"]
        await b.wake.tell(["after"])
        assert await a.hears() == "after"  # its own words would have come before


async def test_who_only_tells_needs_not_listen(place: Place) -> None:
    async with joined(place, "a") as a:
        passing = place.join("p")
        await passing.tell(["directory"])
        await passing.close()
        assert await a.hears() == "directory"


async def test_a_listener_whose_connection_is_cut_listens_again_and_knows_it(place: Place) -> None:
    async with joined(place, "a") as a, joined(place, "b") as b:
        place.cut()
        await b.listens()
        await a.listens()
        await a.wake.tell(["back"])
        assert await b.hears() == "back"


async def test_a_server_that_is_killed_hurts_nobody_and_is_found_again(place: Place) -> None:
    async with joined(place, "a") as a, joined(place, "b") as b:
        await asyncio.to_thread(place.kill)
        for _ in range(3):
            await asyncio.wait_for(a.wake.tell(["lost"]), BOUND_S)
        await asyncio.to_thread(place.start)
        await b.listens()
        await a.listens()
        await a.wake.tell(["back"])
        assert await b.hears() == "back"


async def test_a_server_that_stands_still_holds_nobody_up(place: Place) -> None:
    async with joined(place, "a") as a:
        family = [psutil.Process(place.pid()), *psutil.Process(place.pid()).children(recursive=True)]
        for process in family:
            process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.wait_for(a.wake.tell(["lost"]), BOUND_S)
        finally:
            for process in family:
                process.send_signal(signal.SIGCONT)


async def test_two_installations_on_one_redis_do_not_wake_each_other(redis_server: Service) -> None:
    place = redis_place(redis_server)
    elsewhere = RedisWake(redis_server.url, installation="another", me="x")
    async with joined(place, "a") as a, joined(place, "b") as b:
        await elsewhere.tell(["payments"])
        await b.wake.tell(["ours"])
        assert await a.hears() == "ours"
    await elsewhere.close()
