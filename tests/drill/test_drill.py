"""The drill between the other tests: twelve seconds of it. ``make drill`` is the real one."""

from __future__ import annotations

from pathlib import Path

from tests.drill import report
from tests.drill.run import drill
from tests.drill.screen import Screen


async def test_processes_and_the_database_are_killed_and_all_judges_agree(tmp_path: Path) -> None:
    told = await drill(tmp_path, seconds=12, seed=3, rate=0.03, fast=20, screen=Screen())
    assert told.wrong == []
    assert told.audit["findings"] == []
    assert told.audit["books"] > 0
    assert told.kills["PostgreSQL"] >= 1
    assert sum(told.kills.values()) >= 4
    assert told.seen["paid at the channel"] > 0
    assert "<svg" in report.page(told)
    assert report.summary(told)["wrong"] == 0
