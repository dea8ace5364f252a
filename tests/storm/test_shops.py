"""The example shops end a storm with the sandbox's books: told by webhook, by a queue, or by nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers import fresh_database
from tests.storm.examples import SHOPS
from tests.storm.shops import DEATHS, Road, storm

BUYERS = 20


@pytest.fixture(params=SHOPS)
def shop(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def weather(shop: str, road: Road, home: Path, request: pytest.FixtureRequest) -> None:
    """A storm of that kind over that shop, and what it must have come through."""
    if shop == "flask":
        wrong, seen = await storm(shop, road, buyers=BUYERS, seed=11, home=home, database=str(home / "shop.sqlite"))
    else:
        with fresh_database(request.getfixturevalue("postgres_url")) as url:
            wrong, seen = await storm(shop, road, buyers=BUYERS, seed=11, home=home, database=url)
    assert wrong == []
    assert seen["ended paid"] + seen["ended closed"] == BUYERS
    assert seen["died of a submission"] == seen["died of a news"] == DEATHS
    assert seen["the centre was killed"] == 2


async def test_told_by_webhook(shop: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    await weather(shop, "webhook", tmp_path, request)


async def test_told_by_nobody(shop: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Webhooks and queues are switched off: the watch alone brings every order to its end."""
    await weather(shop, "watch", tmp_path, request)
