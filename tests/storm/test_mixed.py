"""The storm over all channels, small: what is printed by ``make storm`` for 2,000 payments must hold for these too."""

from __future__ import annotations

from pathlib import Path

from tests.storm.mixed import storm


async def test_a_storm_over_all_channels_ends_with_books_that_agree(tmp_path: Path) -> None:
    wrong, seen = await storm(payments=120, seed=11, rate=0.05, home=tmp_path)
    assert wrong == []
    assert sum(count for what, count in seen.items() if what.startswith("ended ")) == 120
    assert sum(count for what, count in seen.items() if what.startswith("fault: ")) > 200
    assert seen["refund of surplus: done"] > 0, "somebody paid twice"
