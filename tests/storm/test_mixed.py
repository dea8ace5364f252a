"""The storm over all channels, small and mild, so that it fits between other tests: ``make storm`` is the real one."""

from __future__ import annotations

from pathlib import Path

from tests.storm.mixed import storm


async def test_a_storm_over_all_channels_ends_with_books_that_agree(tmp_path: Path) -> None:
    wrong, seen = await storm(payments=60, seed=11, rate=0.02, home=tmp_path)
    assert wrong == []
    assert sum(count for what, count in seen.items() if what.startswith("ended ")) == 60
    assert sum(count for what, count in seen.items() if what.startswith("fault: ")) > 20
