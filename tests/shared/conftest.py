"""A Valkey that a test may kill, wipe and stop; and both ways to wake."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from oncepay.shared import link
from oncepay.testing.services import Service, valkey

PATIENT_S = 2.0


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine an answer comes later than it would be waited for, and then counts as none."""
    monkeypatch.setattr(link, "ANSWER_S", PATIENT_S)


@pytest.fixture
def redis_server() -> Iterator[Service]:
    """A Valkey of this test's own."""
    with valkey() as server:
        yield server
