"""What makes two requests the same, and which field tells them apart when they are not."""

from __future__ import annotations

from collections.abc import Mapping

from oncepay.domain.errors import KeyReused
from oncepay.domain.ids import hashed
from oncepay.domain.payment import Payment, Refund


def same_attempt(channel: str, method: str, account: str, payer: Mapping[str, str]) -> str:
    """Two requests for an attempt are the same when this is. The order of payer parameters does not matter."""
    pairs = (part for key in sorted(payer) for part in (key, payer[key]))
    return hashed(16, channel, method, account, *pairs)


def check_same_payment(payment: Payment, order_no: str, app: str, minor: int, currency: str) -> None:
    """Refuse an order number that was used for something else. Raises KeyReused naming the fields that differ."""
    asked = {"order_no": order_no, "app": app, "minor": minor, "currency": currency}
    differing = [field for field, value in asked.items() if getattr(payment, field) != value]
    if differing:
        raise KeyReused(f"{', '.join(differing)} differs", field=differing[0], order_no=payment.order_no)


def check_same_refund(refund: Refund, minor: int) -> None:
    """Refuse a refund number that was used for another amount. Raises KeyReused naming the field."""
    if refund.minor != minor:
        raise KeyReused("minor differs", field="minor", refund_no=refund.refund_no)
