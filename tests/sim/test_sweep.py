"""A death at every point of a story, and at pairs of them."""

from __future__ import annotations

import pytest

from oncepay.testing.sim import sweep
from oncepay.testing.sim.run import report
from oncepay.testing.sim.sweep import CORE, Story


@pytest.mark.parametrize("story", CORE, ids=lambda story: story.name)
def test_a_death_at_any_point_breaks_nothing(story: Story) -> None:
    way = sweep.ways()[CORE.index(story) % len(sweep.ways())]
    swept = sweep.singles(story, way)
    assert [line for found in swept.failed for line in report(found)] == []
    assert swept.points >= 30
    assert swept.runs == swept.points + 1


@pytest.mark.parametrize("story", [CORE[3], CORE[7]], ids=lambda story: story.name)
def test_a_second_death_in_the_recovery_from_the_first_breaks_nothing(story: Story) -> None:
    swept = sweep.pairs(story, sweep.ways()[-1], count=20, processes=2)
    assert [line for found in swept.failed for line in report(found)] == []


def test_a_death_happens_where_it_was_asked_for() -> None:
    found = sweep.play(CORE[0], sweep.ways()[0], crash_at=(5,))
    assert found.crashed_at == [5]
    assert not found.complaints
