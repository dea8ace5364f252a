"""The rows that a payment leaves in the ledger, and the bare loop that writes the same: into the tables and indexes of
the ledger's own migrations, a group of payments a transaction, a transaction for each durable change, and nothing
looked at, locked or decided.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import apsw

from bench.places import cpu_s
from oncepay.domain.ids import payment_id
from oncepay.store.open import open_ledger
from oncepay.testing.servers import PostgresServer

GROUP = 64
GROUPS = 125  # as many payments as a run at saturation has: an index page holds many keys, and each dirties its own
CHILDREN = ("attempt", "credential", "evidence", "raw", "event", "delivery")
MOVED = ("status", "minor", "rev", "version", "due_ms", "change_id", "doc")  # of a payment's row, with each change

Row = dict[str, Any]


class Rows(NamedTuple):
    """Those of one payment: its own, and by table those that hang on it. ``kinds``: PostgreSQL's types, by its name."""

    payment: Row
    children: dict[str, list[Row]]
    kinds: dict[str, str]


class Statement(NamedTuple):
    """What is run for a group: the values stand by row."""

    table: str
    columns: tuple[str, ...]
    values: list[tuple[Any, ...]]
    verb: str = "insert"


async def left_by(url: str, channel: str) -> Rows:
    """The rows of a paid payment of this channel, as they lie in a database that a centre has filled."""
    read = await _reader(url)
    payment = (
        await read(f"SELECT p.* FROM payment p JOIN attempt a ON a.payment_id = p.id WHERE p.status = 'paid'"
                   f" AND a.account_id = '{channel}' LIMIT 1")
    )[0]  # fmt: skip
    children = {table: await read(f"SELECT * FROM {table} WHERE payment_id = '{payment['id']}'") for table in CHILDREN}
    kinds: dict[str, str] = {}
    if not url.startswith("sqlite"):
        named = "SELECT table_name || '.' || column_name AS name, data_type AS kind FROM information_schema.columns"
        kinds = {row["name"]: row["kind"] for row in await read(f"{named} WHERE table_schema = 'public'")}
    return Rows(payment, children, kinds)


async def _reader(url: str) -> Any:
    if url.startswith("sqlite"):
        db = apsw.Connection(url.removeprefix("sqlite:///"))
        db.row_trace = lambda cursor, row: dict(zip((c[0] for c in cursor.get_description()), row, strict=True))

        async def rows(sql: str) -> list[Row]:
            return list(db.execute(sql))

        return rows
    import asyncpg

    pg: Any = await asyncpg.connect(url)

    async def records(sql: str) -> list[Row]:
        return [dict(record) for record in await pg.fetch(sql)]

    return records


def transactions(rows: Rows, first: int) -> Iterator[list[Statement]]:
    """A group's, in order: one for each revision, and one that marks the deliveries."""
    ids = [payment_id("floor", rows.payment["app_id"], str(first + i)) for i in range(GROUP)]
    for rev in range(1, rows.payment["rev"] + 1):
        payment = rows.payment | {"rev": rev}
        if rev == 1:
            yield [_inserted("payment", payment, ids, key="id"), *_hanging(rows, rev, ids)]
        else:
            moved = [(*(payment[name] for name in MOVED), i, rev - 1) for i in ids]
            yield [Statement("payment", MOVED, moved, "update"), *_hanging(rows, rev, ids)]
    told = [(i, d["version"], d["endpoint_id"]) for i in ids for d in rows.children["delivery"]]
    yield [Statement("delivery", ("payment_id", "version", "endpoint_id"), told, "mark")]


def _hanging(rows: Rows, rev: int, ids: list[str]) -> Iterator[Statement]:
    """What is written with a revision: an attempt with the first, an event and its delivery with the last."""
    last = rows.payment["rev"]
    for table, found in rows.children.items():
        for row in found:
            of = row.get("rev", {"attempt": 1, "credential": 2}.get(table, last))
            if of == rev:
                yield _inserted(table, row, ids, key="payment_id")


def _inserted(table: str, row: Row, ids: list[str], key: str) -> Statement:
    columns = tuple(name for name in row if name != "pos")  # the feed's place: the database gives it
    at = columns.index(key)
    values = tuple(row[name] for name in columns)
    return Statement(table, columns, [(*values[:at], i, *values[at + 1 :]) for i in ids])


async def sqlite_ms(rows: Rows, url: str) -> float:
    """Milliseconds of CPU a payment, synchronous=FULL. ``url``: of a file that is not there yet."""
    await (await open_ledger(url, token=lambda: secrets.token_hex(16))).close()
    db = apsw.Connection(url.removeprefix("sqlite:///"))
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        db.execute(f"PRAGMA {pragma}")
    ready = [
        [(_sqlite_text(statement), statement.values) for statement in work]
        for group in range(GROUPS)
        for work in transactions(rows, group * GROUP)
    ]
    started = time.process_time()
    for work in ready:
        db.execute("BEGIN IMMEDIATE")
        for text, values in work:
            db.executemany(text, values)
        db.execute("COMMIT")
    return (time.process_time() - started) * 1000 / (GROUPS * GROUP)


def _sqlite_text(given: Statement) -> str:
    if given.verb == "insert":
        marks = ",".join("?" * len(given.columns))
        return f"INSERT INTO {given.table} ({','.join(given.columns)}) VALUES ({marks})"
    if given.verb == "update":
        return f"UPDATE payment SET {','.join(f'{name}=?' for name in given.columns)} WHERE id=? AND rev=?"
    where = " AND ".join(f"{name}=?" for name in given.columns)
    return f"UPDATE delivery SET status='done', tries=1, due_ms=NULL WHERE {where}"


async def postgres_ms(rows: Rows, server: PostgresServer) -> float:
    """The same on PostgreSQL, an array a column; the server's CPU included."""
    import asyncpg

    await (await open_ledger(server.url, token=lambda: secrets.token_hex(16))).close()
    db: Any = await asyncpg.connect(server.url)
    ready = [
        [(_postgres_text(given, rows.kinds), list(map(list, zip(*given.values, strict=True)))) for given in work]
        for group in range(GROUPS)
        for work in transactions(rows, group * GROUP)
    ]
    mine, theirs = time.process_time(), cpu_s(server.processes())
    for work in ready:
        async with db.transaction():
            for text, columns in work:
                await db.execute(text, *columns)
    used = time.process_time() - mine + cpu_s(server.processes()) - theirs
    await db.close()
    return used * 1000 / (GROUPS * GROUP)


def _postgres_text(given: Statement, kinds: dict[str, str]) -> str:
    names = [*given.columns, *(("key", "was") if given.verb == "update" else ())]
    kinds = kinds | {"payment.key": "text", "payment.was": "bigint"}
    arrays = ",".join(f"${at}::{kinds[f'{given.table}.{name}']}[]" for at, name in enumerate(names, 1))
    if given.verb == "insert":
        return f"INSERT INTO {given.table} ({','.join(names)}) SELECT * FROM unnest({arrays})"
    given_rows = f"FROM unnest({arrays}) u({','.join(names)})"
    if given.verb == "update":
        moved = ",".join(f"{name}=u.{name}" for name in given.columns)
        return f"UPDATE payment p SET {moved} {given_rows} WHERE p.id=u.key AND p.rev=u.was"
    where = " AND ".join(f"d.{name}=u.{name}" for name in given.columns)
    return f"UPDATE delivery d SET status='done', tries=1, due_ms=NULL {given_rows} WHERE {where}"
