"""One order for one wish to buy: on every kind of database, with and without a door, also while the door is torn out."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest
import redis
import redis.asyncio

from oncepay.client.guards import (
    AsyncSubmissionGuard,
    Contended,
    GuardUnavailable,
    LocalDoor,
    Submission,
    SubmissionGuard,
)
from oncepay.client.guards.doors import Door
from oncepay.client.guards.redis_door import AsyncRedisDoor, RedisDoor
from oncepay.client.guards.submission import claiming
from oncepay.testing.services import Service
from tests.client.guards.apps import ALL_KINDS, WRITE_ORDER, App, LoopApp, open_app
from tests.client.guards.books import KINDS, Books, Where, open_books

CART: Final = {"buyer": 7, "lines": ["tea"], "minor": 8800}
CROWD: Final = 200


class Spilt(Exception):
    """No order comes of it."""


def spill() -> None:
    raise Spilt


def nothing() -> None:
    """All is well."""


@pytest.fixture(params=ALL_KINDS)
async def app(request: pytest.FixtureRequest, where: Where) -> AsyncIterator[App]:
    async with open_app(request.param, where) as app:
        yield app


async def test_the_second_gets_the_number_of_the_first(app: App) -> None:
    assert await app.submit(CART, "A-1", nothing) == Submission(order_no="A-1", first=True)
    repeat = await app.submit(CART, "A-2", spill)  # its order is never made
    assert repeat == Submission(order_no="A-1", first=False)
    assert not repeat.creating
    assert await app.submit({**CART, "buyer": 8}, "A-3", nothing) == Submission(order_no="A-3", first=True)
    assert await app.orders() == ["A-1", "A-3"]


async def test_a_creation_that_failed_frees_the_key_at_once(app: App) -> None:
    with pytest.raises(Spilt):
        await app.submit(CART, "A-1", spill)
    assert await app.orders() == []
    assert await app.submit(CART, "A-2", nothing) == Submission(order_no="A-2", first=True)


async def test_after_the_window_it_is_another_wish(app: App) -> None:
    await app.submit(CART, "A-1", nothing)
    app.clock.advance(599.999)
    assert await app.submit(CART, "A-2", nothing) == Submission(order_no="A-1", first=False)
    app.clock.advance(0.001)
    assert await app.submit(CART, "A-3", nothing) == Submission(order_no="A-3", first=True)
    assert await app.submit(CART, "A-4", nothing) == Submission(order_no="A-3", first=False)
    assert await app.orders() == ["A-1", "A-3"]


async def test_a_failure_after_the_window_leaves_what_was_there(app: App) -> None:
    await app.submit(CART, "A-1", nothing)
    app.clock.advance(600)
    with pytest.raises(Spilt):
        await app.submit(CART, "A-2", spill)
    assert await app.submit(CART, "A-3", nothing) == Submission(order_no="A-3", first=True)


async def test_after_the_window_many_at_once_make_one(app: App) -> None:
    await app.submit(CART, "A-1", nothing)
    app.clock.advance(600)
    said = await asyncio.gather(*(app.submit(CART, f"B-{n}", nothing) for n in range(12)))
    assert len({one.order_no for one in said}) == 1
    assert [one.first for one in said].count(True) == 1
    assert len(await app.orders()) == 2


async def test_old_keys_can_be_swept_out(app: App) -> None:
    await app.submit(CART, "A-1", nothing)
    await app.submit({**CART, "buyer": 8}, "A-2", nothing)
    assert await app.prune() == 0
    app.clock.advance(600)
    await app.submit({**CART, "buyer": 9}, "A-3", nothing)
    assert await app.prune() == 2


def test_a_key_that_is_pruned_between_two_statements_is_taken() -> None:
    script = claiming("digest", "A-2", 1_000, 600_000)
    assert script.send(None).statement == "submit"
    assert script.send(0).statement == "submitted"
    assert script.send([]).statement == "submit"
    with pytest.raises(StopIteration) as end:
        script.send(1)
    assert end.value.value == Submission(order_no="A-2", first=True)
    endless = claiming("digest", "A-2", 1_000, 600_000)
    answers: tuple[Any, ...] = (None, 0, [], 0, [], 0)
    for answer in answers:
        endless.send(answer)
    with pytest.raises(Contended, match="lost it, 3 times"):
        endless.send([])


# -- two hundred at once -----------------------------------------------------------------------------------------


def crowd(submit: Callable[[int], Any]) -> list[Any]:
    """Two hundred threads, all at once; what each got, also when it is an error."""
    start = threading.Barrier(CROWD)

    def one(n: int) -> Any:
        start.wait(60)
        try:
            return submit(n)
        except Exception as error:  # noqa: BLE001 - it is what came of it
            return error

    with ThreadPoolExecutor(CROWD) as pool:
        return list(pool.map(one, range(CROWD)))


class Shop:
    """Makes orders behind a guard. ``making``: called while an order is being made."""

    def __init__(self, books: Books, door: Door | None = None) -> None:
        self.books = books
        self.guard: SubmissionGuard[Any] = SubmissionGuard(books.begin, door=door)
        self.made = 0

    def making(self) -> object:
        """Nothing special."""

    def submit(self, n: int) -> Submission:
        def create(within: Any) -> None:
            self.books.write(within, WRITE_ORDER, f"A-{n}")
            self.making()

        return self.guard.once(CART, f"A-{n}", create)

    def orders(self) -> list[str]:
        return [order_no for (order_no,) in self.books.run("SELECT order_no FROM orders")]


@pytest.fixture(params=KINDS)
def books(request: pytest.FixtureRequest, where: Where) -> Iterator[Books]:
    with open_books(request.param, where) as books:
        books.make()
        yield books


def test_two_hundred_threads_make_one_order(books: Books) -> None:
    shop = Shop(books)
    said = crowd(shop.submit)
    (order_no,) = shop.orders()
    assert {one.order_no for one in said} == {order_no}
    assert [one.first for one in said].count(True) == 1


@pytest.fixture(params=["local", "redis"])
def door(request: pytest.FixtureRequest, redis_url: str) -> Iterator[Door]:
    """An open door."""
    if request.param == "local":
        yield LocalDoor()
        return
    with redis.Redis.from_url(redis_url, max_connections=CROWD) as client:
        client.flushdb()
        yield RedisDoor(client, when_down="refuse")


@pytest.mark.parametrize("books", KINDS, indirect=True)
def test_two_hundred_threads_before_a_door_make_one_order(books: Books, door: Door) -> None:
    shop = Shop(books, door)
    said = crowd(shop.submit)
    (order_no,) = shop.orders()
    assert {one.order_no for one in said} <= {order_no, None}
    assert [one.first for one in said].count(True) == 1
    assert shop.submit(CROWD) == Submission(order_no=order_no, first=False)


@pytest.mark.parametrize("books", ["sqlite3", "psycopg"], indirect=True)
def test_a_creation_that_failed_opens_the_door_at_once(books: Books, door: Door) -> None:
    shop = Shop(books, door)
    shop.making = spill  # type: ignore[method-assign]
    with pytest.raises(Spilt):
        shop.submit(1)
    shop.making = nothing  # type: ignore[method-assign]
    assert shop.submit(2) == Submission(order_no="A-2", first=True)


@pytest.mark.parametrize("kind", ["asyncpg", "sqlalchemy-asyncpg"])
async def test_a_door_for_asyncio(kind: str, where: Where, redis_url: str) -> None:
    async with open_app(kind, where) as app, redis.asyncio.Redis.from_url(redis_url) as client:
        assert isinstance(app, LoopApp)
        await client.flushdb()
        books, making, made = app.books, asyncio.Event(), asyncio.Event()
        guard: AsyncSubmissionGuard[Any] = AsyncSubmissionGuard(
            books.begin, door=AsyncRedisDoor(client, when_down="refuse")
        )

        async def fail(within: Any) -> None:
            await books.write(within, WRITE_ORDER, "A-0")
            spill()

        async def create(within: Any) -> None:
            await books.write(within, WRITE_ORDER, "A-1")
            making.set()
            await made.wait()

        with pytest.raises(Spilt):
            await guard.once(CART, "A-0", fail)
        first = asyncio.create_task(guard.once(CART, "A-1", create))
        await making.wait()
        assert await guard.once(CART, "A-2", fail) == Submission(order_no=None, first=False)
        made.set()
        assert await first == Submission(order_no="A-1", first=True)
        assert await guard.once(CART, "A-2", fail) == Submission(order_no="A-1", first=False)


def test_an_async_creation_for_threads_is_refused_at_once(tmp_path: Any) -> None:
    with open_books("sqlite3", Where(tmp_path, str, str)) as books:
        books.make()

        async def create(_: Any) -> None:
            """Nobody would await it, and the key would stay."""

        with pytest.raises(TypeError, match="use AsyncSubmissionGuard"):
            SubmissionGuard(books.begin).once(CART, "A-1", create)
        assert Shop(books).submit(2) == Submission(order_no="A-2", first=True)


async def test_a_claim_in_a_transaction_of_the_apps_own(app: App) -> None:
    """The order, and its key, are there when that is committed, and not before."""
    assert await app.claim(CART, "A-1", spill) is None
    assert await app.orders() == []
    assert await app.claim(CART, "A-2", nothing) == Submission(order_no="A-2", first=True)
    assert await app.claim(CART, "A-3", nothing) == Submission(order_no="A-2", first=False)
    assert await app.orders() == ["A-2"]


def test_a_door_is_not_shut_for_longer_than_the_window() -> None:
    """The next wish to buy would be told that the last is being created."""
    nowhere, elsewhere = redis.Redis(), redis.asyncio.Redis()
    shut: Any = None
    doors = (LocalDoor(making_s=5), RedisDoor(nowhere, when_down="refuse", making_s=5))
    for door in doors:
        SubmissionGuard(shut, window_s=5, door=door)
        with pytest.raises(ValueError, match=r"window_s is 4\.9, and the door is shut for 5 s"):
            SubmissionGuard(shut, window_s=4.9, door=door)
    async_door = AsyncRedisDoor(elsewhere, when_down="refuse", making_s=5)
    AsyncSubmissionGuard(shut, window_s=5, door=async_door)
    with pytest.raises(ValueError, match="give the door a making_s"):
        AsyncSubmissionGuard(shut, window_s=4.9, door=async_door)


# Not SQLite, where whoever may write waits for whoever writes.
@pytest.mark.parametrize("books", ["psycopg", "pymysql", "django"], indirect=True)
def test_before_a_door_nobody_waits_for_the_first(books: Books, door: Door) -> None:
    shop = Shop(books, door)
    making, made = threading.Event(), threading.Event()

    def wait() -> None:
        making.set()
        assert made.wait(60)

    shop.making = wait  # type: ignore[method-assign]
    with ThreadPoolExecutor(1) as first:
        order = first.submit(shop.submit, CROWD)
        assert making.wait(60)
        said = crowd(shop.submit)
        assert said == [Submission(order_no=None, first=False)] * CROWD
        assert said[0].creating
        made.set()
        assert order.result(60) == Submission(order_no=f"A-{CROWD}", first=True)
    assert shop.submit(1) == Submission(order_no=f"A-{CROWD}", first=False)


@pytest.mark.parametrize("books", ["sqlite3", "psycopg", "pymysql"], indirect=True)
@pytest.mark.parametrize("ending", ["killed", "wiped"])
def test_a_redis_that_ends_in_the_middle_lets_no_second_order_through(
    books: Books, redis_server: Service, ending: str
) -> None:
    client = redis.Redis.from_url(redis_server.url, max_connections=CROWD)
    shop = Shop(books, RedisDoor(client, when_down="database"))
    shop.making = redis_server.kill9 if ending == "killed" else lambda: bool(client.flushall())  # type: ignore[method-assign]
    said = crowd(shop.submit)
    (order_no,) = shop.orders()
    assert {one.order_no for one in said} <= {order_no, None}
    assert [one.first for one in said].count(True) == 1
    assert shop.submit(CROWD) == Submission(order_no=order_no, first=False)
    client.close()


@pytest.mark.parametrize("books", ["sqlite3", "psycopg"], indirect=True)
def test_who_chose_to_refuse_takes_no_order_without_redis(books: Books, redis_server: Service) -> None:
    client = redis.Redis.from_url(redis_server.url)
    shop = Shop(books, RedisDoor(client, when_down="refuse"))
    redis_server.kill9()
    said = crowd(shop.submit)
    assert {type(one) for one in said} == {GuardUnavailable}
    assert shop.orders() == []
    redis_server.start()
    assert shop.submit(1) == Submission(order_no="A-1", first=True)
    client.close()


@pytest.mark.parametrize("kind", ["asyncpg", "sqlalchemy-asyncpg"])
async def test_two_hundred_tasks_make_one_order(kind: str, where: Where) -> None:
    async with open_app(kind, where) as app:
        said = await asyncio.gather(*(app.submit(CART, f"A-{n}", nothing) for n in range(CROWD)))
        (order_no,) = await app.orders()
        assert {one.order_no for one in said} == {order_no}
        assert [one.first for one in said].count(True) == 1


def test_a_submission_is_one_round_trip_to_redis(redis_server: Service, tmp_path: Any) -> None:
    with redis.Redis.from_url(redis_server.url) as client, open_books("sqlite3", Where(tmp_path, str, str)) as books:
        books.make()
        shop = Shop(books, RedisDoor(client, when_down="refuse"))
        assert shop.submit(1).first
        assert _commands(client) == {"set": 1}
        assert not shop.submit(2).first
        assert _commands(client) == {"set": 2}


def _commands(client: redis.Redis) -> Counter[str]:
    """How often each command was called, but for those of connecting and of asking this."""
    stats: Any = client.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): of["calls"] for name, of in stats.items()}
    return Counter(
        {
            name: count
            for name, count in calls.items()
            if name.partition("|")[0] not in {"info", "client", "config", "hello", "ping"}
        }
    )
