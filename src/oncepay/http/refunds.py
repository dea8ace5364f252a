"""Refunds: money back to the payer, at most what is kept."""

from __future__ import annotations

from typing import Final

from oncepay.domain import errors
from oncepay.domain.snapshot import visible
from oncepay.engine import refund as refunding
from oncepay.http import answers, bodies, named, views
from oncepay.http.exchange import Answer, Ask, Reply, Resource, Verb, ok
from oncepay.http.reading import Nothing


async def create(ask: Ask[bodies.NewRefund, Nothing]) -> Reply:
    """Ask for money back. The amount is reserved at once; `status` says how far it is, and an event tells its end.

    The same `refund_no` again is the same refund, with `Oncepay-Replayed: true`; with another amount it is refused.
    Refunds of one payment go one at a time: a second one waits for its turn.
    """
    body = ask.body
    stored, was_there = await refunding.refund(
        ask.engine, await named.payment(ask), body.refund_no, body.minor, body.note
    )
    made = stored.refund(body.refund_no)
    if made is None:
        raise errors.RefundAbsent
    return ok(views.refund(stored, made), 200 if was_there else 201, replayed=was_there)


async def listed(ask: Ask[None, Nothing]) -> Reply:
    """All refunds of a payment: yours, and what went back of money that was not owed."""
    stored = await named.payment(ask)
    return ok({"data": [views.refund(stored, refund) for refund in stored.refunds if visible(refund)]})


async def read_by_number(ask: Ask[None, Nothing]) -> Reply:
    """Read a refund by your own number of it."""
    stored = await named.payment(ask)
    refund = stored.refund(ask.params["refund_no"])
    if refund is None or not visible(refund):
        raise errors.RefundAbsent
    return ok(views.refund(stored, refund))


async def read(ask: Ask[None, Nothing]) -> Reply:
    """Read a refund by its id."""
    return ok(views.refund(*await named.refund(ask)))


_READ: Final = (Answer(200, "The refund.", answers.RefundView),)

RESOURCES: Final = (
    Resource(
        "/v1/payments/{payment}/refunds",
        "refunds",
        POST=Verb(
            run=create,
            auth="key",
            summary="Refund a payment",
            body=bodies.NewRefund,
            answers=(
                Answer(201, "Taken on.", answers.RefundView),
                Answer(200, "It was there before.", answers.RefundView),
            ),
            errors=(
                errors.PaymentAbsent,
                errors.NumberInvalid,
                errors.AmountInvalid,
                errors.PaymentUnpaid,
                errors.RefundTooLarge,
                errors.RefundsSpent,
                errors.RefundTooLate,
                errors.KeyReused,
                errors.Busy,
                errors.Overloaded,
                errors.CommitUnknown,
            ),
            money=True,
        ),
        GET=Verb(
            run=listed,
            auth="key",
            summary="List the refunds of a payment",
            answers=(Answer(200, "Oldest first.", answers.RefundList),),
            errors=(errors.PaymentAbsent,),
        ),
    ),
    Resource(
        "/v1/payments/{payment}/refunds/{refund_no}",
        "refunds",
        GET=Verb(
            run=read_by_number,
            auth="key",
            summary="Read a refund by your number",
            answers=_READ,
            errors=(errors.PaymentAbsent, errors.RefundAbsent),
        ),
    ),
    Resource(
        "/v1/refunds/{refund}",
        "refunds",
        GET=Verb(run=read, auth="key", summary="Read a refund", answers=_READ, errors=(errors.RefundAbsent,)),
    ),
)
