"""The small world that is explored: its state, and a channel that keeps books and takes whatever it is told."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from oncepay.domain.attempt import Call, Direction, Fact, Reason, Road
from oncepay.domain.capabilities import DAY, MIN, Capabilities, H, Method, S
from oncepay.domain.change import Evidence
from oncepay.domain.payment import Payment

OWED: Final = 100

CAPABILITIES: Final = Capabilities(
    methods={"a": Method(credential="qr"), "b": Method(credential="qr")},
    currencies=frozenset({"CNY"}),
    query_at_ms=(10 * S,),
    again_at_ms=(10 * MIN,),
    again_closed_at_ms=(1 * MIN,),
    refund_query_at_ms=(2 * S, 1 * H, 2 * DAY, 9 * DAY),
    refund_retry_at_ms=(1 * H, 6 * H),
)
# How the first attempt comes about. ``call``: its code comes by a call, again and again. ``page``: without asking the
# channel, which knows of it when a payer opens it. ``form``: the same at a channel that cannot close. ``once``: its
# code is told once. The second attempt is always by a call, at a channel that closes.
_WITHOUT_CALL: Final = {"a": Method(credential="url", made_by_call=False), "b": Method(credential="qr")}
_TOLD_ONCE: Final = {"a": Method(credential="qr", renewable=False), "b": Method(credential="qr")}
WAYS: Final = {
    "call": CAPABILITIES,
    "page": msgspec.structs.replace(CAPABILITIES, methods=_WITHOUT_CALL),
    "form": msgspec.structs.replace(CAPABILITIES, methods=_WITHOUT_CALL, closes=False),
    "once": msgspec.structs.replace(CAPABILITIES, methods=_TOLD_ONCE),
}


class Flight(msgspec.Struct, frozen=True):
    """A call whose intent is committed: ``going`` towards the channel, or its answer ``coming`` back."""

    call: Call
    number: str
    answer: Evidence | None = None


class World(msgspec.Struct, frozen=True):
    """One state. ``orders`` and ``backs`` are the channel's books: what it knows of a number."""

    payment: Payment
    now_ms: int
    orders: tuple[tuple[str, str], ...] = ()  # number -> unpaid, paid, closed
    backs: tuple[tuple[str, str, int, str], ...] = ()  # number, of, minor, accepted | closed
    told: tuple[str, ...] = ()  # numbers with a notification on its way
    flight: Flight | None = None
    faults: int = 0  # answers and calls that may still be lost, notifications that may never come
    crashes: int = 0
    payers: int = 2
    late_payers: int = 0  # whose money the channel takes although it closed the order
    wishes: tuple[str, ...] = ()  # what the app may still ask for
    way: str = "call"  # how the first attempt comes about, see explore.py


def policy_of(world: World) -> dict[str, Capabilities]:
    """The first attempt is at ``x``, the second at ``y``."""
    return {"x": WAYS[world.way], "y": CAPABILITIES}


def replace(world: World, **fields: Any) -> World:
    return msgspec.structs.replace(world, **fields)


def put(orders: tuple[tuple[str, str], ...], number: str, state: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted({**dict(orders), number: state}.items()))


def state_of(world: World, number: str) -> str:
    """absent, unpaid, paid, closed: where nothing can be closed, what is unpaid ends with its time."""
    state = dict(world.orders).get(number, "absent")
    attempt = world.payment.attempt(number)
    over = world.way == "form" and attempt is not None and attempt.method == "a" and world.now_ms >= attempt.expires_ms
    return "closed" if over and state == "unpaid" else state


def serve(world: World, flight: Flight) -> tuple[World, Evidence]:
    """What the channel does and says. It takes any refund: that none is too many is ours to see to."""
    number, call = flight.number, flight.call
    state = state_of(world, number)
    if call is Call.PREPAY:
        if state in {"absent", "unpaid"}:
            return replace(world, orders=put(world.orders, number, "unpaid")), said(number, Fact.PENDING, call)
        return world, said(number, Fact.SILENT, call)
    if call is Call.QUERY:
        if state == "paid":
            return world, moved(number, Road.QUERY, call)
        fact = {"absent": Fact.ABSENT, "unpaid": Fact.PENDING, "closed": Fact.OVER}[state]
        return world, said(number, fact, call)
    if call is Call.CLOSE:
        if state == "paid":
            return world, said(number, Fact.SILENT, call)
        if state == "absent":
            return world, said(number, Fact.ABSENT, call)
        return replace(world, orders=put(world.orders, number, "closed")), said(number, Fact.OVER, call)
    return _serve_refund(world, number, call)


def _serve_refund(world: World, number: str, call: Call) -> tuple[World, Evidence]:
    known = next((back for back in world.backs if back[0] == number), None)
    attempt = world.payment.attempt(number)
    assert attempt is not None
    if known is None and call is Call.QUERY_REFUND:
        return world, said(number, Fact.ABSENT, call, out=attempt.of)
    if known is None:
        backs = (*world.backs, (number, attempt.of, attempt.minor, "accepted"))
        return replace(world, backs=backs), said(number, Fact.PENDING, call, out=attempt.of)
    fact = Fact.MOVED if call is Call.QUERY_REFUND else Fact.PENDING
    return world, said(number, fact, call, out=attempt.of, minor=known[2])


def said(number: str, fact: Fact, call: Call, *, out: str = "", minor: int | None = None) -> Evidence:
    return Evidence(
        number=number,
        fact=fact,
        road=Road.QUERY if call in {Call.QUERY, Call.QUERY_REFUND} else Road.REPLY,
        direction=Direction.OUT if out else Direction.IN,
        call=call,
        reason=Reason.CLOSED if fact is Fact.OVER else Reason.NONE,
        of=out,
        minor=minor,
        currency="CNY" if minor is not None else None,
    )


def moved(number: str, road: Road, call: Call | None = None) -> Evidence:
    return Evidence(number=number, fact=Fact.MOVED, road=road, call=call, minor=OWED, currency="CNY", trade_no=number)
