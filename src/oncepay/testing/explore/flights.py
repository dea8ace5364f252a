"""Calls on their way."""

from __future__ import annotations

import msgspec

from oncepay.domain.attempt import Call, Fact
from oncepay.domain.capabilities import H
from oncepay.domain.change import Credential, Evidence
from oncepay.testing.explore.world import FAR_MS, NOW_MS, Flight, code


def older(flight: Flight, ms: int) -> Flight:
    """It began so much longer ago, and so did what its answer says."""
    if flight.asked_ms:
        flight = msgspec.structs.replace(flight, asked_ms=max(flight.asked_ms - ms, NOW_MS - FAR_MS))
    answer = flight.answer
    if answer is None or not answer.said_ms:
        return flight
    said_ms = max(answer.said_ms - ms, NOW_MS - FAR_MS)
    return msgspec.structs.replace(flight, answer=msgspec.structs.replace(answer, said_ms=said_ms))


def brings_code(flight: Flight, answer: Evidence) -> bool:
    """Whether an answer brings a code to pay by."""
    return flight.call is Call.PREPAY and answer.fact is Fact.PENDING


def brought_code(flight: Flight, *, anew: bool) -> Credential:
    """The code that the answer of a call brings. ``anew``: each call makes another."""
    return Credential(body=code(flight.call_no) if anew else "{}", until_ms=NOW_MS + 2 * H)


def added(flights: tuple[Flight, ...], flight: Flight) -> tuple[Flight, ...]:
    """Who is on the way, in an order of their own: it makes no difference who set out first."""
    if not flights:
        return (flight,)
    return tuple(
        sorted((*flights, flight), key=lambda f: (f.number, f.call, f.stray, f.call_no, f.asked_ms, repr(f.answer)))
    )
