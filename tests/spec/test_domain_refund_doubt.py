"""A refund whose first call was not answered and whose repeated call is refused: neither done nor failed may be guessed,
and it must not stay in doubt for ever."""

from __future__ import annotations

import msgspec
import pytest

from oncepay.domain.attempt import Call, Fact, Reason, Status
from oncepay.domain.capabilities import MIN, Policy
from oncepay.domain.change import Fault, StepKind
from oncepay.domain.payment import Origin, RefundStatus
from tests.unit.domain_kit import NO, WX, Story, with_failed_refund

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


def test_why_it_was_refused_is_not_forgotten_when_it_is_absent() -> None:
    """It is what the app and the operator are told of a refund that failed: not that the channel knows of none."""
    story, number = refused_when_repeated()
    for wait_ms in (MARGIN_MS, WX.absent_apart_ms):
        story.queried(Fact.SILENT, number, words="no answer within 8 s")
        story.wait(wait_ms)
        story.queried(Fact.ABSENT, number, words="RESOURCE_NOT_EXISTS")
    assert (story.attempt(number).status, story.attempt(number).words) == (Status.OVER, "10")


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


def carried_out_late(policy: Policy = SURE) -> tuple[Story, str]:
    """The channel said of a refund's first number that it does not know it, and its next is on its way and not answered
    when the first turns out to have moved the money after all."""
    story, first = refused_when_repeated(policy)
    if policy is SURE:
        story.wait(MARGIN_MS)
        story.queried(Fact.ABSENT, first)
        story.wait(WX.absent_apart_ms)
        story.queried(Fact.ABSENT, first)
    else:
        story.queried(Fact.OVER, first, reason=Reason.CLOSED)
    second = story.refund_call()
    story.say(Fact.SILENT, second, call=Call.REFUND)
    story.say(Fact.MOVED, first)
    assert (story.a_refund("r").status, story.payment.kept) == (RefundStatus.DONE, 40)
    return story, second


@pytest.mark.parametrize("fault", [Fault.NONE, Fault.BALANCE])
@pytest.mark.parametrize("policy", [SURE, {"wx": WX}])
def test_a_refund_that_is_done_is_not_called_for_again(policy: Policy, fault: Fault) -> None:
    """Its next number is asked about: the first call may still arrive. To make another would send the money twice."""
    story, second = carried_out_late(policy)
    if fault:
        story.say(Fact.OVER, second, call=Call.REFUND, fault=fault)
    story.queried(Fact.ABSENT, second)
    for _ in range(12):
        if story.attempt(second).settled:
            break
        kind = story.begin().kind
        assert kind is not StepKind.REFUND
        if kind is StepKind.QUERY_REFUND:
            story.say(Fact.ABSENT, second, call=Call.QUERY_REFUND)


def test_the_number_of_a_refund_that_is_done_does_not_hold_up_the_others_for_ever() -> None:
    story, second = carried_out_late()
    story.refund("other", 40)
    for _ in range(12):
        if story.attempt(second).settled:
            break
        assert story.begin().kind is StepKind.QUERY_REFUND, "one at a time"
        story.say(Fact.ABSENT, second, call=Call.QUERY_REFUND)
    story.say(Fact.MOVED, story.refund_call())
    assert (story.a_refund("other").status, story.payment.kept) == (RefundStatus.DONE, 0)


def test_what_goes_out_twice_all_the_same_is_recorded_and_a_case() -> None:
    story, second = carried_out_late()
    story.queried(Fact.MOVED, second)
    assert story.payment.kept == -20
    assert story.cases[-1] == "refunded_too_much"
    assert story.told[-1] == "refund.outside"


def promised_again() -> tuple[Story, str]:
    """A refund of 60 has failed, and another of 60 is asked for in its stead."""
    story = with_failed_refund()
    number = next(a.no for a in story.payment.attempts if not a.incoming)
    story.refund("r2", 60)
    assert story.payment.kept == 40
    return story, number


def test_money_of_a_failed_refund_that_goes_out_after_all_leaves_room_for_no_other() -> None:
    """Paid was 100: what waits in its stead would be the 120th."""
    story, number = promised_again()
    story.say(Fact.MOVED, number)
    assert [r.status for r in story.payment.refunds] == [RefundStatus.DONE, RefundStatus.FAILED]
    assert story.payment.kept == 40
    assert story.told[-2:] == ["refund.done", "refund.failed"]
    assert story.kinds() == []


def test_where_the_other_is_on_its_way_already_a_person_must_look() -> None:
    story, number = promised_again()
    story.refund_call()
    story.say(Fact.MOVED, number)
    assert story.payment.kept == -20
    assert story.cases[-1] == "refunded_too_much"


def test_where_there_is_room_for_both_both_go_out() -> None:
    story = with_failed_refund()
    number = next(a.no for a in story.payment.attempts if not a.incoming)
    story.refund("r2", 40)
    story.say(Fact.MOVED, number)
    assert [r.status for r in story.payment.refunds] == [RefundStatus.DONE, RefundStatus.OPEN]
    assert (story.payment.kept, story.kinds()) == (0, ["refund"])


def test_of_surplus_goes_back_only_what_has_not_gone_back_without_us() -> None:
    """The vendor's console sent some of it back, and that is heard before the payment is."""
    story = Story()
    story.shown()
    story.start(method="page")  # the first is no longer wanted
    story.start(method="page", force=True)
    second = story.payment.attempts[-1].no
    story.shown(second)
    story.say(Fact.MOVED)
    assert story.payment.paid_by == NO != second
    story.outside("console-1", 40, of=second, channel="pages")
    story.say(Fact.MOVED, second)
    assert [r.minor for r in story.payment.refunds if r.origin is Origin.SURPLUS] == [60]
