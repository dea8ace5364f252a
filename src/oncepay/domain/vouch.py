"""What a person vouches for, since no channel has told us: that money did arrive, or that it was settled outside. What
then follows is nobody's own way: money that is accepted pays as money does, and what goes back is surplus."""

from __future__ import annotations

from typing import Final

import msgspec

from oncepay.domain.adopt import make_room
from oncepay.domain.attempt import Attempt, Fact, Reason, Status
from oncepay.domain.change import Handle
from oncepay.domain.desk import Desk, in_doubt
from oncepay.domain.errors import Busy, PaymentPaid, RefundTooLarge, VerbUnfit
from oncepay.domain.money import check_amount, decimal_text
from oncepay.domain.payment import Origin, Payment, Refund, RefundStatus
from oncepay.domain.settle import OUTSIDE_MARK, money_out, pay, send_back
from oncepay.domain.subject import Done, amount_of, arrived, named_by, one, refund_of

OUTSIDE: Final = "outside"  # why a refund is done that no channel carried out


def accept(desk: Desk, asked: Handle) -> Done | None:
    """The money of the case did arrive, and pays the payment, also when it is not what is owed."""
    payment = desk.payment
    money = arrived(desk, asked)
    known = _succeeded(payment, money)
    if known is not None and known.no == payment.paid_by:
        return None
    if payment.paid_by:
        raise PaymentPaid(f"{payment.paid_by} paid it already: this money can only go back", paid_ms=payment.paid_ms)
    if known is not None:
        raise VerbUnfit(f"{known.no} has succeeded already, and its money goes back")
    if money.currency != payment.currency:
        raise VerbUnfit(f"it is {money.currency}, and {payment.currency} is owed: this money can only go back")
    _put(desk, money)
    pay(desk, money)
    owed = decimal_text(payment.minor, payment.currency)
    did = f"{amount_of(money)} did arrive by {money.no}{named_by(money)} and pay it; {owed} was owed."
    return Done(money.no, did, resolves=True)


def give_back(desk: Desk, asked: Handle) -> Done | None:
    """The money of the case did arrive, and goes back by the road it came."""
    if asked.said is None:
        raise VerbUnfit("no channel has said that money moved: ask it (query), or accept with evidence")
    money = arrived(desk, asked)
    known = _succeeded(desk.payment, money)
    if known is not None:
        if known.no == desk.payment.paid_by:
            raise VerbUnfit(f"{known.no} paid the payment: its app can refund it")
        if desk.payment.refund(OUTSIDE_MARK + known.no) is not None:
            raise VerbUnfit(f"{known.no} was settled outside")
        return None
    _put(desk, money)
    send_back(desk, money)
    return Done(money.no, f"{amount_of(money)} did arrive by {money.no}{named_by(money)} and goes back.", resolves=True)


def _succeeded(payment: Payment, money: Attempt) -> Attempt | None:
    """The attempt, if just this money of it is known already. Raises VerbUnfit when it is known to be other money."""
    known = payment.attempt(money.no)
    if known is None or known.status is not Status.SUCCEEDED:
        return None
    other = known.trade_no and money.trade_no and known.trade_no != money.trade_no
    if other or (known.minor, known.currency) != (money.minor, money.currency):
        raise VerbUnfit(f"{known.no} has succeeded already: {amount_of(known)}{named_by(known)}")
    return known


def _put(desk: Desk, attempt: Attempt) -> None:
    """The attempt as it is now, whether it was known or not."""
    known = desk.payment.attempt(attempt.no)
    if known is None:
        desk.add_attempt(attempt)
    else:
        desk.set_attempt(known, **msgspec.structs.asdict(attempt))


# -- settled outside ---------------------------------------------------------------------------------------------


def settle(desk: Desk, asked: Handle) -> Done | None:
    """It was settled by other means: a refund was paid back, an attempt or its money was dealt with by hand."""
    refund = refund_of(desk.payment, asked.number, asked.refund_no)
    if refund is not None:
        return _settle_refund(desk, asked, refund)
    said, attempt = asked.said, desk.payment.attempt(asked.number)
    with_us = said is None or said.ours
    if attempt is not None and attempt.status is Status.SUCCEEDED and with_us:
        return _settle_paid(desk, asked, attempt)
    if said is not None and with_us and said.fact is Fact.MOVED:
        return _settle_money(desk, asked)
    if attempt is None or (attempt.settled and not with_us):
        raise VerbUnfit("nothing of this payment is left to settle: note what was done, and resolve")
    return _settle_attempt(desk, attempt)


def _settle_refund(desk: Desk, asked: Handle, refund: Refund) -> Done | None:
    """It was paid back by other means. Should one of its tries go out after all, that is recorded as money outside."""
    if refund.status is RefundStatus.DONE:
        if refund.why == OUTSIDE:
            return None
        raise VerbUnfit(f"refund {refund.refund_no} is done")
    doubtful = in_doubt(desk.payment, refund_no=refund.refund_no)
    for attempt in doubtful:
        if attempt.until_ms > desk.now_ms:
            raise Busy("a call for this refund is in flight", until_ms=attempt.until_ms)
    moved = _moved_otherwise(desk.payment, asked)
    if moved is not None:
        _put(desk, msgspec.structs.replace(moved, settled_ms=desk.now_ms))
        money_out(desk, moved.no)
        refund = desk.payment.refund(refund.refund_no) or refund
    else:
        one("minor", asked.minor, refund.minor)
        for attempt in doubtful:
            desk.set_attempt(attempt, status=Status.OVER, reason=Reason.CLOSED, settled_ms=desk.now_ms)
        refund = desk.set_refund(refund, status=RefundStatus.DONE, why=OUTSIDE, settled_ms=desk.now_ms)
    reversed_ = desk.payment.attempt(refund.of)
    if reversed_ is None:
        raise VerbUnfit(f"the payment has no attempt {refund.of}, which refund {refund.refund_no} reverses")
    make_room(desk, reversed_)
    text = f"{decimal_text(refund.minor, reversed_.currency)} {reversed_.currency}"
    number = moved.no if moved is not None else doubtful[0].no if doubtful else ""
    return Done(number, f"refund {refund.refund_no} was paid back outside: {text}.", resolves=True)


def _moved_otherwise(payment: Payment, asked: Handle) -> Attempt | None:
    """A refund's attempt that the channel says went out with another amount than ours, as it then is."""
    said, attempt = asked.said, payment.attempt(asked.number)
    if said is None or attempt is None or said.minor is None or not said.ours or said.fact is not Fact.MOVED:
        return None
    if (said.channel, said.account, said.currency) != (attempt.channel, attempt.account, attempt.currency):
        return None
    return msgspec.structs.replace(
        attempt,
        status=Status.SUCCEEDED,
        reason=Reason.NONE,
        minor=one("minor", asked.minor, said.minor),
        trade_no=said.trade_no or attempt.trade_no,
        moved_ms=said.channel_ms,
    )


def _settle_paid(desk: Desk, asked: Handle, attempt: Attempt) -> Done | None:
    """Some of an attempt's money went back without us."""
    known = desk.payment.refund(OUTSIDE_MARK + attempt.no)
    if known is not None:
        if asked.minor in {None, known.minor}:
            return None
        raise VerbUnfit(f"{known.minor} of {attempt.no} is recorded as paid back outside already")
    if asked.minor is None:
        raise VerbUnfit(f"{attempt.no} has succeeded: say how much of it (minor) was paid back outside")
    check_amount(asked.minor, attempt.currency)
    done = sum(r.minor for r in desk.payment.refunds if r.of == attempt.no and r.status is RefundStatus.DONE)
    if asked.minor > attempt.minor - done:
        raise RefundTooLarge(
            f"{asked.minor} is more than is left of {attempt.no}", field="minor", kept_minor=attempt.minor - done
        )
    return _outside(desk, attempt, asked.minor)


def _settle_money(desk: Desk, asked: Handle) -> Done:
    """Money that came and was dealt with by hand: it came by the attempt, and left by other means."""
    money = arrived(desk, asked)
    _put(desk, money)
    return _outside(desk, money, money.minor)


def _outside(desk: Desk, attempt: Attempt, minor: int) -> Done:
    desk.add_refund(
        Refund(
            refund_no=OUTSIDE_MARK + attempt.no,
            minor=minor,
            of=attempt.no,
            created_ms=desk.now_ms,
            origin=Origin.OUTSIDE,
            status=RefundStatus.DONE,
            settled_ms=desk.now_ms,
        )
    )
    make_room(desk, attempt)
    text = f"{decimal_text(minor, attempt.currency)} {attempt.currency}"
    return Done(attempt.no, f"{text} of {attempt.no}{named_by(attempt)} was settled outside.", resolves=True)


def _settle_attempt(desk: Desk, attempt: Attempt) -> Done | None:
    """It was dealt with by hand. Money that comes by it all the same is heard as ever."""
    if attempt.settled:
        return None
    if attempt.until_ms > desk.now_ms:
        raise Busy("a call for this attempt is in flight", until_ms=attempt.until_ms)
    if desk.now_ms < attempt.expires_ms:
        raise VerbUnfit(f"the payer may still pay by {attempt.no}: close it, or wait", until_ms=attempt.expires_ms)
    desk.set_attempt(attempt, status=Status.OVER, reason=Reason.CLOSED, settled_ms=desk.now_ms)
    return Done(attempt.no, f"{attempt.no} was settled outside and is over.", resolves=True)
