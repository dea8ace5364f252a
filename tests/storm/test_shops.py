"""The example shops end a storm with the sandbox's books: told by webhook, by a queue, or by nobody."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path

import pytest

from oncepay.testing.servers import fresh_database
from oncepay.testing.services import valkey
from tests.storm.examples import SHOPS
from tests.storm.shops import DEATHS, Road, storm

BUYERS = 20


@pytest.fixture(params=SHOPS)
def shop(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def weather(shop: str, road: Road, home: Path, request: pytest.FixtureRequest) -> Counter[str]:
    """A storm of that kind over that shop: what it has come through, with all books agreeing at the end."""
    with contextlib.ExitStack() as stack:
        database = str(home / "shop.sqlite")
        if shop != "flask":
            database = stack.enter_context(fresh_database(request.getfixturevalue("postgres_url")))
        broker = stack.enter_context(valkey(durable=True)) if road == "queue" else None
        wrong, seen = await storm(shop, road, buyers=BUYERS, seed=11, home=home, database=database, broker=broker)
    assert wrong == []
    assert seen["ended paid"] + seen["ended closed"] == BUYERS
    assert seen["died of a submission"] == DEATHS
    assert seen["the centre was killed"] == 2
    return seen


async def test_told_by_webhook(shop: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    seen = await weather(shop, "webhook", tmp_path, request)
    assert seen["died of a news"] == DEATHS
    assert seen["news doubled"] > 0
    assert seen["news lost"] > 0


async def test_told_by_a_queue(shop: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    seen = await weather(shop, "queue", tmp_path, request)
    assert seen["died of a message"] == DEATHS
    assert seen["the broker was killed"] == 2
    assert seen["news told again"] > 0


async def test_told_by_nobody(shop: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Webhooks and queues are switched off: the watch alone brings every order to its end."""
    seen = await weather(shop, "watch", tmp_path, request)
    assert seen["died of a news"] == DEATHS
