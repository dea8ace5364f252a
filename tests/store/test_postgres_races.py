"""Several processes on the same payments, and readers of the feed beside them."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Awaitable
from pathlib import Path

import msgspec
import pytest

from oncepay.ports import App, AppKey, Endpoint, Page
from oncepay.store.postgres import PostgresLedger
from oncepay.testing.servers import fresh_database
from tests.store.conftest import eventually
from tests.store.make import T0, created, paid, payment
from tests.store.postgres_kit import opened, session

ROOT = Path(__file__).parents[2]


async def raced(url: str, processes: int, payments: int, rounds: int) -> list[dict[str, dict[str, int]]]:
    """Start the processes, let them go at the same moment, and hear what each won."""
    racers = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.store.postgres_racer", url, f"P{n}", str(payments), str(rounds),
            cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )
        for n in range(processes)
    ]  # fmt: skip
    try:
        for racer in racers:
            assert racer.stdout is not None
            assert await racer.stdout.readline() == b"ready\n"
        said = await asyncio.gather(*(racer.communicate(b"go\n") for racer in racers))
        assert [racer.returncode for racer in racers] == [0] * processes, said
        return [json.loads(out) for out, _ in said]
    finally:
        for racer in racers:
            if racer.returncode is None:
                racer.kill()
                await racer.wait()


@pytest.mark.parametrize("processes", [2, 4])
async def test_what_was_won_is_what_is_there(postgres_database: str, processes: int) -> None:
    """Every revision of every payment was won by exactly one process; no deadlock reached anybody."""
    async with opened(postgres_database) as ledger:
        async with session(postgres_database) as other:
            deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
            before = await other.fetchval(deadlocks)
        reports = await raced(postgres_database, processes, payments=60, rounds=25)
        won: Counter[str] = Counter()
        for report in reports:
            won.update(report["won"])
        async with session(postgres_database) as other:
            revisions = dict(await other.fetch("SELECT id, rev FROM payment"))
            events = dict(await other.fetch("SELECT payment_id, count(*) FROM event GROUP BY 1"))
            versions = dict(await other.fetch("SELECT id, version FROM payment WHERE version > 0"))
            assert await other.fetchval(deadlocks) == before
        assert revisions == won
        assert events == versions
        outcomes: Counter[str] = Counter()
        for report in reports:
            outcomes.update(report["outcomes"])
        assert outcomes["lost"], "they never met"
        assert outcomes["won"] > 100
        assert len((await ledger.payments("shop", Page(limit=1000)))[0]) == len(won)


async def test_the_feed_never_skips_a_late_commit(postgres_database: str) -> None:
    """A writer takes its place in the feed and then commits after others have: they are shown after it or not yet."""
    async with opened(postgres_database) as ledger:
        for n in range(4):
            assert await ledger.commit(created(f"A-{n}"))
        async with session(postgres_database) as slow:
            transaction = slow.transaction()
            await transaction.start()
            await slow.execute(
                "INSERT INTO event (payment_id, version, app_id, changes, data, at_ms) VALUES ($1, 1, 'shop', '', '{}', 1)",
                payment("A-0").id,
            )
            for n in (1, 2):
                assert await ledger.commit(paid(payment(f"A-{n}")))
            seen, cursor = await ledger.events("shop", Page())
            assert seen == []
            await transaction.commit()
        assert await ledger.commit(paid(payment("A-3")))
        rest, cursor = await ledger.events("shop", Page(after=cursor))
        assert [row.payment_id for row in rest] == [payment(f"A-{n}").id for n in range(4)]
        again, same = await ledger.events("shop", Page(after=cursor))
        assert (again, same) == ([], cursor)


async def test_six_writers_and_a_reader_who_follows_them(postgres_database: str) -> None:
    """Each of six ledgers writes events on its own connection while a reader pages through the feed."""

    async def write(ledger: PostgresLedger, name: int) -> None:
        async def pay(n: int) -> None:
            order_no = f"W{name}-{n}"
            assert await ledger.commit(created(order_no))
            assert await ledger.commit(paid(payment(order_no)))

        for start in range(0, 150, 10):
            await asyncio.gather(*(pay(n) for n in range(start, start + 10)))

    async def follow(ledger: PostgresLedger, writing: asyncio.Future[list[None]]) -> list[str]:
        found: list[str] = []
        cursor = ""
        while True:
            over = writing.done()
            rows, cursor = await ledger.events("shop", Page(limit=37, after=cursor))
            found += [row.payment_id for row in rows]
            if over and not rows:
                return found

    ledgers = []
    async with opened(postgres_database) as reader:
        for _ in range(6):
            context = opened(postgres_database, links=1)
            ledgers.append((context, await context.__aenter__()))
        writing = asyncio.gather(*(write(ledger, n) for n, (_, ledger) in enumerate(ledgers)))
        found = await follow(reader, writing)
        await writing
        for context, _ in ledgers:
            await context.__aexit__(None, None, None)
    expected = {payment(f"W{name}-{n}").id for name in range(6) for n in range(150)}
    assert len(found) == len(set(found)) == 900
    assert set(found) == expected


async def test_processes_that_start_at_once_make_one_installation(postgres_url: str) -> None:
    """Several times: the moment in which one has made half of a table's names is short."""

    async def start(url: str) -> str:
        async with opened(url, links=1) as ledger:
            return ledger.installation

    for _ in range(5):
        with fresh_database(postgres_url) as url:
            assert len(set(await asyncio.gather(*(start(url) for _ in range(6))))) == 1


async def both_waiting(url: str, lock: str, *changes: Awaitable[bool]) -> list[bool]:
    """What two changes are told that have both begun before either could write: ``lock`` is let go when both wait."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with session(url) as holding, session(url) as watching:
        transaction = holding.transaction()
        await transaction.start()
        await holding.execute(lock)
        told = asyncio.gather(*changes)

        async def all_wait() -> bool:
            return bool(await watching.fetchval(waiting) == len(changes))

        await eventually(all_wait)
        await transaction.rollback()
        return await told


async def test_of_two_changes_of_an_app_that_waited_for_each_other_one_is_written(postgres_database: str) -> None:
    """Each of their statements saw the keys as they were before either, so it must not go by what it saw."""
    first = App(id="shop", name="s", keys=(AppKey(hash="old", hint="0000", created_ms=T0),))
    rotated = [
        msgspec.structs.replace(first, keys=(AppKey(hash=hash_, hint="1111", created_ms=T0 + 1), *first.keys))
        for hash_ in ("one", "another")
    ]
    async with opened(postgres_database) as ledger:
        assert await ledger.save_app(first, None)
        told = await both_waiting(
            postgres_database,
            "UPDATE meta SET value = value WHERE name = 'directory'",
            *(ledger.save_app(one, first) for one in rotated),
        )
        assert sorted(told) == [False, True]
        assert await ledger.apps() == [rotated[told.index(True)]]


async def test_of_two_changes_of_an_endpoint_that_waited_for_each_other_one_is_written(postgres_database: str) -> None:
    first = Endpoint(id="e1", app="shop", url="https://a.example", secrets=("old",))
    changed = [msgspec.structs.replace(first, secrets=(new, "old")) for new in ("one", "another")]
    async with opened(postgres_database) as ledger:
        assert await ledger.save_endpoint(first, None)
        told = await both_waiting(
            postgres_database,
            "UPDATE endpoint SET login = login WHERE id = 'e1'",
            *(ledger.save_endpoint(one, first) for one in changed),
        )
        assert sorted(told) == [False, True]
        assert await ledger.endpoints() == [changed[told.index(True)]]
