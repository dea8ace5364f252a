"""The small worlds hold, a failure is a story for people, and the walk itself can be relied on."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from oncepay.domain.attempt import CREATED, OVER, TRANSITIONS, Attempt, Fact
from oncepay.domain.capabilities import H
from oncepay.domain.payment import Payment, PaymentStatus, Refund
from oncepay.domain.plan import plan
from oncepay.testing.explore import WORLDS, Failure, Small, __main__, core, diagrams, explore
from oncepay.testing.explore.judge import GRAPH
from oncepay.testing.explore.planted import PLANTED, without
from oncepay.testing.explore.walk import Walk
from oncepay.testing.explore.world import FAR_MS, NOW_MS
from oncepay.testing.explore.worlds import QUICK

CONCEPTS = Path(__file__).parents[2] / "docs" / "concepts.md"
T = TypeVar("T", Payment, Attempt, Refund)
SMALL = Small(may=("close", "lost", "payer"))


@pytest.mark.parametrize("name", QUICK)
def test_every_state_keeps_the_promises_and_can_end_right(name: str) -> None:
    found = explore(WORLDS[name])
    assert found.states > 900
    assert found.ends > 200


@pytest.mark.parametrize("name", PLANTED)
def test_a_rule_that_is_taken_out_shows(name: str) -> None:
    rule = PLANTED[name]
    explore(rule.small)  # with it, all is well
    with without(rule), pytest.raises(Failure) as failure:
        explore(rule.small)
    assert rule.says in failure.value.why


def story_without(name: str) -> list[str]:
    with without(PLANTED[name]), pytest.raises(Failure) as failure:
        explore(PLANTED[name].small)
    return str(failure.value).splitlines()


STORY = """\
100 went back for the refund of 50.
  1. A shop asks for 100. The centre commits to calling the channel for a code.
  2. The request for the code of the first attempt reaches the channel; its answer: it is there, and nothing has moved. \
Now for the centre the first attempt is known to the channel; at the channel the first attempt is unpaid.
  3. A payer pays the first attempt. Now at the channel the first attempt is paid.
  4. The channel's notification of the first attempt arrives. \
Now the payment is paid; for the centre the first attempt has succeeded.
  5. The shop wants to give 50 back. Now 50 is to go back.
  6. The order to carry out the refund of 50 reaches the channel; its answer: it is there, and nothing has moved. \
Now for the centre the refund of 50 is known to the channel; the channel sends 50 back for the refund of 50.
  7. 60 seconds later: The centre commits to the order to carry out the refund of 50, try 2. \
Now for the centre the refund of 50, try 2 is begun.
  8. The order to carry out the refund of 50, try 2 reaches the channel. \
Now the channel sends 50 back for the refund of 50, try 2."""


def test_how_100_went_back_for_50() -> None:
    assert story_without("next number in doubt") == STORY.splitlines()


def test_how_a_page_that_nobody_opened_never_ends() -> None:
    story = story_without("absent never")
    assert story[0] == "917 of 1292 states can never end right; the first of them."
    assert story[2] == "  2. The first attempt is shown to the payer."
    assert story[-1] == "     and so on"
    assert "its answer: it knows no such number (14 times, over 39 days)" in story[-2]


def test_a_core_that_raises_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRANSITIONS, CREATED, {fact: OVER for fact in Fact if fact is not Fact.PENDING})
    with pytest.raises(Failure, match="The core raised KeyError"):
        explore(SMALL)


# -- the walk itself ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def walk() -> Walk:
    walked = Walk(Small(may=("close", "reopen", "payer", "late payer", "refund 60"), late="accept"))
    walked.run()
    return walked


def by(payment: Payment, ms: int) -> Payment:
    """The same, all of it so much later."""

    def later(struct: T) -> T:
        times = {name: getattr(struct, name) for name in core.MS[type(struct)]}
        return msgspec.structs.replace(struct, **{name: at + ms for name, at in times.items() if at})

    attempts = tuple(later(a) for a in payment.attempts)
    return later(msgspec.structs.replace(payment, attempts=attempts, refunds=tuple(later(r) for r in payment.refunds)))


def test_the_core_cannot_tell_when_it_is(walk: Walk) -> None:
    """Why two payments whose times all lie equally far from now may be taken for one."""
    policy = walk.core.policy
    for payment in walk.core.payments[::50]:
        step, later = plan(payment, policy, NOW_MS), plan(by(payment, 5 * H), policy, NOW_MS + 5 * H)
        assert (later.at_ms - 5 * H if later else 0) == (step.at_ms if step else 0)
        assert (later and (later.kind, later.number)) == (step and (step.kind, step.number))


def rank(moments: list[int]) -> list[int]:
    """Each moment's place among all."""
    return [sorted(set(moments)).index(moment) for moment in moments]


def test_time_passes_for_everything_alike_and_only_the_far_past_draws_together(walk: Walk) -> None:
    for pid in range(0, len(walk.core.payments), 50):
        payment = walk.core.payments[pid]
        assert by(walk.core.payments[walk.core.later(pid, H)], H) == payment
        far = walk.core.payments[walk.core.later(pid, 3 * FAR_MS)]
        was, now = ([*core.moments(p)] for p in (payment, far))
        assert rank(was) == rank(now)
        assert max(b - a for a, b in pairwise(sorted({*now, NOW_MS}))) == FAR_MS


def test_the_published_graph_is_walked_and_nothing_else(walk: Walk) -> None:
    status = [walk.core.payments[walk.at(index)[0]].status for index in range(len(walk.keys))]
    ways, first = set(), 0
    for index, end in enumerate(walk.edges_end):
        ways |= {(status[index], status[to]) for to in walk.edges[first:end]}
        first = end
    assert {(a, b) for a, b in ways if a is not b} == set(GRAPH)
    assert {a for a, _ in ways} == set(PaymentStatus)


def test_a_walk_is_the_same_whatever_the_hash_seed_and_in_which_process() -> None:
    def table(seed: str, jobs: str) -> list[str]:
        names = ["late money", "refunds and a person"]
        command = [sys.executable, "-m", "oncepay.testing.explore", "--jobs", jobs, *names]
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        out = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
        return sorted(line.rsplit(maxsplit=1)[0] for line in out.splitlines())

    assert table("1", "1") == table("2", "2")


def test_the_command_fails_with_the_story(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["explore", "late money accepted"])
    assert __main__.main() == 0
    monkeypatch.setitem(TRANSITIONS[OVER], Fact.MOVED, OVER)
    assert __main__.main() == 1
    out = capsys.readouterr().out
    assert "a promise does not hold, see below" in out
    assert "states can never end right; the first of them.\n  1. A shop asks for 100." in out


def test_a_rule_whose_loss_shows_as_something_else_counts_as_not_noticed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rule = PLANTED["silence closes"]
    monkeypatch.setitem(PLANTED, "silence closes", msgspec.structs.replace(rule, says="went back"))
    monkeypatch.setattr(sys, "argv", ["explore", "--planted", "silence closes"])
    assert __main__.main() == 1
    assert "silence closes         NOT NOTICED, but something else: The shop was told" in capsys.readouterr().out
    monkeypatch.setitem(PLANTED, "silence closes", rule)
    assert __main__.main() == 0


def test_a_rule_whose_world_is_broken_anyway_counts_as_not_noticed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["explore", "--planted", "late money unheard"])
    monkeypatch.setitem(TRANSITIONS[OVER], Fact.MOVED, OVER)
    assert __main__.main() == 1
    assert "FAILS WITH ITS RULE, TOO" in capsys.readouterr().out


def test_the_diagrams_are_drawn_from_the_tables() -> None:
    page = CONCEPTS.read_text("utf-8")
    assert diagrams.drawn(page) == page, "run: python -m oncepay.testing.explore.diagrams docs/concepts.md"
    assert page.count("<!-- drawn: ") == len(diagrams.DRAWN)
