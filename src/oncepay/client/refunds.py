"""Refunds: what goes back once, at most what is kept."""

from __future__ import annotations

from oncepay.client.calls import Call, all_of, json_of, path_of
from oncepay.client.shapes import Refund, Whole


def create(payment: str, *, refund_no: str, minor: int, note: str | None = None) -> Call[Refund]:
    """Ask for money back. The amount is reserved at once; ``status`` says how far it is, and an event tells its end.

    ``refund_no``: your own number of the refund, within its payment; the same again is the same refund. ``minor``:
    minor units. ``note``: why; the payer may read it. Raises Conflict (``payment_unpaid``, ``refund_too_large``,
    ``refund_too_late``, ``refunds_spent``), KeyReused (the same refund_no with another amount), Invalid, Absent.
    """
    return Call(
        method="POST",
        path=path_of("/v1/payments/{payment}/refunds", payment=payment),
        body=json_of(refund_no=refund_no, minor=minor, note=note),
        shape=Refund,
        about=(("payment", payment), ("refund_no", refund_no), ("minor", minor)),
        money=True,
        again="the refund_no makes it the same refund",
    )


def get(refund: str) -> Call[Refund]:
    """Read a refund by its id, ``ref_...``. Raises Absent."""
    return Call(
        method="GET", path=path_of("/v1/refunds/{refund}", refund=refund), shape=Refund, about=(("id", refund),)
    )


def of_number(payment: str, refund_no: str) -> Call[Refund]:
    """Read a refund by your own number of it. Raises Absent."""
    return Call(
        method="GET",
        path=path_of("/v1/payments/{payment}/refunds/{refund_no}", payment=payment, refund_no=refund_no),
        shape=Refund,
        about=(("payment", payment), ("refund_no", refund_no)),
    )


def listed(payment: str) -> Call[tuple[Refund, ...]]:
    """All refunds of a payment: yours, what went back of money that was not owed, and what went back without the
    centre. Raises Absent."""
    return Call(
        method="GET",
        path=path_of("/v1/payments/{payment}/refunds", payment=payment),
        shape=Whole[Refund],
        then=all_of,
    )
