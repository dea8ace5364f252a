"""The desk on which one change is prepared: the payment as it becomes, and what goes with it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from oncepay.domain.attempt import Attempt, Direction, Status
from oncepay.domain.capabilities import Policy
from oncepay.domain.change import Act, CaseOpened, Evidence
from oncepay.domain.payment import Payment, Refund, RefundStatus


class Desk:
    """Mutable for the length of one ``decide``; nothing of it leaves but the change."""

    def __init__(self, payment: Payment, policy: Policy, now_ms: int) -> None:
        self.payment = payment
        self.policy = policy
        self.now_ms = now_ms
        self.evidence: list[Evidence] = []
        self.cases: list[CaseOpened] = []
        self.acts: list[Act] = []
        self.credential: tuple[str, str] | None = None

    def set(self, **fields: Any) -> None:
        """Change fields of the payment."""
        self.payment = msgspec.structs.replace(self.payment, **fields)

    def set_attempt(self, attempt: Attempt, **fields: Any) -> Attempt:
        """Change fields of an attempt; the attempt as it is now."""
        changed = msgspec.structs.replace(attempt, **fields)
        self.set(attempts=tuple(changed if a.no == attempt.no else a for a in self.payment.attempts))
        return changed

    def add_attempt(self, attempt: Attempt) -> Attempt:
        """A new attempt."""
        self.set(attempts=(*self.payment.attempts, attempt))
        return attempt

    def set_refund(self, refund: Refund, **fields: Any) -> Refund:
        """Change fields of a refund; the refund as it is now."""
        changed = msgspec.structs.replace(refund, **fields)
        self.set(refunds=tuple(changed if r is refund else r for r in self.payment.refunds))
        return changed

    def add_refund(self, refund: Refund) -> None:
        """A new refund."""
        self.set(refunds=(*self.payment.refunds, refund))

    def raise_case(self, kind: str, text: str, *, apart: str = "", due_ms: int = 0, **data: Any) -> None:
        """A person must look at this payment. One case for each refund or number of it that ``data`` names, so that
        each can be dealt with by itself; ``apart`` tells further ones apart."""
        what = data.get("refund_no") or data.get("number", "")
        about = ":".join(part for part in (self.payment.id, what, apart) if part)
        self.cases.append(
            CaseOpened(about=about, kind=kind, text=text, payment_id=self.payment.id, due_ms=due_ms, data=data)
        )

    def raise_account_case(self, account: str, kind: str, text: str, **data: Any) -> None:
        """A person must look at the account: one case for it, however many payments it stops."""
        self.cases.append(CaseOpened(about=account, kind=kind, text=text, account=account, data=data))


def incoming(payment: Payment) -> Iterable[Attempt]:
    """Attempts that bring money in."""
    return (a for a in payment.attempts if a.direction is Direction.IN)


def unsettled(payment: Payment) -> list[Attempt]:
    """Attempts in that may still take money as far as we know."""
    return [a for a in incoming(payment) if not a.settled]


def outgoing(payment: Payment, *, of: str = "", refund_no: str = "") -> list[Attempt]:
    """Attempts out: of one attempt in, or of one refund."""
    return [
        a
        for a in payment.attempts
        if a.direction is Direction.OUT and (not of or a.of == of) and (not refund_no or a.refund_no == refund_no)
    ]


def in_doubt(payment: Payment, *, of: str = "", refund_no: str = "") -> list[Attempt]:
    """Attempts out whose outcome is open: of one attempt in, or of one refund."""
    return [a for a in outgoing(payment, of=of, refund_no=refund_no) if not a.settled]


def end_ms(payment: Payment, attempt: Attempt) -> int:
    """From when on an attempt in is no longer wanted: superseded, payment closing, closed or paid, or expired."""
    ends = (attempt.superseded_ms, payment.closing_ms, payment.closed_ms, payment.paid_ms, attempt.expires_ms)
    return min(filter(None, ends), default=0)


def never_sent(attempt: Attempt) -> bool:
    """No call was ever made for its number and nobody has a credential: nothing can come of it."""
    return attempt.status is Status.CREATED and attempt.calls == 0 and attempt.shown_ms == 0


def reserved(payment: Payment, of: str) -> int:
    """Minor units of an attempt in that went back or are going back."""
    return sum(r.minor for r in payment.refunds if r.of == of and r.status is not RefundStatus.FAILED)
