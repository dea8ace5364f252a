"""Cases: what a person must look at."""

from __future__ import annotations

from typing import Literal

from oncepay.client.calls import Call, json_of, path_of, query_of
from oncepay.client.shapes import Case, Page


def listed(
    *,
    status: Literal["open", "resolved", "all"] = "open",
    payment: str | None = None,
    after: str = "",
    limit: int = 20,
) -> Call[Page[Case]]:
    """Cases about payments of the app, oldest first. ``payment``: only those about this one. ``after``: ``next`` of the
    page before. ``limit``: 1 to 100 a page."""
    return Call(
        method="GET",
        path="/v1/cases",
        query=query_of(status=status, payment=payment, after=after, limit=limit),
        shape=Page[Case],
    )


def get(case: str) -> Call[Case]:
    """Read a case, ``case_...``. Raises Absent."""
    return Call(method="GET", path=path_of("/v1/cases/{case}", case=case), shape=Case, about=(("id", case),))


def resolve(case: str, *, note: str) -> Call[Case]:
    """Be done with a case. ``note``: what was found and done, 1 to 2000 characters. Raises Conflict (it is resolved
    already), Invalid, Absent."""
    return Call(
        method="POST",
        path=path_of("/v1/cases/{case}/resolve", case=case),
        body=json_of(note=note),
        shape=Case,
        about=(("id", case),),
        once=True,
        again="read the case, it shows whether it is resolved",
    )
