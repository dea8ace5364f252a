"""The judges find what is wrong, or they judge nothing."""

from __future__ import annotations

import pytest

from oncepay.domain.settle import money_in
from oncepay.testing.sim.patching import instead
from oncepay.testing.sim.planted import PLANTED, Planted, caught
from oncepay.testing.sim.run import Outcome, report, run, shrink

RECORDED = {  # a seed that shows it soon, so that a test need not look for one
    "money that comes late is dropped": 37,
    "channels are never asked": 0,
    "the outbox is not in the change's transaction": 0,
    "the guard is not looked at": 2,
    "a refund is tried again beside one in doubt": 9,
    "a switch does not wait for the old attempt's end": 13,
    "the same order again is another payment": 0,
    "a message counts as delivered without its confirm": 4,
    "what is in doubt counts as failed when its time is over": 1,
    "each refund is held against what was paid, not against what is left": 0,
    "an event tells of the payment as it was before": 0,
    "an event that the shop refused counts as delivered": 0,
    "a refund is acknowledged and nothing of it written": 0,
    "a notification makes the centre raise": 0,
    "a change is remembered before it is written": 1,
    "a notification is acknowledged while its change is being written": 0,
}


@pytest.mark.parametrize("bug", PLANTED, ids=lambda bug: bug.name)
def test_a_planted_bug_is_caught(bug: Planted) -> None:
    first = RECORDED[bug.name]
    found = caught(bug, range(first, first + 30))
    assert found is not None, "nobody complained"
    assert not run(found.outcome.seed).complaints, "without the bug the same world is as promised"


def test_a_failure_says_how_to_see_it_again_and_shrinks() -> None:
    bug = next(bug for bug in PLANTED if bug.name == "channels are never asked")
    found = caught(bug, [RECORDED[bug.name]])
    assert found is not None
    with bug.plant():
        smallest = shrink(found.outcome, runs=25)
    assert len(smallest.options.orders) < len(found.outcome.options.orders)
    assert smallest.complaints
    text = "\n".join(report(smallest))
    for word in ("seed 0", "commit ", "lock ", "the story:", "--replay 0 --options '"):
        assert word in text
    assert _replayed(bug, smallest).complaints == smallest.complaints


def _replayed(bug: Planted, found: Outcome) -> Outcome:
    with bug.plant():
        return run(found.seed, found.options)


def test_a_patch_reaches_every_module_and_is_taken_back() -> None:
    from oncepay.domain import hear, settle

    def other(*_: object) -> None:
        """Nothing."""

    with instead(money_in, other):
        assert settle.money_in is other
        assert any(value is other for value in vars(hear).values())
    assert settle.money_in is money_in
    with pytest.raises(LookupError), instead(other, money_in):
        pass
