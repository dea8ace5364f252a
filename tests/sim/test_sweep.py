"""A death at every point of a story, and at pairs of them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from oncepay.ports import Ledger
from oncepay.store.sqlite_group import GroupWriter
from oncepay.testing.sim import sweep
from oncepay.testing.sim.patching import attribute
from oncepay.testing.sim.polls import Polls
from oncepay.testing.sim.process import READS, WRITES
from oncepay.testing.sim.run import report
from oncepay.testing.sim.sweep import CORE, Story
from oncepay.testing.sim.world import World


@pytest.mark.parametrize("way", sweep.ways())
@pytest.mark.parametrize("story", CORE, ids=lambda story: story.name)
def test_a_death_at_any_point_breaks_nothing(story: Story, way: str) -> None:
    swept = sweep.singles(story, way)
    assert [line for found in swept.failed for line in report(found)] == []
    assert swept.points >= 30
    assert swept.runs == swept.points + 1


@pytest.mark.parametrize("way", sweep.ways())
@pytest.mark.parametrize("story", CORE, ids=lambda story: story.name)
def test_nothing_becomes_durable_but_between_two_points(story: Story, way: str) -> None:
    """Or the sweep would leave something out. Marks ride with a later commit: the point before that is theirs."""
    outside: list[str] = []
    worlds: list[World] = []
    real_init, real_write, real_written = World.__init__, GroupWriter.write_group, Polls.written
    only_marks = False

    def init(self: World, *given: Any) -> None:
        worlds.append(self)
        real_init(self, *given)

    async def write_group(self: GroupWriter, group: list[Any], marks: list[Any]) -> list[Any]:
        nonlocal only_marks
        only_marks = not group
        done = await real_write(self, group, marks)
        only_marks = False
        return done

    def written(self: Polls) -> None:
        so_far = [what for _, _, what in worlds[-1].trace]
        points = Counter(so_far)
        under_way = any(points[f"before {name}"] > points[f"after {name}"] for name in WRITES)
        riding = only_marks and points["after mark_deliveries"] > 0
        if so_far and not under_way and not riding:  # the very first only looks whether there is something to migrate
            outside.append(so_far[-1])
        real_written(self)

    with (
        attribute(World, "__init__", init),
        attribute(GroupWriter, "write_group", write_group),
        attribute(Polls, "written", written),
    ):
        whole = sweep.play(story, way)
    assert not whole.complaints
    assert outside == []


def test_every_method_of_the_ledger_has_points_or_only_reads() -> None:
    named = {name for name in vars(Ledger) if not name.startswith("_")}
    assert named - {"close", "start_epoch"} == WRITES | READS  # the epoch is started by an operator, after a restore


@pytest.mark.parametrize("story", [CORE[3], CORE[7]], ids=lambda story: story.name)
def test_a_second_death_in_the_recovery_from_the_first_breaks_nothing(story: Story) -> None:
    swept = sweep.pairs(story, sweep.ways()[-1], count=20, processes=2)
    assert [line for found in swept.failed for line in report(found)] == []


def test_a_short_story_has_fewer_points_than_pairs_were_asked_for() -> None:
    story, way = CORE[0], sweep.ways()[0]
    swept = sweep.pairs(story, way, count=100)
    assert swept.points < 50
    assert swept.runs == 1 + 100 + swept.points
    assert not swept.failed


def test_a_death_happens_where_it_was_asked_for() -> None:
    found = sweep.play(CORE[0], sweep.ways()[0], crash_at=(5,))
    assert found.crashed_at == [5]
    assert not found.complaints
