"""A Redis that is killed and wiped in the middle of a load: nothing changes but speed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import redis

from oncepay.testing.servers import fresh_database
from oncepay.testing.services import Service, valkey
from tests.storm.test_kill import ORDERS, load
from tests.storm.town import PATIENCE_S, Town


async def test_killed_and_wiped_in_the_middle_of_200_payments(postgres_url: str, tmp_path: Path) -> None:
    with valkey() as server, fresh_database(postgres_url) as url:
        town = Town(tmp_path, url, ("--no-work",))
        town.settings |= {"ONCEPAY_REDIS_URL": server.url, "ONCEPAY_CALLS_PER_S": "200", "ONCEPAY_LOG_LEVEL": "INFO"}
        await town.open()
        worker = town._start("work")
        try:
            async with asyncio.timeout(PATIENCE_S):
                while "wake.listening" not in (tmp_path / "work.log").read_text():  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.02)
            harming = asyncio.create_task(harm(town, server))
            await load(town, ORDERS)
            await harming
            await town.told(ORDERS)
            town.agree(ORDERS)
            assert "limits.alone" in (tmp_path / "serve.log").read_text(), "it was missed"
            assert (tmp_path / "work.log").read_text().count("wake.listening") >= 2, "it was found again"
        finally:
            worker.terminate()
            worker.wait(60)
            await town.close()


async def harm(town: Town, server: Service) -> None:
    """Wiped, killed and brought back, by how far the load is."""

    async def acknowledged(count: int) -> None:
        while len(town.created) < count:  # noqa: ASYNC110 - the load is the clock here
            await asyncio.sleep(0.002)

    await acknowledged(30)
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
    await acknowledged(70)
    await asyncio.to_thread(server.kill9)
    await acknowledged(130)
    await asyncio.to_thread(server.start)
