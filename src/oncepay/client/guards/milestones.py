"""What there is to do when news of a payment come: the difference between its snapshot and what was done before. Pure.

A snapshot holds every milestone so far, so it does not matter which events came, how often, and in which order: news
that overtook ``paid`` show that it was paid, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, get_args

from oncepay.client.shapes import Payment, RefundSeen

Word = Literal["paid", "closed", "refund.done", "refund.failed", "surplus.refunded", "refund.outside"]
WORDS: Final[tuple[Word, ...]] = get_args(Word)

_DONE: Final[dict[str, Word]] = {"app": "refund.done", "surplus": "surplus.refunded", "outside": "refund.outside"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Milestone:
    """Something that happened to a payment once.

    ``word``: ``paid`` the money is here. ``closed`` it will not come (once for each time: a payment may be reopened).
    ``refund.done``, ``refund.failed``: how a refund that you asked for ended. ``surplus.refunded``: money that was not
    owed went back by itself. ``refund.outside``: money went out without the centre.

    ``key``: names the milestone among those of its payment. ``payment``: as it is now. ``refund``: the one it is about.
    """

    word: Word
    key: str
    payment: Payment
    refund: RefundSeen | None = None


def milestones(payment: Payment) -> Iterator[Milestone]:
    """Every milestone that a snapshot shows, in the order of the story."""
    if payment.paid is not None:
        yield Milestone(word="paid", key="paid", payment=payment)
    if payment.closed is not None:
        yield Milestone(word="closed", key=f"closed/{payment.closed.closed_ms}", payment=payment)
    for refund in payment.refunds:
        word: Word | None = "refund.failed" if refund.status == "failed" else None
        if refund.status == "done":
            word = _DONE[refund.origin]
        if word is not None:
            yield Milestone(word=word, key=f"{word}/{refund.refund_no}", payment=payment, refund=refund)


def unmet(payment: Payment, done: str) -> tuple[Milestone, ...]:
    """Those that were not run yet. ``done``: the keys of those that were, with spaces between them."""
    known = frozenset(done.split())
    return tuple(milestone for milestone in milestones(payment) if milestone.key not in known)


def settled(payment: Payment) -> bool:
    """Whether nothing is on its way: it is paid or closed, and every refund has ended."""
    return payment.status != "open" and all(refund.status != "open" for refund in payment.refunds)
