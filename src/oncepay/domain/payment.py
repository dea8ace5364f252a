"""The aggregate: a payment with its attempts and refunds, loaded whole and changed whole."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec

from oncepay.domain.attempt import Attempt


class PaymentStatus(StrEnum):
    """open -> paid | closed; closed -> open (reopened) | paid (late money accepted)."""

    OPEN = "open"
    PAID = "paid"
    CLOSED = "closed"


class RefundStatus(StrEnum):
    """The amount is reserved until ``done`` or ``failed``."""

    OPEN = "open"
    DONE = "done"
    FAILED = "failed"


class Origin(StrEnum):
    """Who wants the money back: the app; the centre (surplus); or it went out without us."""

    APP = "app"
    SURPLUS = "surplus"
    OUTSIDE = "outside"


Late = Literal["refund", "accept"]
Unclosable = Literal["switch", "wait"]
IfPaid = Literal["keep", "refund"]


class Refund(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """What goes back once. ``minor`` counts in the currency of the attempt ``of`` that it reverses."""

    refund_no: str
    minor: int
    of: str
    created_ms: int
    origin: Origin = Origin.APP
    status: RefundStatus = RefundStatus.OPEN
    note: str = ""  # the app's reason, shown to the payer
    why: str = ""  # of a failure: the channel's word
    settled_ms: int = 0


class Payment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """What is owed once for one order of one app. Amounts in minor units, times in milliseconds, UTC.

    ``rev`` is the guard, up by one with each change. ``version`` counts what the app can see: event ``n`` is the
    n-th app-visible change, and version 0 the payment as the app made it.
    """

    id: str
    app: str
    order_no: str
    minor: int
    currency: str
    subject: str
    created_ms: int
    deadline_ms: int
    status: PaymentStatus = PaymentStatus.OPEN
    rev: int = 1
    version: int = 0
    closing_ms: int = 0  # since when no new attempt or credential is given out; 0: not closing
    if_paid: IfPaid = "keep"
    late: Late = "refund"
    unclosable: Unclosable = "switch"
    return_url: str = ""  # where the payer goes after paying, https
    paid_by: str = ""  # number of the attempt that paid
    paid_ms: int = 0
    closed_ms: int = 0
    expired: bool = False  # closed by its deadline, not by the app
    attempts: tuple[Attempt, ...] = ()
    refunds: tuple[Refund, ...] = ()

    def attempt(self, no: str) -> Attempt | None:
        """The attempt of that number, in or out."""
        for attempt in self.attempts:
            if attempt.no == no:
                return attempt
        return None

    def refund(self, refund_no: str) -> Refund | None:
        """The refund of that number."""
        for refund in self.refunds:
            if refund.refund_no == refund_no:
                return refund
        return None

    @property
    def kept(self) -> int:
        """Minor units that are kept of what was paid: paid, less what went or is going back. May fall below zero:
        money that went out without us is recorded even past the ceiling."""
        paying = self.attempt(self.paid_by) if self.paid_by else None
        if paying is None:
            return 0
        return paying.minor - sum(
            r.minor for r in self.refunds if r.of == paying.no and r.status is not RefundStatus.FAILED
        )
