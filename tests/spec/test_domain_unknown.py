"""What a channel tells us of that our rows do not know: an attempt or a refund whose row was lost, money that went out
without us, money that fits nothing."""

from __future__ import annotations

from typing import Any

import pytest

from oncepay.domain.attempt import Direction, Fact
from oncepay.domain.change import StepKind
from oncepay.domain.ids import out_number
from oncepay.domain.payment import Origin, PaymentStatus, RefundStatus
from tests.unit.domain_kit import ID, NO, Story

PAID, OPEN = PaymentStatus.PAID, PaymentStatus.OPEN


def test_an_unknown_suffix_of_a_known_payment_adopts_the_attempt() -> None:
    story = Story()
    story.shown()
    lost = ID + "1Z"
    story.say(Fact.MOVED, lost)
    assert (story.payment.status, story.payment.paid_by) == (PAID, lost)
    assert story.next() is not None, "and the other one is followed to its end"


def test_an_adopted_attempt_that_is_not_over_is_followed_and_closed() -> None:
    story = Story()
    story.shown()
    story.say(Fact.PENDING, ID + "ZZ")
    step = story.next()
    assert step is not None
    assert (step.kind, step.number, step.at_ms) == (StepKind.QUERY, ID + "ZZ", story.now)


def test_adopted_money_of_another_amount_goes_back() -> None:
    story = Story()
    story.shown()
    story.say(Fact.MOVED, ID + "1Z", minor=90)
    assert story.payment.status is OPEN
    assert [(r.minor, r.of, r.origin) for r in story.payment.refunds] == [(90, ID + "1Z", Origin.SURPLUS)]


@pytest.mark.parametrize(
    "content",
    [{"account": "wx-of-somebody-else"}, {"channel": "pages"}, {"wrong": "mchid is '2', not '1'"}],
    ids=str,
)
def test_money_that_went_to_another_merchant_is_not_adopted(content: dict[str, Any]) -> None:
    story = Story()
    story.shown()
    story.say(Fact.MOVED, ID + "1Z", **content)
    assert story.cases == ["wrong_content"]
    assert len(story.payment.attempts) == 1


def test_a_payment_whose_attempts_are_all_lost_adopts_from_any_account() -> None:
    story = Story(attempt="")
    story.say(Fact.MOVED, NO)
    assert story.payment.status is PAID


@pytest.mark.parametrize("fact", [Fact.ABSENT, Fact.SILENT])
def test_nothing_is_adopted_because_a_channel_knows_nothing_of_it(fact: Fact) -> None:
    story = Story()
    assert story.say(fact, ID + "1Z") is None


def test_money_that_fits_nothing_is_never_dropped() -> None:
    story = Story()
    story.shown()
    story.say(Fact.MOVED, "0" * 28)
    story.outside("console-1", 10, of="0" * 28)
    story.outside("console-2", 0)
    story.outside("console-3", 10, currency="USD")
    story.outside("console-4", 10, account="wx-of-somebody-else")
    assert story.cases == ["wrong_content"] * 5
    assert len(story.payment.attempts) == 1
    assert story.payment.refunds == ()


def test_a_refund_whose_row_was_lost_is_known_by_its_number_and_not_sent_again() -> None:
    """The database lost its last second: the refund is there, its attempt is not, and the money goes out."""
    story = Story().paid()
    story.refund("r1", 60)
    story.say(Fact.MOVED, out_number(ID, "r1", 0), direction=Direction.OUT, of=NO, minor=60)
    assert story.a_refund("r1").status is RefundStatus.DONE
    assert (story.payment.kept, len(story.payment.refunds)) == (40, 1)
    assert story.told == ["paid", "refund.opened", "refund.done"]
    assert story.next() is None


def test_a_lost_row_heard_of_while_it_is_pending_is_followed() -> None:
    story = Story().paid()
    story.refund("r1", 60)
    story.say(Fact.PENDING, out_number(ID, "r1", 0), direction=Direction.OUT, of=NO, minor=60)
    assert story.kinds() == ["query_refund", "tick"]


def test_a_refund_lost_altogether_is_the_same_when_it_is_asked_for_again() -> None:
    story = Story().paid()
    story.outside(out_number(ID, "r1", 0), 60)
    assert story.a_refund("outside:" + out_number(ID, "r1", 0)).origin is Origin.OUTSIDE
    story.refund("r1", 60)
    assert (story.a_refund("r1").status, story.a_refund("r1").origin) == (RefundStatus.DONE, Origin.APP)
    assert (story.payment.kept, len(story.payment.refunds)) == (40, 1)
    assert story.next() is None


def test_it_is_known_by_the_number_of_a_later_try_too() -> None:
    """An older state was restored: the first try had been over, the second goes out."""
    story = Story().paid()
    story.refund("r1", 30)
    story.say(Fact.MOVED, out_number(ID, "r1", 1), direction=Direction.OUT, of=NO, minor=30)
    assert story.a_refund("r1").status is RefundStatus.DONE
    assert (story.payment.kept, len(story.payment.refunds)) == (70, 1)
    assert story.next() is None, "it is not sent again"


def test_one_lost_altogether_is_known_by_a_later_try_too() -> None:
    story = Story().paid()
    story.outside(out_number(ID, "r1", 1), 30)
    story.refund("r1", 30)
    assert (story.a_refund("r1").status, story.a_refund("r1").origin) == (RefundStatus.DONE, Origin.APP)
    assert (story.payment.kept, len(story.payment.refunds)) == (70, 1)
    assert story.next() is None
