"""Databases and a Redis for the guards' tests."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from oncepay.testing.servers import fresh_database
from oncepay.testing.services import Service, valkey
from tests.client.guards.books import Where
from tests.services import has_mariadb, mariadb


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """One kind of loop: what is told apart here is the kind of database."""
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture(scope="session")
def mariadb_url() -> Iterator[str]:
    """A MariaDB; its root's URL."""
    if given := os.environ.get("ONCEPAY_TEST_MARIADB_URL"):
        yield given
        return
    if not has_mariadb():
        pytest.skip("no mariadbd on this machine (Debian: mariadb-server), and no ONCEPAY_TEST_MARIADB_URL")
    with mariadb() as server:
        yield server.url


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Valkey, or what ONCEPAY_TEST_REDIS_URL names: of that a database for each process of the tests, to be emptied."""
    if given := os.environ.get("ONCEPAY_TEST_REDIS_URL"):
        parts = urlsplit(given)
        number = int(parts.path.strip("/") or 0) + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        yield urlunsplit(parts._replace(path=f"/{number}"))
        return
    with valkey() as server:
        yield server.url


@pytest.fixture
def redis_server() -> Iterator[Service]:
    """A Valkey of this test's own, to be killed."""
    with valkey() as server:
        yield server


@pytest.fixture(scope="session")
def guards_postgres(postgres_url: str) -> Iterator[str]:
    """A database in PostgreSQL for the guards; who opens it finds its tables empty."""
    with fresh_database(postgres_url) as url:
        yield url


@pytest.fixture(scope="session")
def guards_mariadb(mariadb_url: str) -> Iterator[str]:
    """The same in MariaDB."""
    with _fresh_mariadb(mariadb_url) as url:
        yield url


@pytest.fixture
def where(tmp_path: Path, request: pytest.FixtureRequest) -> Where:
    """What there is to connect to."""
    return Where(
        tmp_path,
        lambda: str(request.getfixturevalue("guards_postgres")),
        lambda: str(request.getfixturevalue("guards_mariadb")),
    )


@contextmanager
def _fresh_mariadb(url: str) -> Iterator[str]:
    """A new empty database there, dropped afterwards."""
    import pymysql

    place = urlsplit(url)
    name = f"oncepay_{secrets.token_hex(8)}"
    with closing(pymysql.connect(host=place.hostname, port=place.port, user=place.username, ssl_disabled=True)) as link:
        cursor = link.cursor()
        cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        yield f"{url.rstrip('/')}/{name}"
        cursor.execute(f"DROP DATABASE {name}")
