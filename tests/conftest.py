"""What every test may ask for: a real PostgreSQL, fresh databases, brokers; and the rule that in CI nothing is skipped.

ONCEPAY_TEST_POSTGRES_URL: use this server (a superuser's URL) instead of starting our own.
CI: a skipped test fails.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Generator, Iterator
from typing import TypeVar

import hypothesis
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from oncepay.channels import accounts
from oncepay.store import postgres_link
from oncepay.testing.servers import PostgresServer, fresh_database
from oncepay.testing.services import Service, has_rabbitmq, rabbitmq, valkey
from tests.kafka_mock import KafkaMock

IN_CI = os.environ.get("CI", "").lower() not in {"", "0", "false"}

# No deadline: how long an example takes says more about the neighbours of this machine than about us.
hypothesis.settings.register_profile("oncepay", deadline=None, derandomize=IN_CI, print_blob=True)
hypothesis.settings.load_profile("oncepay")


@pytest.fixture(scope="session", autouse=True)
def each_key_is_checked_once() -> Iterator[None]:
    """Whether numbers are a private key takes up to 50 ms to find out, and a thousand centres have the same three."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accounts, "load_pem_private_key", functools.cache(load_pem_private_key))
        yield


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL with safe settings, one a session; its superuser's URL on the database ``postgres``. On a busy
    machine it may take more than the two seconds to let somebody in after which the centre counts it as away."""
    given = os.environ.get("ONCEPAY_TEST_POSTGRES_URL")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postgres_link, "CONNECT_S", 20.0)
        if given:
            yield given
            return
        with PostgresServer() as server:
            yield server.url


@pytest.fixture
def postgres_database(postgres_url: str) -> Iterator[str]:
    """The URL of a database that is new, empty, and this test's own."""
    with fresh_database(postgres_url) as url:
        yield url


@pytest.fixture(scope="session")
def rabbitmq_node() -> Iterator[Service]:
    """A RabbitMQ, one a session, with what earlier tests left in it: take a queue of your own."""
    if not has_rabbitmq():
        pytest.skip("no RabbitMQ on this machine (Debian: rabbitmq-server)")
    with rabbitmq() as server:
        yield server


@pytest.fixture
def rabbitmq_server(rabbitmq_node: Service) -> Iterator[Service]:
    """The session's RabbitMQ, to be stopped and killed; it runs again afterwards. What it confirmed stays."""
    yield rabbitmq_node
    if not rabbitmq_node.running:
        rabbitmq_node.start()


@pytest.fixture
def durable_valkey() -> Iterator[Service]:
    """A Valkey of this test's own with what it confirmed on disk, to be killed."""
    with valkey(durable=True) as server:
        yield server


@pytest.fixture
def kafka_mock() -> Iterator[KafkaMock]:
    """A broker that speaks Kafka's protocol, of this test's own."""
    with KafkaMock() as mock:
        yield mock


Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def _skips_fail(report: Report) -> Report:
    """In CI a skip is a hole in what was proved, so it fails. (An expected failure also calls itself skipped.)"""
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        why = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"in CI a skip is a failure: {why}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn skipped tests into failures in CI."""
    return _skips_fail((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn skipped modules into failures in CI."""
    return _skips_fail((yield))
