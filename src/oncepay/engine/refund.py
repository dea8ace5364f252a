"""Refund: money back to the payer, at most what is kept."""

from __future__ import annotations

from oncepay.domain.change import AskRefund
from oncepay.domain.payment import Payment
from oncepay.engine.core import Engine, apply
from oncepay.engine.step import run_due


async def refund(engine: Engine, payment: Payment, refund_no: str, minor: int, note: str) -> tuple[Payment, bool]:
    """Take a refund on and make its first call at once when it is its turn. The payment, and whether the refund was
    there before. Raises PaymentUnpaid, RefundTooLarge, RefundsSpent, RefundTooLate, KeyReused."""
    before = payment.refund(refund_no)
    payment = await apply(engine, payment, AskRefund(refund_no=refund_no, minor=minor, note=note))
    payment = await run_due(engine, payment, budget_ms=engine.settings.start_budget_ms)
    return payment, before is not None
