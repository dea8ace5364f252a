"""The small worlds hold, and a rule taken out is noticed with a story that leads there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from oncepay.domain import commands, hear, plan, settle
from oncepay.domain.attempt import OVER, TRANSITIONS, Fact
from oncepay.domain.payment import PaymentStatus
from oncepay.testing.explore import BUDGETS, Budget, Failure, explore

REFUND = Budget(wishes=("refund",), faults=1, crashes=1, payers=1)
TWO = Budget(wishes=("b",), faults=0, crashes=0)


QUICK = [
    "two attempts, patient", "closing", "late money", "late money accepted", "a refund", "a page, patient",
    "a form, closing", "a code told once",
]  # fmt: skip


@pytest.mark.parametrize("name", QUICK)
def test_every_state_keeps_the_promises_and_can_end_right(name: str) -> None:
    found = explore(BUDGETS[name])
    assert found.ends > 100
    assert found.states > 500


def test_a_switch_with_two_live_attempts_keeps_one_of_the_two_payments() -> None:
    assert explore(TWO).states > 1_000


def broken_by(budget: Budget) -> str:
    with pytest.raises(Failure) as failure:
        explore(budget)
    return str(failure.value)


def test_without_one_try_at_a_time_a_refund_goes_out_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: Any, **__: Any) -> list[Any]:
        return []

    monkeypatch.setattr(plan, "in_doubt", none)
    monkeypatch.setattr(settle, "in_doubt", none)
    story = broken_by(REFUND)
    assert "went back" in story or "carried out twice" in story
    assert "the app refunds 60" in story


def test_without_surplus_going_back_no_state_with_two_payments_can_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def first_only(desk: Any, number: str) -> None:
        if desk.payment.status is PaymentStatus.OPEN:
            settle.money_in(desk, number)

    monkeypatch.setattr(hear, "money_in", first_only)
    assert "can never end right" in broken_by(TWO)


def test_without_late_money_being_heard_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRANSITIONS[OVER], Fact.MOVED, OVER)
    story = broken_by(BUDGETS["late money"])
    assert "can never end right" in story
    assert "though it is closed" in story


def test_without_following_what_is_no_longer_wanted_nothing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: Any) -> Iterator[Any]:
        return iter(())

    monkeypatch.setattr(plan, "_end", nothing)
    assert "can never end right" in broken_by(BUDGETS["closing"])


def test_without_asking_twice_after_its_time_a_page_and_a_code_can_both_be_paid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hear, "_absent_settles", lambda *_: True)
    story = broken_by(BUDGETS["a page, patient"])
    assert "can both be paid" in story
    assert "the page of 00 is shown" in story


def test_only_what_was_never_shown_may_be_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "_is_stranded", lambda attempt, _: attempt.calls > 0)
    assert "can both be paid" in broken_by(BUDGETS["a code told once"])


def test_a_page_that_is_not_looked_for_after_its_time_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "_next_or_doubled", lambda *_: 10**15)
    assert "can never end right" in broken_by(BUDGETS["a page, patient"])
