"""What a case is about: the attempt, the refund, the money; and why a verb is refused that finds nothing there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from oncepay.domain.adopt import adopted
from oncepay.domain.attempt import Attempt, Fact, Reason, Status
from oncepay.domain.change import Act, Handle, Said
from oncepay.domain.desk import Desk, never_sent
from oncepay.domain.errors import Invalid, VerbUnfit
from oncepay.domain.ids import ID_LENGTH
from oncepay.domain.money import check_amount, decimal_text
from oncepay.domain.payment import Payment, Refund

T = TypeVar("T")


class Done(NamedTuple):
    """What came of a verb: the number of the attempt that it was done to, one sentence, and whether the case is closed
    with it."""

    number: str
    did: str
    resolves: bool = False


def handling(act: Act, data: Mapping[str, Any], **said_by_person: Any) -> Handle:
    """A person's verb on a case that holds ``data``, as an input of ``decide``."""
    said = msgspec.convert({**_UNSAID, **data}, Said) if "wrong" in data else None
    return Handle(
        act=act, number=data.get("number", ""), refund_no=data.get("refund_no", ""), said=said, **said_by_person
    )


_UNSAID: Final = {"fact": Fact.SILENT, "channel": "", "account": ""}


def refund_of(payment: Payment, number: str, refund_no: str) -> Refund | None:
    """The refund that a case is about: by its own number, or by that of one of its tries."""
    if refund_no:
        return payment.refund(refund_no)
    attempt = payment.attempt(number)
    return payment.refund(attempt.refund_no) if attempt is not None and not attempt.incoming else None


def sent(payment: Payment, asked: Handle) -> Attempt:
    """The attempt that the case is about, or when it names none the one in doubt that was asked about longest ago: a
    channel can only be asked about what was sent."""
    if asked.number:
        attempt = payment.attempt(asked.number)
    else:
        doubtful = [a for a in payment.attempts if not a.settled and not never_sent(a)]
        attempt = min(doubtful, key=lambda a: a.asked_ms, default=None)
    if attempt is None:
        what = f"{asked.number} is no attempt of this payment" if asked.number else "nothing of it is in doubt"
        raise VerbUnfit(f"{what}: there is nothing to ask a channel")
    if not attempt.calls and not attempt.shown_ms:
        raise VerbUnfit(f"we have sent nothing for {attempt.no}: there is nothing to ask a channel")
    return attempt


def attempt_in(desk: Desk, asked: Handle) -> Attempt:
    """The attempt in that the case is about; adopted when its row was lost and its money is with an account of ours."""
    said, payment = asked.said, desk.payment
    attempt = payment.attempt(asked.number)
    if said is not None and not said.ours:
        raise VerbUnfit(f"this money is not with our account: {said.wrong}")
    if attempt is None and said is not None and asked.number[:ID_LENGTH] == payment.id:
        attempt = adopted(desk, asked.number, said, said.minor, said.currency)
    if attempt is None:
        raise VerbUnfit(f"{asked.number or 'nothing'} is no attempt of this payment")
    if not attempt.incoming:
        raise VerbUnfit(f"{attempt.no} is a refund's: that money went out")
    if said is not None and (said.channel, said.account) != (attempt.channel, attempt.account):
        raise VerbUnfit(f"this money is with {said.channel} {said.account}, and {attempt.no} is another account's")
    return attempt


def arrived(desk: Desk, asked: Handle) -> Attempt:
    """The attempt as it is once the money of the case counts: with what really moved. What a channel said of it stands;
    the person may only fill in what it did not say. Raises VerbUnfit, Invalid, AmountInvalid."""
    attempt = attempt_in(desk, asked)
    if never_sent(attempt):
        raise VerbUnfit(f"nothing was ever sent for {attempt.no}: no money can have come by it")
    said = asked.said or Said(
        fact=Fact.MOVED,
        channel=attempt.channel,
        account=attempt.account,
        minor=attempt.minor,
        currency=attempt.currency,
    )
    if said.fact is not Fact.MOVED:
        raise VerbUnfit(f"{said.channel} said {said.fact}, and not that money moved")
    minor, trade_no = one("minor", asked.minor, said.minor), one("trade_no", asked.trade_no, said.trade_no)
    if minor is None:
        raise Invalid(f"{said.channel} did not say how much it was: say minor", field="minor")
    currency = said.currency or attempt.currency
    check_amount(minor, currency)
    return msgspec.structs.replace(
        attempt,
        status=Status.SUCCEEDED,
        reason=Reason.NONE,
        minor=minor,
        asked_minor=0 if minor == attempt.minor else attempt.asked_minor or attempt.minor,
        currency=currency,
        trade_no=trade_no or attempt.trade_no,
        moved_ms=said.channel_ms or desk.now_ms,
        settled_ms=desk.now_ms,
    )


def one(field: str, by_person: T | None, by_case: T | None) -> T | None:
    """What the case says, or what it does not say and the person does. Raises Invalid when they differ."""
    if by_person and by_case and by_person != by_case:
        raise Invalid(f"{field} is {by_case} by what the case says, not {by_person}", field=field)
    return by_case or by_person


def amount_of(attempt: Attempt) -> str:
    """How much it is, for people."""
    return f"{decimal_text(attempt.minor, attempt.currency)} {attempt.currency}"


def named_by(attempt: Attempt) -> str:
    """The channel's own number of its money, for people."""
    return f" as {attempt.trade_no}" if attempt.trade_no else ""
