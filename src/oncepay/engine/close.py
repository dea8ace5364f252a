"""Close, reopen, amend: the app changes its mind about what is owed."""

from __future__ import annotations

from oncepay.domain.change import Amend, Close, Reopen
from oncepay.domain.payment import IfPaid, Payment
from oncepay.engine.core import Engine, apply
from oncepay.engine.step import run_due


async def close(engine: Engine, payment: Payment, if_paid: IfPaid) -> Payment:
    """Give a payment up. Its attempts are closed at their channels now, as far as these answer in time; what is left
    goes on by itself. ``closing`` in the result says that it is not over yet. Raises PaymentPaid."""
    payment = await apply(engine, payment, Close(if_paid=if_paid))
    return await run_due(engine, payment, budget_ms=engine.settings.start_budget_ms, ahead_ms=1_000)


async def reopen(engine: Engine, payment: Payment, deadline_ms: int) -> Payment:
    """An unpaid closed payment is owed again. Raises PaymentPaid, PaymentOpen, DeadlineInvalid."""
    return await apply(engine, payment, Reopen(deadline_ms=deadline_ms))


async def amend(engine: Engine, payment: Payment, *, minor: int | None, deadline_ms: int | None) -> Payment:
    """Another amount or deadline while nothing is on its way. Raises AttemptLive, PaymentPaid, PaymentClosed."""
    return await apply(engine, payment, Amend(minor=minor, deadline_ms=deadline_ms))
