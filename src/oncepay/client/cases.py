"""Cases: what a person must look at, and what a person does with it.

``reason`` (why it is done, 1 to 2000 characters) and ``actor`` (whoever acts for the app, up to 64) are kept for ever.
What makes no sense as things stand is Conflict ``verb_unfit``; ``detail`` says why. What was done before is answered
with ``replayed``, or refused as unfit; when the answer to an earlier try was lost, such a refusal has the outcome
``unknown``: read the case, its ``acts`` say what was done.
"""

from __future__ import annotations

from typing import Final, Literal

from oncepay.client.calls import Call, json_of, path_of, query_of
from oncepay.client.shapes import Case, CaseSeen, Page


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


def get(case: str) -> Call[CaseSeen]:
    """Read a case, ``case_...``, with what channels said and what was done with it. Raises Absent."""
    return Call(method="GET", path=path_of("/v1/cases/{case}", case=case), shape=CaseSeen, about=(("id", case),))


# -- what a person does with it ----------------------------------------------------------------------------------


def query(case: str, *, reason: str, actor: str | None = None) -> Call[CaseSeen]:
    """Ask the channel now about the attempt or the refund of the case: always the first thing to do. Raises Conflict
    (``verb_unfit``), Unavailable (``busy``: a call is in flight), Invalid, Absent."""
    return _do(case, "query", "a question moves no money", reason=reason, actor=actor)


def close(case: str, *, reason: str, actor: str | None = None, cancel: bool = False) -> Call[CaseSeen]:
    """Close the attempt of the case at its channel now. With ``cancel`` the channel also SENDS BACK what was paid,
    where it can do that. Raises Conflict (``verb_unfit``), Unavailable (``busy``: a call is in flight), Invalid,
    Absent."""
    # A case that names no attempt (``poisoned``) is about the one in doubt, and once that is closed about the next.
    again = "read the case, its acts say what was done"
    return _do(case, "close", again, once=True, reason=reason, actor=actor, cancel=cancel)


def accept(
    case: str,
    *,
    reason: str,
    actor: str | None = None,
    evidence: str | None = None,
    trade_no: str | None = None,
    minor: int | None = None,
) -> Call[CaseSeen]:
    """State that the money of the case did arrive: it pays the payment, also when it is not what is owed.

    ``evidence``: what shows it; ``trade_no``: the channel's own number of it; at least one of the two. ``minor``: how
    much it was, in minor units, where the case does not say. Raises Conflict (``verb_unfit``, ``payment_paid``),
    Invalid, Absent.
    """
    again = "what was accepted is not accepted twice"
    return _do(case, "accept", again, reason=reason, actor=actor, evidence=evidence, trade_no=trade_no, minor=minor)


def refund(case: str, *, reason: str, actor: str | None = None, minor: int | None = None) -> Call[CaseSeen]:
    """Send the money of the case back by the road it came; a refund that failed is tried again.

    ``minor``: how much it was, in minor units, where the case does not say. Raises Conflict (``verb_unfit``,
    ``refund_too_large``, ``refund_too_late``, ``refunds_spent``), Unavailable (``busy``: the channel's pace), Invalid,
    Absent.
    """
    return _do(case, "refund", _AGAIN_BACK, reason=reason, actor=actor, minor=minor)


def settle(
    case: str,
    *,
    reason: str,
    actor: str | None = None,
    evidence: str | None = None,
    trade_no: str | None = None,
    minor: int | None = None,
) -> Call[CaseSeen]:
    """State that it was settled outside: a refund was paid back by other means, an attempt or its money was dealt with
    by hand.

    ``evidence``: what shows it; ``trade_no``: the channel's own number of it; at least one of the two. ``minor``: how
    much of what was paid went back, in minor units. Raises Conflict (``verb_unfit``, ``refund_too_large``), Unavailable
    (``busy``: a call is in flight), Invalid, Absent.
    """
    again = "what was settled is not settled twice"
    return _do(case, "settle", again, reason=reason, actor=actor, evidence=evidence, trade_no=trade_no, minor=minor)


def retry(case: str, *, reason: str, actor: str | None = None) -> Call[CaseSeen]:
    """Try again now what is stuck: a refund gets its next number, a message that could not be taken in is taken in.
    Raises Conflict (``verb_unfit``, ``refund_too_large``, ``refund_too_late``, ``refunds_spent``), Unavailable
    (``busy``: the channel's pace), Invalid, Absent."""
    return _do(case, "retry", _AGAIN_BACK, reason=reason, actor=actor)


def note(case: str, *, reason: str, actor: str | None = None) -> Call[CaseSeen]:
    """Note something: ``reason`` is the note. It is never too late for one. Raises Invalid, Absent."""
    return _do(case, "note", "the same note stands once", reason=reason, actor=actor)


def resolve(case: str, *, reason: str, actor: str | None = None) -> Call[CaseSeen]:
    """Be done with a case: ``reason`` says what was found and done. Raises Conflict (it was resolved for another
    reason), Invalid, Absent."""
    return _do(case, "resolve", "resolving for the same reason again changes nothing", reason=reason, actor=actor)


_AGAIN_BACK: Final = "no number goes out before the last one is known to be over, so nothing goes back twice"


def _do(case: str, verb: str, again: str, *, once: bool = False, **said: object) -> Call[CaseSeen]:
    return Call(
        method="POST",
        path=path_of("/v1/cases/{case}/{verb}", case=case, verb=verb),
        body=json_of(**said),
        shape=CaseSeen,
        about=(("id", case),),
        money=True,
        once=once,
        again=again,
    )
