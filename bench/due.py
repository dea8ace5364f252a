"""What waiting costs: a poll that finds nothing, and a million due payments claimed, also with an old snapshot open."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Any

import msgspec

from bench.places import cpu_s
from oncepay.domain.ids import payment_id
from oncepay.domain.payment import Payment
from oncepay.store.open import open_ledger
from oncepay.testing.servers import PostgresServer

BATCH = 1_000


async def measure(url: str, server: PostgresServer | None, rows: int) -> dict[str, float]:
    """Microseconds of CPU; the database's included."""
    ledger = await open_ledger(url, token=lambda: secrets.token_hex(16))
    try:
        nothing = await _polls(ledger, server)
        await _fill(url, server, rows)
        claimed = await _claim(ledger, server, rows // 2)
        old: Any = None
        if server is not None:
            old = await _old_snapshot(server)
        held = await _claim(ledger, server, rows // 2, lease_ms=3_000_000)
        if old is not None:
            await old.close()
    finally:
        await ledger.close()
    return {"poll_us": nothing, "claim_us_per_row": claimed, "claim_us_per_row_old_snapshot": held}


def _cpu(server: PostgresServer | None) -> float:
    return time.process_time() + (cpu_s(server.processes()) if server else 0.0)


async def _polls(ledger: Any, server: PostgresServer | None) -> float:
    await ledger.claim_due(1, 2, BATCH)
    before = _cpu(server)
    for _ in range(200):
        await ledger.claim_due(1, 2, BATCH)
    return round((_cpu(server) - before) * 1e6 / 200, 1)


def _row(index: int) -> Payment:
    return Payment(
        id=payment_id("bench", "shop", f"due-{index}"), app="shop", order_no=f"due-{index}", minor=8800, currency="CNY",
        subject="Tea", created_ms=1_000, deadline_ms=9_000_000_000_000,
    )  # fmt: skip


COLUMNS = "id, app_id, order_no, status, currency, minor, subject, created_ms, rev, version, due_ms, change_id, doc"


async def _fill(url: str, server: PostgresServer | None, rows: int) -> None:
    """Due rows, put in past the ledger: a million changes would only measure changes."""

    def record(i: int) -> tuple[Any, ...]:
        p = _row(i)
        doc = msgspec.json.encode(p).decode()
        return (p.id, "shop", p.order_no, "open", "CNY", 8800, "Tea", 1_000, 1, 0, 1_000 + i, f"{i:032d}", doc)

    if server is None:
        import apsw

        db = apsw.Connection(url.removeprefix("sqlite:///"))
        db.execute("PRAGMA busy_timeout=10000")
        marks = ",".join("?" * 13)
        with db:
            db.executemany(f"INSERT INTO payment ({COLUMNS}) VALUES ({marks})", (record(i) for i in range(rows)))
        db.close()
        return
    import asyncpg

    pg: Any = await asyncpg.connect(url)
    for first in range(0, rows, 50_000):
        records = [record(i) for i in range(first, min(first + 50_000, rows))]
        await pg.copy_records_to_table("payment", records=records, columns=COLUMNS.split(", "))
    await pg.execute("ANALYZE payment")
    await pg.close()


async def _claim(ledger: Any, server: PostgresServer | None, rows: int, lease_ms: int = 2_000_000_000) -> float:
    before, done = _cpu(server), 0
    while done < rows:
        batch = await ledger.claim_due(1_500_000_000, 1_600_000_000 + lease_ms, BATCH)
        if not batch:
            break
        done += len(batch)
        await asyncio.sleep(0)
    return round((_cpu(server) - before) * 1e6 / max(done, 1), 1)


async def _old_snapshot(server: PostgresServer) -> Any:
    import asyncpg

    db: Any = await asyncpg.connect(server.url)
    await db.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    await db.execute("SELECT count(*) FROM meta")
    return db
