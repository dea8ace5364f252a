"""Brokers and shops for the consumers' tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.client.guards.conftest import (
    guards_mariadb,
    guards_postgres,
    mariadb_url,
    pytest_asyncio_loop_factories,
    where,
)
from tests.client.queues.brokers import KINDS, Broker, KafkaBroker, RabbitBroker, RedisBroker, name

__all__ = ["guards_mariadb", "guards_postgres", "mariadb_url", "pytest_asyncio_loop_factories", "where"]

MAKERS: dict[str, tuple[str, Callable[..., Broker]]] = {
    "redis": ("durable_valkey", RedisBroker),
    "rabbitmq": ("rabbitmq_server", RabbitBroker),
    "kafka": ("kafka_mock", KafkaBroker),
}


@pytest.fixture(params=KINDS)
def broker(request: pytest.FixtureRequest) -> Broker:
    """Each kind, with a queue of this test's own; it may be taken down."""
    fixture, make = MAKERS[request.param]
    return make(request.getfixturevalue(fixture), name())


@pytest.fixture
def fitting_way(request: pytest.FixtureRequest) -> str:
    """Threads or a loop, in turn: the brokers do not care, and both desks are seen."""
    return {"redis": "asyncpg", "rabbitmq": "sqlite3", "kafka": "asyncpg"}[request.node.callspec.params["broker"]]


@pytest.fixture
def rabbit(request: pytest.FixtureRequest) -> RabbitBroker:
    return RabbitBroker(request.getfixturevalue("rabbitmq_server"), name())


@pytest.fixture
def stream(request: pytest.FixtureRequest) -> RedisBroker:
    return RedisBroker(request.getfixturevalue("durable_valkey"), name())
