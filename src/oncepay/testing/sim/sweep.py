"""The crash sweep: in each story every durable write and every outside call has a number, before and after (and on its
way). The story is played once for each number, with a death there; and for pairs of them."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import Any, Final, NamedTuple

from oncepay.testing.sim.ground import ground
from oncepay.testing.sim.options import Options
from oncepay.testing.sim.payers import Payer
from oncepay.testing.sim.run import Outcome, collected, freeze, outcome, quietly, report
from oncepay.testing.sim.world import World

SEED: Final = 0


class Story(NamedTuple):
    """What one payer does. ``once``: faults of the sandbox, each once. ``refund``: they want some of it back."""

    name: str
    script: str
    once: tuple[dict[str, Any], ...] = ()
    refund: bool = False
    late: str = "refund"
    unclosable: str = "switch"


CORE: Final = (
    Story("pays", "pays"),
    Story("pays, and the answer to the first call is lost", "pays", ({"fault": "drop_after", "call": "prepay"},)),
    Story("pays, and no notification comes", "pays", ({"fault": "notify_none"}, {"fault": "notify_none"})),
    Story("pays, and wants some back", "pays", (), refund=True),
    Story(
        "wants some back, and the answer to that is lost", "pays", ({"fault": "drop_after", "call": "refund"},),
        refund=True,
    ),
    Story("wants some back, and the channel cannot", "pays", ({"fault": "refund_closed"},), refund=True),
    Story("pays twice by the same", "pays twice"),
    Story("switches and pays both", "switches and pays both"),
    Story("switches and pays the first", "switches and pays the first"),
    Story("switches where it must wait", "switches and pays", unclosable="wait"),
    Story("leaves", "leaves"),
    Story("comes late", "comes late", ({"fault": "pay_after_close"},)),
    Story("comes late and is taken", "comes late", ({"fault": "pay_after_close"},), late="accept"),
    Story("closes", "closes"),
    Story("closes while it is paid", "closes and pays", ({"fault": "paid_during_close"},)),
    Story("closes and wants it back", "closes and wants it back"),
    Story(
        "pays what was closed, and no notification comes", "closes and pays",
        ({"fault": "pay_after_close"}, {"fault": "notify_none"}),
    ),
    Story("closes, reopens, pays", "closes, reopens, pays"),
)  # fmt: skip


def ways() -> list[str]:
    """One way of each channel; the first, which is a page or an app where there is one, and else a code."""
    found: dict[str, str] = {}
    for channel, method, _ in ground().ways:
        found.setdefault(channel, f"{channel} {method}")
    return list(found.values())


def play(story: Story, way: str, crash_at: tuple[int, ...] = (), processes: int = 1) -> Outcome:
    """One story, with deaths at these points."""
    options = Options(orders=(0,), processes=processes, crash_at=crash_at, late=story.late, unclosable=story.unclosable)

    def people(world: World) -> list[Payer]:
        world.sandbox.faults.replace({"once": [dict(fault) for fault in story.once]})
        return [Payer(world, 0, story.script, way, refund=story.refund)]

    world = World(SEED, options, people)
    with quietly():
        complaints = world.run()
    return outcome(world, complaints)


class Swept(NamedTuple):
    """What came of a story. ``points``: how many it has. ``failed``: where a death broke a promise."""

    story: Story
    way: str
    points: int
    runs: int
    failed: list[Outcome]


def singles(story: Story, way: str) -> Swept:
    """A death at every point."""
    whole = play(story, way)
    numbers = [(n,) for n in range(1, whole.points + 1)]
    return _all(story, way, whole, numbers, 1)


def pairs(story: Story, way: str, count: int, processes: int = 1) -> Swept:
    """So many pairs of deaths, drawn: the second may well strike the recovery from the first."""
    dice = Random(f"{story.name}:{way}")
    whole = play(story, way, (), processes)
    drawn = [tuple(sorted(dice.sample(range(1, whole.points + 1), 2))) for _ in range(count)]
    first = dice.sample(range(1, whole.points + 1), min(count // 2, whole.points))
    drawn += [(n, n + 1 + dice.randrange(12)) for n in first]
    return _all(story, way, whole, drawn, processes)


def _all(story: Story, way: str, whole: Outcome, numbers: Iterable[tuple[int, ...]], processes: int) -> Swept:
    failed = [whole] if whole.complaints else []
    runs = 1
    with collected():
        for crash_at in numbers:
            found = play(story, way, crash_at, processes)
            runs += 1
            if found.complaints:
                failed.append(found)
            gc.collect()
    return Swept(story, way, whole.points, runs, failed)


def main(count: int, say: Callable[[str], None]) -> int:
    """All stories, each on one way of every channel. ``count``: pairs of each. 0 when nothing broke."""
    ground()
    freeze()
    began, runs, failed = time.monotonic(), 0, 0
    for story in CORE:
        for way in ways():
            for swept in _sweeps(story, way, count):
                runs += swept.runs
                failed += len(swept.failed)
                say(f"{swept.points:5} points {swept.runs:6} runs {len(swept.failed):4} failed  {story.name} ({way})")
                for found in swept.failed[:1]:
                    for line in report(found):
                        say(f"    {line}")
    say(f"{runs:,} runs in {time.monotonic() - began:.0f} s, {failed} failed")
    return 1 if failed else 0


def _sweeps(story: Story, way: str, count: int) -> Iterator[Swept]:
    yield singles(story, way)
    if count:
        yield pairs(story, way, count, processes=2)
