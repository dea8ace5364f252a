"""What an app can see of a payment, and what changed of it. Two payments with the same snapshot have no changes
between them; that is how ``version`` stays free of gaps and of news that is none."""

from __future__ import annotations

from typing import Any

from oncepay.domain.payment import Origin, Payment, PaymentStatus, Refund, RefundStatus

_DONE = {Origin.APP: "refund.done", Origin.SURPLUS: "surplus.refunded", Origin.OUTSIDE: "refund.outside"}


def visible(refund: Refund) -> bool:
    """The app sees its own refunds from the start, the centre's once the money is back."""
    return refund.origin is Origin.APP or refund.status is RefundStatus.DONE


def snapshot(payment: Payment) -> dict[str, Any]:
    """The payment as its app sees it: every milestone so far. Amounts in minor units, times in milliseconds."""
    paying = payment.attempt(payment.paid_by) if payment.paid_by else None
    seen: dict[str, Any] = {
        "id": f"pay_{payment.id}",
        "order_no": payment.order_no,
        "version": payment.version,
        "status": payment.status.value,
        "closing": payment.closing_ms > 0 and payment.status is PaymentStatus.OPEN,
        "minor": payment.minor,
        "currency": payment.currency,
        "subject": payment.subject,
        "created_ms": payment.created_ms,
        "deadline_ms": payment.deadline_ms,
        "kept_minor": payment.kept,
        "paid": None,
        "closed": None,
        "refunds": [_refund(refund) for refund in payment.refunds if visible(refund)],
    }
    if paying is not None:
        seen["paid"] = {
            "attempt": f"att_{paying.no}",
            "channel": paying.channel,
            "method": paying.method,
            "trade_no": paying.trade_no,
            "minor": paying.minor,
            "paid_ms": paying.moved_ms or payment.paid_ms,
        }
    if payment.status is PaymentStatus.CLOSED:
        seen["closed"] = {"closed_ms": payment.closed_ms, "why": "expired" if payment.expired else "asked"}
    return seen


def _refund(refund: Refund) -> dict[str, Any]:
    return {
        "refund_no": refund.refund_no,
        "minor": refund.minor,
        "status": refund.status.value,
        "origin": refund.origin.value,
        "why": refund.why,
        "created_ms": refund.created_ms,
        "settled_ms": refund.settled_ms or None,
    }


def _paying(payment: Payment) -> tuple[str, int]:
    """What may still be learned of money that paid."""
    paying = payment.attempt(payment.paid_by)
    return (paying.trade_no, paying.moved_ms) if paying else ("", 0)


def changes(before: Payment, after: Payment) -> tuple[str, ...]:
    """The words for what an app can see that is not as it was, in the order of the story."""
    words: list[str] = []
    if before.status is not after.status:
        words.append("reopened" if after.status is PaymentStatus.OPEN else after.status.value)
    elif after.closing_ms and not before.closing_ms:
        words.append("closing")
    elif before.paid_by and _paying(before) != _paying(after):
        words.append("paid.detail")
    if (before.minor, before.deadline_ms) != (after.minor, after.deadline_ms) and "reopened" not in words:
        words.append("amended")
    known = {refund.refund_no: refund for refund in before.refunds}
    for refund in after.refunds:
        was = known.get(refund.refund_no)
        if was == refund or not visible(refund):
            continue
        if refund.status is RefundStatus.DONE:
            words.append(_DONE[refund.origin])
        elif refund.status is RefundStatus.FAILED:
            words.append("refund.failed")
        elif was is None or was.status is RefundStatus.FAILED:  # a person may have a failed one tried again
            words.append("refund.opened")
    return tuple(words)
