"""A centre for each test, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from oncepay.engine.audit import Wanted, audit
from tests.sandbox.vectors import vector_keys
from tests.spec.centre import Town, open_town


@pytest.fixture(params=["sqlite", "postgres"])
async def town(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Town]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/centre.db"
    else:
        url = request.getfixturevalue("postgres_database")
    async with open_town(url, vector_keys()) as town:
        yield town
        report = await audit(town.engine.ledger, Wanted(late_ms=10**12), town.now_ms)
        assert not report.findings, "whatever happened, the audit finds the money as promised"
