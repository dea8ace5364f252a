"""Deliveries: events on their way to endpoints, above all those that did not arrive."""

from __future__ import annotations

from typing import Literal

from oncepay.client.calls import Call, json_of, path_of, query_of
from oncepay.client.shapes import Delivery, Page, Replayed

DeliveryStatus = Literal["due", "done", "parked"]

_AGAIN = "receivers drop what they have seen, by the event's id"


def listed(
    *, status: DeliveryStatus | None = None, payment: str | None = None, after: str = "", limit: int = 20
) -> Call[Page[Delivery]]:
    """Deliveries: ``due`` (on their way), ``done``, or ``parked`` (all tries used up, or the endpoint disabled), those
    of this ``payment``. ``after``: ``next`` of the page before. ``limit``: 1 to 100 a page."""
    return Call(
        method="GET",
        path="/v1/deliveries",
        query=query_of(status=status, payment=payment, after=after, limit=limit),
        shape=Page[Delivery],
    )


def replay(*, status: DeliveryStatus = "parked", endpoint: str = "", payment: str = "", limit: int = 1000) -> Call[int]:
    """Make all deliveries again that are ``status``, to this ``endpoint``, of this ``payment``; how many are due again.
    ``limit``: 1 to 1000 at a time."""
    return Call(
        method="POST",
        path="/v1/deliveries/replay",
        body=json_of(status=status, endpoint=endpoint, payment=payment, limit=limit),
        shape=Replayed,
        then=_count,
        again=_AGAIN,
    )


def replay_one(delivery: str) -> Call[int]:
    """Make one delivery again, whatever became of it: ``dlv_...``. Raises Absent."""
    return Call(
        method="POST",
        path=path_of("/v1/deliveries/{delivery}/replay", delivery=delivery),
        shape=Replayed,
        then=_count,
        again=_AGAIN,
    )


def _count(replayed: Replayed) -> int:
    return replayed.replayed
