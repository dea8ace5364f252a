"""A failure as a story that somebody who does not know the code understands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from oncepay.domain.payment import Payment
from oncepay.domain.settle import OUTSIDE_MARK, SURPLUS_MARK
from oncepay.testing.explore.world import Books

ORDINALS: Final = ("first", "second", "third", "fourth")


def name_of(payment: Payment, number: str, *, tried: bool = True) -> str:
    """How people call a number: "the first attempt", "the refund of 50 (second try)"."""
    attempt = payment.attempt(number)
    if attempt is None:
        return f"number {number[26:]}" if number else "it"
    if attempt.incoming:
        before = [a.no for a in payment.attempts if a.incoming]
        return f"the {ORDINALS[before.index(number)]} attempt"
    what = f"the refund of {attempt.minor}"
    if attempt.refund_no.startswith(SURPLUS_MARK):
        what = f"the return of what {name_of(payment, attempt.of)} brought too much"
    elif attempt.refund_no.startswith(OUTSIDE_MARK):
        what = f"the refund of {attempt.minor} that somebody made outside"
    tries = [a.no for a in payment.attempts if a.refund_no == attempt.refund_no]
    return what if len(tries) < 2 or not tried else f"{what}, {ORDINALS[tries.index(number)]} try"


def sentence(words: str, payment: Payment, number: str) -> str:
    """One thing that happened."""
    text = words.replace("{}", name_of(payment, number))
    return f"{text[0].upper()}{text[1:]}."


def news(before: tuple[Payment, Books], after: tuple[Payment, Books]) -> Iterator[str]:
    """What the centre and the channel now think otherwise than before."""
    (was, had), (now, has) = before, after
    if now.status is not was.status:
        yield f"the payment is {now.status}"
    elif now.closing_ms and not was.closing_ms:
        yield "the payment is closing"
    for attempt in now.attempts:
        known = was.attempt(attempt.no)
        if known is None or known.status is not attempt.status:
            reason = f" ({attempt.reason})" if attempt.reason else ""
            yield f"for the centre {name_of(now, attempt.no)} is {attempt.status}{reason}"
    for refund in now.refunds:
        known_refund = was.refund(refund.refund_no)
        if known_refund is None or known_refund.status is not refund.status:
            yield f"{refund.minor} {'is to go back' if refund.status == 'open' else f'going back has {refund.status}'}"
    for number, state in has.orders:
        if had.order(number) != state:
            yield f"at the channel {name_of(now, number)} is {state}"
    for number, _, minor, how in has.backs:
        if had.back(number) is None or (how == "closed" and had.back(number) != (number, _, minor, how)):
            yield f"the channel {'never sends' if how == 'closed' else 'sends'} {minor} back for {name_of(now, number)}"
