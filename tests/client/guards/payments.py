"""Payments and events for tests: what a centre would tell, version by version."""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from oncepay.client.shapes import ClosedBy, Event, PaidBy, Payment, RefundSeen

NOW_MS: Final = 1_800_000_000_000


def payment_id(order_no: str) -> str:
    """As long as the centre's."""
    return f"pay_{order_no[:26]:0<26}"


def payment(order_no: str = "A-1", **fields: Any) -> Payment:
    """A payment as its app made it, or with other fields."""
    plain = Payment(
        id=payment_id(order_no), order_no=order_no, version=0, status="open", closing=False, minor=8800, currency="CNY",
        subject="Tea", created_ms=NOW_MS, deadline_ms=NOW_MS + 7_200_000, kept_minor=0, paid=None, closed=None,
        refunds=(),
    )  # fmt: skip
    return replace(plain, **fields)


class Story:
    """The life of one payment, as a centre would tell it: each act is the next version."""

    def __init__(self, order_no: str = "A-1") -> None:
        self.versions = [payment(order_no)]

    @property
    def last(self) -> Payment:
        return self.versions[-1]

    @property
    def events(self) -> list[Event]:
        return [event_of(version) for version in self.versions[1:]]

    def next(self, **fields: Any) -> Payment:
        """A new version."""
        version = self.last.version + 1
        self.versions.append(replace(self.last, version=version, **fields))
        return self.last

    def pay(self) -> Payment:
        by = PaidBy(
            attempt="att_1", channel="wechat", method="native", trade_no="42", minor=self.last.minor, paid_ms=NOW_MS
        )
        return self.next(status="paid", paid=by, closed=None, closing=False, kept_minor=self.last.minor)

    def close(self) -> Payment:
        closed = ClosedBy(closed_ms=NOW_MS + self.last.version, why="asked")
        return self.next(status="closed", closed=closed, closing=False)

    def reopen(self) -> Payment:
        return self.next(status="open", closed=None)

    def refund(self, refund_no: str, minor: int, status: str = "open", origin: str = "app") -> Payment:
        """A refund that is new, or is now so. Surplus and what went out without the centre is seen when it is done."""
        one = RefundSeen(
            refund_no=refund_no, minor=minor, status=status, origin=origin, why="", created_ms=NOW_MS,  # type: ignore[arg-type]
            settled_ms=None if status == "open" else NOW_MS,
        )  # fmt: skip
        others = tuple(refund for refund in self.last.refunds if refund.refund_no != refund_no)
        refunds = (*others, one)
        kept = self.last.minor if self.last.paid else 0
        kept -= sum(r.minor for r in refunds if r.origin != "surplus" and r.status != "failed")
        return self.next(refunds=refunds, kept_minor=kept)


def event_of(version: Payment) -> Event:
    """The event that tells of this version."""
    return Event(
        id=f"evt_{version.id[4:]}_{version.version}", type="payment.changed", created_ms=NOW_MS,
        version=version.version, changes=(), payment=version,
    )  # fmt: skip
