"""The ledger on each of its databases: a test that takes ``ledger`` runs on all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from oncepay.domain.change import Change
from oncepay.domain.payment import Payment
from oncepay.ports import Ledger
from oncepay.store.open import open_ledger

DATABASES = ("sqlite", "memory", "postgres")
TOKEN = "t" * 32
WITHIN_S = 10.0


@pytest.fixture(params=DATABASES)
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database that is new, empty, and this test's own."""
    match request.param:
        case "sqlite":
            return f"sqlite:///{tmp_path}/ledger.db"
        case "memory":
            return "sqlite://:memory:"
        case _:
            url: str = request.getfixturevalue("postgres_database")
            return url


@pytest.fixture
async def ledger(ledger_url: str) -> AsyncIterator[Ledger]:
    """An open ledger, new and empty."""
    opened = await open_ledger(ledger_url, token=lambda: TOKEN)
    yield opened
    await opened.close()


async def eventually(true: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition: a mark that rides with the next group, an event that no running transaction can precede."""
    async with asyncio.timeout(WITHIN_S):
        while not await true():  # noqa: ASYNC110 - the condition is a database's
            await asyncio.sleep(0.005)


async def have(ledger: Ledger, *changes: Change) -> Payment:
    """Commit them; the payment as the last one leaves it."""
    for change in changes:
        assert await ledger.commit(change)
    return changes[-1].payment
