"""Whoever dies between the app's write and the answer has done it once, or not at all; and the next one knows which."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest
import redis

from oncepay.client.guards import Submission, SubmissionGuard
from oncepay.client.guards.redis_door import RedisDoor
from oncepay.testing.servers import wait_until
from tests.client.guards.apps import WRITE_ORDER, App, ThreadApp, open_app
from tests.client.guards.books import Where
from tests.client.guards.dying import CART
from tests.client.guards.payments import Story, event_of

ROOT: Final = Path(__file__).parents[3]

on_each = pytest.mark.parametrize("kind", ["sqlite3", "psycopg", "pymysql", "sqlalchemy-psycopg", "django"])
at_each_moment = pytest.mark.parametrize("when", ["inside", "after"])


async def dies(kind: str, where: Where, what: str, when: str, redis_url: str = "") -> None:
    """A process does it and is killed."""
    url = "" if kind == "sqlite3" else where.mariadb() if "pymysql" in kind else where.postgres()
    command = [sys.executable, "-m", "tests.client.guards.dying", kind, str(where.folder), url, redis_url, what, when]
    done = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


@on_each
@at_each_moment
async def test_news_are_taken_in_once(kind: str, when: str, where: Where) -> None:
    event = event_of(Story().pay())
    async with open_app(kind, where) as app:
        await dies(kind, where, "take", when)
        assert await app.deeds() == ({} if when == "inside" else {"paid": 1})
        assert await app.take(event) == (("paid",) if when == "inside" else ())
        assert await app.deeds() == {"paid": 1}


@on_each
@at_each_moment
async def test_an_order_is_made_once(kind: str, when: str, where: Where) -> None:
    async with open_app(kind, where) as app:
        await dies(kind, where, "submit", when)
        app.clock.ms = time.time_ns() // 1_000_000  # as it was for who died
        first = when == "inside"
        assert await app.submit(CART, "A-2", lambda: None) == Submission(
            order_no="A-2" if first else "A-1", first=first
        )
        assert len(await app.orders()) == 1


@at_each_moment
async def test_a_key_that_was_left_in_redis_is_gone_by_itself(when: str, where: Where, redis_url: str) -> None:
    async with open_app("psycopg", where) as app:
        with redis.Redis.from_url(redis_url) as client:
            client.flushdb()
            await dies("psycopg", where, "submit", when, redis_url)
            said = await asyncio.to_thread(_submit_until_known, app, client)
        assert said == Submission(order_no="A-2" if when == "inside" else "A-1", first=when == "inside")
        assert len(await app.orders()) == 1


def _submit_until_known(app: App, client: redis.Redis) -> Submission:
    assert isinstance(app, ThreadApp)
    books = app.books
    guard = SubmissionGuard(books.begin, door=RedisDoor(client, when_down="refuse"))
    said: list[Submission] = []

    def known() -> bool:
        said.append(guard.once(CART, "A-2", lambda within: books.write(within, WRITE_ORDER, "A-2")))
        return not said[-1].creating

    wait_until(known, 60)
    return said[-1]
