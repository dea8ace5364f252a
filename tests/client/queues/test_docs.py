"""The programs of the pages, as they stand: strictly typed, and reading a real queue."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import asyncpg
import pytest
import redis

from oncepay.client.guards import transactions
from tests.client.guards.apps import open_app
from tests.client.guards.books import Where
from tests.client.guards.payments import NOW_MS, Story, event_of
from tests.client.guide import ROOT, complaints_of, program_of
from tests.client.queues.brokers import SECRET, RedisBroker, broken, message_of
from tests.client.queues.shops import until

PROGRAM: Final = program_of("queues.md")
WIRE: Final = (ROOT / "docs" / "wire.md").read_text("utf-8")


def test_the_program_of_the_guide_is_strictly_typed(tmp_path: Path) -> None:
    assert complaints_of(PROGRAM, tmp_path) == ""


def shop_of(stream: RedisBroker, folder: Path) -> dict[str, Any]:
    """What the guide defines, on this stream."""
    text, changed = re.subn(r"rediss://\S+?(?=\")", stream.url, PROGRAM)
    assert changed == 1
    shop: dict[str, Any] = {}
    exec(text.replace("whsec_...", SECRET).replace("shop.db", str(folder / "shop.db")), shop)
    return shop


async def test_the_guide_reads_in_a_thread(stream: RedisBroker, tmp_path: Path) -> None:
    shop = await asyncio.to_thread(shop_of, stream, tmp_path)
    running = asyncio.ensure_future(asyncio.to_thread(shop["consumer"].run))
    await stream.publish(*[message_of(event_of(Story("A-1").pay()))] * 2)

    def shipped() -> list[Any]:
        with shop["begin"]() as db:
            found: list[Any] = db.execute("SELECT order_no FROM shipping").fetchall()
            return found

    async def any_shipped() -> bool:
        return bool(await asyncio.to_thread(shipped))

    await until(any_shipped)
    shop["consumer"].close()
    await running
    assert await asyncio.to_thread(shipped) == [("A-1",)]


async def test_the_guide_reads_in_a_loop(stream: RedisBroker, where: Where, tmp_path: Path) -> None:
    shop = await asyncio.to_thread(shop_of, stream, tmp_path)
    async with (
        open_app("asyncpg", where) as app,
        asyncpg.create_pool(where.postgres(), min_size=1, max_size=4) as pool,
    ):
        await app.run("CREATE TABLE shipping (order_no TEXT)")
        try:
            web = SimpleNamespace(state=SimpleNamespace(begin=transactions.asyncpg(pool)))
            async with shop["lifespan"](web):
                await stream.publish(*[message_of(event_of(Story("A-1").pay()))] * 2)

                async def any_shipped() -> bool:
                    return bool(await app.run("SELECT order_no FROM shipping"))

                await until(any_shipped)
            assert [tuple(row) for row in await app.run("SELECT order_no FROM shipping")] == [("A-1",)]
        finally:
            await app.run("DROP TABLE shipping")


def wire_reader() -> Callable[..., None]:
    """What ``docs/wire.md`` reads a stream with."""
    defined: dict[str, Any] = {}
    exec("\n\n".join(re.findall(r"^```python\n(.*?)^```", WIRE, re.MULTILINE | re.DOTALL)), defined)
    read: Callable[..., None] = defined["read"]
    return read


async def test_ten_lines_without_the_client_read_it_too(stream: RedisBroker) -> None:
    good = message_of(event_of(Story("A-1").pay()), at_ms=NOW_MS - 86_400_000)
    await stream.publish(*broken(good)[:3], good, *broken(good)[4:], good)
    await asyncio.to_thread(_play_wire, stream)


def _play_wire(stream: RedisBroker) -> None:
    done: list[tuple[str, str]] = []
    aside: list[Any] = []
    with redis.Redis.from_url(stream.server_url) as client:
        client.xgroup_create(stream.name, "shop", id="0")
        waits = SimpleNamespace(xreadgroup=lambda *words, block: client.xreadgroup(*words, block=10), xack=client.xack)

        def fails(*_: str) -> None:
            raise RuntimeError("full")

        with pytest.raises(RuntimeError, match="full"):
            wire_reader()(waits, stream.name, SECRET, {}, fails, aside.append)
        wire_reader()(waits, stream.name, SECRET, {}, lambda *deed: done.append(deed), aside.append)
        assert (done, len(aside)) == ([("A-1", "paid")], 4)
        assert client.xpending(stream.name, "shop")["pending"] == 0
