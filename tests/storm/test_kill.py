"""Processes are killed in the middle of a load, and everything that was paid is paid once, kept once and told."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest

from oncepay.testing.servers import PostgresServer, fresh_database
from tests.storm.town import Town, call

ORDERS = [f"K-{n}" for n in range(200)]


async def load(town: Town, orders: list[str], in_flight: int = 24) -> None:
    room = asyncio.Semaphore(in_flight)
    headers = {"Authorization": f"Bearer {town.key}"}
    timeout = aiohttp.ClientTimeout(total=12)
    # A kept connection may be just being closed when the load has stood still for longer than the sandbox keeps it.
    fresh = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout, connector=fresh) as session:

        async def one(order_no: str) -> None:
            async with room:
                await town.buyer(session, order_no)

        async with asyncio.TaskGroup() as group:
            for order_no in orders:
                group.create_task(one(order_no))


async def kills(town: Town, at: tuple[int, ...]) -> None:
    """Kill the centre each time that so many orders were acknowledged, and start it again."""
    for count in at:
        while len(town.created) < count:  # noqa: ASYNC110 - the load is the clock here
            await asyncio.sleep(0.002)
        town.kill_centre()
        town.start_centre()


@pytest.mark.parametrize("database", ["sqlite", "postgres", "postgres with two workers"])
async def test_killed_in_the_middle_of_200_payments(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if database == "sqlite":
        town = Town(tmp_path, f"sqlite:///{tmp_path}/centre.db")
    else:
        serve = ("--workers", "2") if "two" in database else ()
        with fresh_database(request.getfixturevalue("postgres_url")) as url:
            await play(Town(tmp_path, url, serve), kill_at=(20, 70, 130))
            return
    await play(town, kill_at=(20, 70, 130))


async def play(town: Town, kill_at: tuple[int, ...], *, notify: bool = True) -> None:
    await town.open(notify=notify)
    try:
        killing = asyncio.create_task(kills(town, kill_at))
        await load(town, ORDERS)
        await killing
        await town.told(ORDERS)
        town.agree(ORDERS)
    finally:
        await town.close()


async def test_killed_with_notifications_switched_off_altogether(tmp_path: Path) -> None:
    """The first query, ten seconds after the start, finds what was paid."""
    await play(Town(tmp_path, f"sqlite:///{tmp_path}/centre.db"), kill_at=(50, 150), notify=False)


async def test_the_database_server_is_killed_and_returns(tmp_path: Path) -> None:
    with PostgresServer() as server, fresh_database(server.url) as url:
        town = Town(tmp_path, url)
        await town.open()
        try:
            loading = asyncio.create_task(load(town, ORDERS))
            for count in (30, 110):
                while len(town.created) < count and not loading.done():  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.002)
                server.kill9()
                refused = ""
                while not refused:
                    try:
                        call("GET", f"{town.url}/readyz")
                    except ValueError as error:
                        refused = str(error)
                assert refused.startswith("503")
                call("GET", f"{town.url}/livez")
                server.restart()
            await loading
            await town.told(ORDERS)
            town.agree(ORDERS)
        finally:
            await town.close()
