"""A Valkey that a test may kill, wipe and stop; and both ways to wake."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from oncepay.testing.services import Service, valkey


@pytest.fixture
def redis_server() -> Iterator[Service]:
    """A Valkey of this test's own."""
    with valkey() as server:
        yield server
