"""A refund whose first call was not answered and whose repeated call is refused: neither done nor failed may be guessed,
and it must not stay in doubt for ever."""

from __future__ import annotations

import msgspec
import pytest

from oncepay.domain.attempt import Call, Fact, Reason, Status
from oncepay.domain.capabilities import MIN, Policy
from oncepay.domain.change import Fault, StepKind
from oncepay.domain.payment import RefundStatus
from tests.unit.domain_kit import WX, Story

MARGIN_MS = 30 * MIN
SURE: Policy = {"wx": msgspec.structs.replace(WX, refund_absent_margin_ms=MARGIN_MS)}


def refused_when_repeated(policy: Policy = SURE) -> tuple[Story, str]:
    """Its first call is lost, the channel knows of no such refund, the same number again is refused."""
    story = Story(policy=policy).paid()
    story.refund("r", 60)
    number = story.refund_call()
    story.say(Fact.SILENT, number, call=Call.REFUND)
    story.queried(Fact.ABSENT, number)
    assert story.refund_call() == number
    story.refused(number, words="10")
    assert story.attempt(number).status is Status.UNKNOWN, "the first call may have moved the money"
    return story, number


def test_absent_twice_well_after_the_refusal_is_over_and_another_number_is_tried() -> None:
    story, number = refused_when_repeated()
    story.wait(MARGIN_MS)
    story.queried(Fact.ABSENT, number)
    assert not story.attempt(number).settled, "once is not enough"
    story.wait(WX.absent_apart_ms - 1)
    story.queried(Fact.ABSENT, number)
    assert not story.attempt(number).settled, "nor twice in a row"
    story.wait(1)
    story.queried(Fact.ABSENT, number)
    assert (story.attempt(number).status, story.attempt(number).reason) == (Status.OVER, Reason.CLOSED)
    assert (story.a_refund("r").status, story.payment.kept) == (RefundStatus.OPEN, 40), "the reservation stays"
    assert story.refund_call() != number


def test_absent_before_the_margin_says_nothing() -> None:
    story, number = refused_when_repeated()
    while story.now < story.attempt(number).refused_ms + MARGIN_MS - 6 * MIN:
        story.wait(5 * MIN)
        story.queried(Fact.ABSENT, number)
    assert not story.attempt(number).settled


def test_its_number_is_called_no_more_and_it_is_asked_about_until_it_is_over() -> None:
    story, number = refused_when_repeated()
    while not story.attempt(number).settled:
        step = story.begin()
        assert step.kind in {StepKind.QUERY_REFUND, StepKind.TICK}, step
        if step.kind is StepKind.QUERY_REFUND:
            story.say(Fact.ABSENT, number, call=Call.QUERY_REFUND)


def test_money_that_went_after_all_is_the_refund() -> None:
    story, number = refused_when_repeated()
    story.wait(MARGIN_MS)
    story.queried(Fact.ABSENT, number)
    story.wait(WX.absent_apart_ms)
    story.queried(Fact.MOVED, number)
    assert (story.a_refund("r").status, story.payment.kept) == (RefundStatus.DONE, 40)


def test_what_the_channel_once_knew_is_never_over_by_absence() -> None:
    story, number = refused_when_repeated()
    story.queried(Fact.PENDING, number)
    for _ in range(5):
        story.wait(MARGIN_MS)
        story.queried(Fact.ABSENT, number)
    assert story.attempt(number).status is Status.SENT


@pytest.mark.parametrize("fault", [Fault.ACCOUNT, Fault.BALANCE, Fault.MOMENT])
def test_a_fault_of_the_account_is_no_refusal(fault: Fault) -> None:
    story = Story(policy=SURE).paid()
    story.refund("r", 60)
    number = story.refund_call()
    story.say(Fact.SILENT, number, call=Call.REFUND)
    story.queried(Fact.ABSENT, number)
    story.refund_call()
    story.say(Fact.OVER, number, call=Call.REFUND, fault=fault)
    assert story.attempt(number).refused_ms == 0


def test_where_absent_is_never_sure_the_number_is_called_again() -> None:
    story, number = refused_when_repeated({"wx": WX})
    for _ in range(5):
        story.wait(MARGIN_MS)
        story.queried(Fact.ABSENT, number)
        assert story.refund_call() == number
        story.refused(number)
    assert not story.attempt(number).settled
