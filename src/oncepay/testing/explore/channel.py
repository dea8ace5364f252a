"""What the channel does with a call and says to it: as it should, and wrongly as often as the world allows.

==========  ======================================================================================================
refusal     it refuses: an order that it does not know, or a refund, also one that it carried out on the first call
turned away it refuses for want of balance, which says nothing of the refund
lag         a query answers as if the last thing had not happened yet (twice, minutes apart, is more than we survive)
undone      a refund that it took on does not go out after all
raced       it says that it has closed an order, which was paid at the same moment
unclosed    it says that it has closed an order, and has not (only where its word is not final)
==========  ======================================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from oncepay.domain.attempt import Attempt, Call, Direction, Fact, Reason, Road
from oncepay.domain.capabilities import Capabilities
from oncepay.domain.change import Evidence, Fault
from oncepay.testing.explore.judge import order_of
from oncepay.testing.explore.world import CONSOLE, OWED, Books


class Taken(NamedTuple):
    """What became of a call. ``spent``: the word of ``may`` that it takes, "" when it is as it should be."""

    books: Books
    answer: Evidence
    spent: str = ""


def serve(call: Call, attempt: Attempt, books: Books, capabilities: Capabilities) -> Iterator[Taken]:
    """What may become of a call, first as it should be. The channel takes any refund: that none is too many is ours
    to see to. Only where somebody else sent money back it refuses what is more than is left."""
    match call:
        case Call.PREPAY:
            yield from _prepay(attempt, books)
        case Call.QUERY:
            yield from _query(attempt, books, capabilities)
        case Call.CLOSE:
            yield from _close(attempt, books, capabilities)
        case Call.REFUND:
            yield from _refund(attempt, books)
        case _:
            yield from _query_refund(attempt, books)


def _prepay(attempt: Attempt, books: Books) -> Iterator[Taken]:
    no, state = attempt.no, books.order(attempt.no)
    if state in {"absent", "unpaid"}:
        yield Taken(books.put(no, "unpaid"), said(no, Fact.PENDING, Call.PREPAY))
    else:
        yield Taken(books, said(no, Fact.SILENT, Call.PREPAY))
    yield Taken(books, said(no, Fact.OVER, Call.PREPAY, reason=Reason.REFUSED), "refusal")


def _query(attempt: Attempt, books: Books, capabilities: Capabilities) -> Iterator[Taken]:
    no, state = attempt.no, order_of(attempt, books, capabilities)
    if state == "paid":
        yield Taken(books, moved(no, Road.QUERY, attempt.minor, Call.QUERY))
    else:
        fact = {"absent": Fact.ABSENT, "unpaid": Fact.PENDING, "closed": Fact.OVER}[state]
        yield Taken(books, said(no, fact, Call.QUERY))
    if state in {"paid", "unpaid"}:
        yield Taken(books, said(no, Fact.PENDING if state == "paid" else Fact.ABSENT, Call.QUERY), "lag")


def _close(attempt: Attempt, books: Books, capabilities: Capabilities) -> Iterator[Taken]:
    no, state = attempt.no, order_of(attempt, books, capabilities)
    if state == "paid":
        yield Taken(books, said(no, Fact.SILENT, Call.CLOSE))
        yield Taken(books, said(no, Fact.OVER, Call.CLOSE), "raced")
    elif state == "absent":
        yield Taken(books, said(no, Fact.ABSENT, Call.CLOSE))
    else:
        over = said(no, Fact.OVER, Call.CLOSE)
        yield Taken(books.put(no, "closed"), over)
        if not capabilities.close_final:
            yield Taken(books, over, "unclosed")


def _refund(attempt: Attempt, books: Books) -> Iterator[Taken]:
    no, known = attempt.no, books.back(attempt.no)
    refused = said(no, Fact.OVER, Call.REFUND, of=attempt.of, reason=Reason.REFUSED)
    if (known is not None and known[3] == "closed") or (known is None and _more_than_is_left(attempt, books)):
        yield Taken(books, refused)
        return
    after = books if known else books.put_back(no, attempt.of, attempt.minor, "accepted")
    yield Taken(after, said(no, Fact.PENDING, Call.REFUND, of=attempt.of, minor=attempt.minor))
    yield Taken(books, refused, "refusal")
    if known is None:
        poor = said(no, Fact.OVER, Call.REFUND, of=attempt.of, reason=Reason.REFUSED, fault=Fault.BALANCE)
        yield Taken(books, poor, "turned away")


def _more_than_is_left(attempt: Attempt, books: Books) -> bool:
    if not any(number.startswith(CONSOLE) and of == attempt.of for number, of, _, _ in books.backs):
        return False
    return books.went_back(attempt.of) + attempt.minor > OWED


def _query_refund(attempt: Attempt, books: Books) -> Iterator[Taken]:
    no, of, known, call = attempt.no, attempt.of, books.back(attempt.no), Call.QUERY_REFUND
    if known is None:
        yield Taken(books, said(no, Fact.ABSENT, call, of=of))
        return
    _, _, minor, how = known
    over = said(no, Fact.OVER, call, of=of)
    if how == "closed":
        yield Taken(books, over)
        return
    after = books.put_back(no, of, minor, "done")
    yield Taken(after, said(no, Fact.MOVED, call, of=of, minor=minor))
    yield Taken(books, said(no, Fact.PENDING, call, of=of), "lag")
    if how == "accepted":
        yield Taken(books.put_back(no, of, minor, "closed"), over, "undone")


@cache
def said(
    number: str,
    fact: Fact,
    call: Call,
    *,
    of: str = "",
    minor: int | None = None,
    reason: Reason = Reason.CLOSED,
    fault: Fault = Fault.NONE,
) -> Evidence:
    """What an answer says of a number."""
    return Evidence(
        number=number,
        fact=fact,
        road=Road.QUERY if call in {Call.QUERY, Call.QUERY_REFUND} else Road.REPLY,
        direction=Direction.OUT if of else Direction.IN,
        call=call,
        reason=reason if fact is Fact.OVER else Reason.NONE,
        fault=fault,
        of=of,
        minor=minor,
        currency="CNY" if minor is not None else None,
    )


@cache
def moved(number: str, road: Road, minor: int, call: Call | None = None, of: str = "") -> Evidence:
    """That money moved: in, or out where it reverses the number ``of``."""
    return Evidence(
        number=number,
        fact=Fact.MOVED,
        road=road,
        direction=Direction.OUT if of else Direction.IN,
        call=call,
        minor=minor,
        currency="CNY",
        of=of,
        trade_no="" if of else number,
    )
