"""What a wake-up costs and saves: ``python -m bench.wake``.

*Costs*: changes of four processes' ledgers on one PostgreSQL, with NOTIFY nowhere, apart from the commits (as it is
done), and inside each shared commit (by a trigger). *Saves*: how soon a process that works hears of a delivery and of
an app that another process made.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import sys
import time
from contextlib import AsyncExitStack
from typing import Any

from bench.http1 import Sink
from bench.load import quantile
from oncepay.assembly import Centre, assemble
from oncepay.config import Config
from oncepay.engine import admin, pay
from oncepay.engine.close import close
from oncepay.engine.wake import GAP_S, Waking
from oncepay.store.postgres import PostgresLedger, open_postgres
from oncepay.store.postgres_wake import PostgresWake
from oncepay.testing.servers import PostgresServer, fresh_database, run_sql
from oncepay.testing.services import valkey
from tests.store.make import created

LEDGERS = 4
TIMES = 150

TRIGGER = """
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN PERFORM pg_notify('oncepay', 'payments'); RETURN NULL; END $$;
CREATE TRIGGER tell AFTER INSERT ON payment FOR EACH STATEMENT EXECUTE FUNCTION tell();
"""


async def cost(server: PostgresServer, how: str, in_flight: int, seconds: float) -> dict[str, float]:
    """Changes a second, and how long one takes, with so many in flight in each of four ledgers."""
    with fresh_database(server.url) as url:
        ledgers = [await open_postgres(url, token=lambda: secrets.token_hex(16)) for _ in range(LEDGERS)]
        wakes = [PostgresWake(url) for _ in ledgers]
        if how == "inside":
            run_sql(url, TRIGGER)
        took: list[float] = []
        end = time.perf_counter() + seconds

        async def creates(ledger: PostgresLedger) -> None:
            while (started := time.perf_counter()) < end:
                await ledger.commit(created(secrets.token_hex(8)))
                took.append(time.perf_counter() - started)

        async def tells(wake: PostgresWake) -> None:
            while time.perf_counter() < end:
                await wake.tell(["payments"])
                await asyncio.sleep(GAP_S)

        async with asyncio.TaskGroup() as group:
            for ledger, wake in zip(ledgers, wakes, strict=True):
                for _ in range(in_flight):
                    group.create_task(creates(ledger))
                if how == "apart":
                    group.create_task(tells(wake))
        for wake in wakes:
            await wake.close()
        for ledger in ledgers:
            await ledger.close()
    return {"per_s": round(len(took) / seconds), "p50_ms": quantile(took, 0.5), "p99_ms": quantile(took, 0.99)}


async def saved(url: str, redis_url: str, how: str) -> dict[str, float]:
    """From the end of a request in one process to what another does about it."""
    told: asyncio.Queue[float] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    sink = await loop.create_server(lambda: Sink(lambda _: told.put_nowait(time.perf_counter())), "127.0.0.1", 0)
    key = base64.b64encode(b"k" * 32).decode()
    config = Config(database_url=url, master_key=key, redis_url=redis_url, log_level="WARNING")
    deliveries, apps = [], []
    async with AsyncExitStack() as stack:
        asks, works = [await stack.enter_async_context(_Open(config, quiet=how == "none")) for _ in range(2)]
        app, _ = await admin.create_app(asks.engine, "shop", "")
        app = await admin.set_policies(asks.engine, app, private_networks=("127.0.0.0/8",))
        await admin.add_endpoint(asks.engine, app, f"http://127.0.0.1:{sink.sockets[0].getsockname()[1]}/hook")
        asks.start(work=False)
        works.start(work=True)
        await asyncio.sleep(1)
        for index in range(TIMES):
            deadline_ms = asks.engine.clock.now_ms() + 3_600_000
            new = pay.NewPayment(
                order_no=f"{how}-{index}", minor=1, currency="CNY", subject="Tea", deadline_ms=deadline_ms
            )
            shown = await pay.create(asks.engine, app, new, None)
            await close(asks.engine, shown.payment, "keep")
            started = time.perf_counter()
            deliveries.append(await told.get() - started)
            await asyncio.sleep((index % 10) / 50)
        for index in range(TIMES // 5):
            await admin.create_app(asks.engine, f"app-{index}", "")
            started = time.perf_counter()
            while f"app-{index}" not in works.engine.directory.apps():  # noqa: ASYNC110 - another program's state
                await asyncio.sleep(0.001)
            apps.append(time.perf_counter() - started)
    sink.close()
    return {
        "delivery_p50_ms": quantile(deliveries, 0.5),
        "delivery_p99_ms": quantile(deliveries, 0.99),
        "app_p50_ms": quantile(apps, 0.5),
        "app_p99_ms": quantile(apps, 0.99),
    }


class _Open:
    """A centre as a process would have it; ``quiet``: nobody is told anything, as if there were no way to."""

    def __init__(self, config: Config, *, quiet: bool) -> None:
        self._config = config
        self._quiet = quiet

    async def __aenter__(self) -> Centre:
        self.centre = await assemble(self._config)
        if self._quiet:
            engine = self.centre.engine
            await engine.waking.close()
            engine.waking = Waking(None, engine.hub.wake)
        return self.centre

    async def __aexit__(self, *_: object) -> None:
        await self.centre.stop(0)


async def main() -> None:
    """Measure and print."""
    figures: dict[str, Any] = {}
    seconds = float(sys.argv[1]) if sys.argv[1:] else 4.0
    with PostgresServer() as server, valkey() as redis:
        for in_flight in (1, 64):
            for how in ("nowhere", "apart", "inside", "nowhere", "apart", "inside"):
                found = await cost(server, how, in_flight, seconds)
                figures.setdefault(f"notify {how}, {LEDGERS} x {in_flight} in flight", []).append(found)
                print(f"notify {how:8} {LEDGERS} x {in_flight:3} in flight  {found}", flush=True)
        for how, redis_url in (("none", ""), ("postgres", ""), ("redis", redis.url)):
            with fresh_database(server.url) as url:
                figures[how] = await saved(url, redis_url, how)
            print(f"wake by {how:9} {figures[how]}", flush=True)
    print(json.dumps(figures))


if __name__ == "__main__":
    asyncio.run(main())
