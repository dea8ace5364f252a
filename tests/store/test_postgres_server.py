"""What a server must be before it may hold payments, what it had better be, and the tables in it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest

from oncepay.domain.errors import Invalid, Unavailable
from oncepay.ports import Page
from oncepay.store.postgres import PostgresLedger, open_postgres
from oncepay.store.postgres_link import SESSION, Book, Links
from oncepay.store.postgres_schema import drop_raw_months, make_raw_months
from oncepay.store.postgres_server import ServerUnsafe
from oncepay.store.refusals import MigrationRefused, StartRefused
from oncepay.store.statements import load, numbered
from oncepay.testing.ports import free_port
from oncepay.testing.servers import PostgresServer
from tests.store.conftest import eventually
from tests.store.make import created, paid, payment
from tests.store.postgres_kit import opened, session, token


@pytest.fixture
async def ledger(postgres_database: str) -> AsyncIterator[PostgresLedger]:
    async with opened(postgres_database) as ledger:
        yield ledger


# -- what it must be ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unsafe() -> Iterator[PostgresServer]:
    settings = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "data_sync_retry": "on"}
    with PostgresServer(settings) as server:
        yield server


async def test_an_unsafe_server_is_refused_with_every_reason(unsafe: PostgresServer) -> None:
    with pytest.raises(StartRefused) as refused:
        await open_postgres(unsafe.url, token=token)
    for name in ("fsync", "full_page_writes", "synchronous_commit", "data_sync_retry"):
        assert f"{name} is" in str(refused.value)
    assert isinstance(refused.value, ServerUnsafe)
    assert len(refused.value.faults) == 4


async def test_a_standby_is_refused(unsafe: PostgresServer) -> None:
    """Money is decided on the primary only: a replica may show what is over, or never came to be."""
    with PostgresServer() as server:
        server.stop()
        await asyncio.to_thread(Path(server._data, "standby.signal").touch, mode=0o666)
        server.start()
        with pytest.raises(StartRefused, match="standby"):
            await open_postgres(server.url, token=token)


@pytest.mark.parametrize(
    ("setting", "value"), [("synchronous_commit", "local"), ("default_transaction_read_only", "on")]
)
async def test_a_setting_of_the_database_alone_is_seen_too(postgres_database: str, setting: str, value: str) -> None:
    async with session(postgres_database) as other:
        name = await other.fetchval("SELECT current_database()")
        await other.execute(f'ALTER DATABASE "{name}" SET {setting} = {value}')
    with pytest.raises(StartRefused, match=r"synchronous_commit|read_only"):
        await open_postgres(postgres_database, token=token)


async def test_unlogged_tables_are_refused(postgres_database: str, ledger: PostgresLedger) -> None:
    async with session(postgres_database) as other:
        await other.execute("ALTER TABLE evidence SET UNLOGGED")
    with pytest.raises(StartRefused, match="evidence"):
        await open_postgres(postgres_database, token=token)


async def test_nobody_there_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await open_postgres(f"postgresql://nobody@127.0.0.1:{free_port()}/none", token=token)


async def test_who_is_not_let_in_need_not_repeat_it(postgres_database: str) -> None:
    """Rights, names and passwords do not mend themselves: a person is told so, not "repeat later"."""
    parts = urlsplit(postgres_database)
    role = f"guest_{os.urandom(4).hex()}"
    guest = parts._replace(netloc=f"{role}:hush@{parts.netloc.rpartition('@')[2]}").geturl()
    async with session(postgres_database) as other:
        await other.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        await other.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'hush'")
        try:
            with pytest.raises(StartRefused, match="permission denied"):
                await open_postgres(guest, token=token)
        finally:
            await other.execute(f"DROP ROLE {role}")
    with pytest.raises(StartRefused, match=rf"at .* cannot be reached.*{role}"):
        await open_postgres(guest, token=token)
    with pytest.raises(StartRefused, match="no_such_database"):
        await open_postgres(parts._replace(path="/no_such_database").geturl(), token=token)


async def test_a_database_of_another_program_is_no_ledger(postgres_database: str) -> None:
    async with session(postgres_database) as other:
        await other.execute("CREATE TABLE payment (id int)")
    with pytest.raises(StartRefused, match='"payment" already exists'):
        await open_postgres(postgres_database, token=token)


# -- what it had better be -----------------------------------------------------------------------------------------


async def test_doctor_hears_what_is_and_what_should_be(postgres_database: str) -> None:
    async with session(postgres_database) as other:
        shown = await other.fetchval("SELECT setting || 'x' || unit FROM pg_settings WHERE name = 'max_wal_size'")
        assert shown == "8192xMB"  # as testing/servers.py sets it
    async with opened(postgres_database) as ledger:
        found = {setting.name: setting for setting in await ledger.examine()}
    assert found["fsync"].level == "fine"
    assert found["max_wal_size"].level == "fine"
    assert found["checkpoint_timeout"].level == "fine"
    assert found["data_checksums"].level == "fine"
    assert found["shared_buffers"].level == "advice"
    assert (found["wal_compression"].actual, found["wal_compression"].recommended) == ("off", "lz4")
    assert found["wal_compression"].level == "advice"
    assert all(setting.why for setting in found.values())


# -- its sessions --------------------------------------------------------------------------------------------------


async def test_no_session_of_ours_is_without_limits(ledger: PostgresLedger) -> None:
    limits = ("lock_timeout", "idle_in_transaction_session_timeout", "statement_timeout")
    assert [SESSION[name] for name in limits] == ["1s", "2s", "5s"], "as the store's rules have them"
    async with ledger._links.lend() as link:
        for name, value in SESSION.items():
            assert await link.fetchval("SELECT current_setting($1)", name) == value


async def test_every_keyed_statement_stays_on_its_keys_in_an_empty_database(ledger: PostgresLedger) -> None:
    """A plan is made once, perhaps when a table was empty, where reading it whole looks cheap. It must not."""
    whole = {"read_apps", "read_app_keys", "read_accounts", "read_endpoints", "list_cases", "stats"}
    texts = {
        name: text
        for name, text in load("postgres").items()
        if text.startswith(("SELECT", "WITH", "UPDATE")) and not name.startswith("answer_")
    }
    texts |= {"group": whole_group()}
    async with ledger._links.lend() as link:
        for name, text in texts.items():
            statement, parameters = numbered(text)
            prepared = await link.prepare(statement)
            types = prepared.get_parameters()
            assert len(types) == len(parameters)
            nothing = ["{}" if kind.name.startswith("_") else None for kind in types]
            literals = ", ".join("NULL" if value is None else f"'{value}'" for value in nothing)
            await link.execute(f"PREPARE {name}_x AS {statement}")
            arguments = f"({literals})" if literals else ""
            plan = "\n".join(row[0] for row in await link.fetch(f"EXPLAIN EXECUTE {name}_x{arguments}"))
            assert name in whole or not any(
                f"Seq Scan on {table}" in plan
                for table in ("payment", "attempt", "event", "delivery", "evidence", "cases")
            ), f"{name}\n{plan}"


def whole_group() -> str:
    """The statement of a group that has something of everything."""
    parts = load("postgres/group.sql")
    names = (
        "made",
        "held",
        "moved",
        "won_either",
        "attempts",
        "credentials",
        "evidence",
        "raw",
        "events",
        "deliveries",
    )
    tables = ",\n".join(parts[name] for name in (*names, "cases", "marked"))
    return f"WITH {tables}\n{parts['answer_held']}"


async def test_too_few_connections_make_callers_wait_but_not_for_ever(ledger: PostgresLedger) -> None:
    links = Links(ledger._connect, 1, 0.05)
    async with links.lend():
        with pytest.raises(Unavailable, match="in use"):
            async with links.lend():
                pytest.fail("lent twice")
    async with links.lend() as first:
        pass
    async with links.lend() as again:
        assert again is first
    await links.close()


async def test_a_cancelled_read_gives_its_place_back(ledger: PostgresLedger) -> None:
    for _ in range(10):
        reading = asyncio.create_task(ledger.stats(1))
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    await ledger.ping()


async def test_a_text_that_no_database_holds_is_the_readers_fault(ledger: PostgresLedger) -> None:
    for text in ("a\0b", "a\ud800"):
        with pytest.raises(Invalid):
            await ledger.find_trade("shop", text)
    await ledger.ping()


# -- its tables ----------------------------------------------------------------------------------------------------


async def test_only_looking_makes_nothing(postgres_database: str) -> None:
    with pytest.raises(MigrationRefused, match="migrate"):
        await open_postgres(postgres_database, token=token, migrate=False)
    async with session(postgres_database) as other:
        assert await other.fetchval("SELECT count(*) FROM pg_class WHERE relname = 'payment'") == 0
    async with opened(postgres_database):
        pass
    async with opened(postgres_database, migrate=False) as ledger:
        assert await ledger.commit(created())


async def test_months_are_made_ahead_and_take_in_what_came_before(
    postgres_database: str, ledger: PostgresLedger
) -> None:
    book = Book(load("postgres"))
    await ledger.commit(created("A-1"))
    await ledger.commit(paid(payment("A-1")))  # of 2023, which has no partition
    async with session(postgres_database) as look:
        rows = "SELECT tableoid::regclass::text, month FROM raw"
        assert [tuple(row) for row in await look.fetch(rows)] == [("raw_rest", 202311)]
        (month,) = await look.fetchrow("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYYMM')::bigint")
        await look.execute("UPDATE raw SET month = $1", month)  # moves to its partition
        assert [tuple(row) for row in await look.fetch(rows)] == [(f"raw_{month}", month)]
        async with ledger._links.lend() as link:
            assert await make_raw_months(link, book) == []  # made at the start
            await look.execute(f"ALTER TABLE raw DETACH PARTITION raw_{month}")
            await look.execute(f"INSERT INTO raw_rest SELECT * FROM raw_{month}")
            await look.execute(f"DROP TABLE raw_{month}")
        await asyncio.gather(ledger.maintain(), ledger.maintain())
        assert [tuple(row) for row in await look.fetch(rows)] == [(f"raw_{month}", month)]
        async with ledger._links.lend() as link:
            assert await drop_raw_months(link, book, before=month) == []
        await asyncio.gather(ledger.forget_raw(month + 1), ledger.forget_raw(month + 1))
        assert await look.fetch(rows) == []
    assert len(await ledger.evidence(payment("A-1").id)) == 1  # the facts stay


async def test_a_start_does_not_wait_for_a_dump(postgres_database: str, ledger: PostgresLedger) -> None:
    """It holds every table until its end; the bytes of a month that has no place yet have another."""
    await ledger.ping()
    async with session(postgres_database) as dump, session(postgres_database) as look:
        last = await look.fetchval("SELECT max(c.relname) FROM pg_class c WHERE c.relname ~ '^raw_[0-9]{6}$'")
        await look.execute(f"DROP TABLE {last}")
        async with dump.transaction():
            await dump.execute("LOCK TABLE raw_rest IN ACCESS SHARE MODE")
            async with opened(postgres_database) as started:
                assert await started.commit(created("A-2"))
        await ledger.maintain()
        assert await look.fetchval("SELECT count(*) FROM pg_class WHERE relname = $1", last) == 1


async def test_bytes_without_a_month_are_forgotten_a_piece_at_a_time(
    postgres_database: str, ledger: PostgresLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oncepay.store.postgres_schema.PIECE", 10)
    async with session(postgres_database) as look:
        await look.execute("INSERT INTO raw SELECT 202311, 'P' || n, 1, 0, 'x' FROM generate_series(1, 25) n")
        await look.execute("INSERT INTO raw VALUES (202312, 'P', 1, 0, 'x')")
        await ledger.forget_raw(202312)
        assert [row["month"] for row in await look.fetch("SELECT month FROM raw")] == [202312]


async def test_an_unreadable_payment_is_nobody_elses_fault(postgres_database: str, ledger: PostgresLedger) -> None:
    """A row of a newer release, or a damaged one, asked for in the same statement as others."""
    bad, good = created("bad"), created("good")
    assert await ledger.commit(bad)
    assert await ledger.commit(good)
    async with session(postgres_database) as look:
        await look.execute("UPDATE payment SET doc = '{' WHERE order_no = 'bad'")
    found = await asyncio.gather(*(ledger.load(change.payment.id) for change in (bad, good)), return_exceptions=True)
    assert isinstance(found[0], msgspec.DecodeError)
    assert found[1] == good.payment


async def test_events_of_a_server_that_had_counted_further_are_shown_after_a_restore(postgres_database: str) -> None:
    """A dump that is read into another server brings places that this one's transactions reach in years."""
    async with opened(postgres_database) as ledger:
        for order_no in ("A-1", "A-2"):
            assert await ledger.commit(created(order_no))
            assert await ledger.commit(paid(payment(order_no)))
        async with session(postgres_database) as look:
            await look.execute("UPDATE event SET pos = (pos::text::bigint + 1000000000)::text::xid8")
        assert (await ledger.events("shop", Page()))[0] == []
        await ledger.start_epoch("another token")
    async with opened(postgres_database) as restored:

        async def all_shown() -> bool:
            events, _ = await restored.events("shop", Page())
            return {event.payment_id for event in events} == {payment(no).id for no in ("A-1", "A-2")}

        await eventually(all_shown)


async def test_places_of_the_feed_are_compared_as_numbers(postgres_database: str, ledger: PostgresLedger) -> None:
    """A transaction's id becomes longer some day: what has place 10 is not before what has place 9."""
    orders = [f"A-{i}" for i in range(12)]
    for order_no in orders:
        assert await ledger.commit(created(order_no))
        assert await ledger.commit(paid(payment(order_no)))
    async with session(postgres_database) as look:
        for i, order_no in enumerate(orders):
            await look.execute(
                "UPDATE event SET pos = $1::text::xid8 WHERE payment_id = $2", str(i + 5), payment(order_no).id
            )
    for limit in (1, 3, 100):
        told: list[str] = []
        after = ""
        while True:
            events, after = await ledger.events("shop", Page(limit=limit, after=after))
            if not events:
                break
            told += (event.payment_id for event in events)
        assert told == [payment(order_no).id for order_no in orders]
