"""Cases: what a person must look at, and what a person does with it. An app sees and handles those about its own
payments; an operator all of them, by ``oncepay cases``."""

from __future__ import annotations

from typing import Any, Final

from msgspec import UNSET

from oncepay.domain import errors
from oncepay.domain.change import Verb as Do
from oncepay.engine import cases
from oncepay.http import answers, bodies, named, views
from oncepay.http.exchange import Answer, Ask, Reply, Resource, Verb, ok
from oncepay.http.reading import Nothing
from oncepay.ports import Page


async def listed(ask: Ask[None, bodies.ListCases]) -> Reply:
    """List cases, oldest first: how old, how much money is at risk, what happens by itself and when."""
    query = ask.query
    payment_id = ""
    if query.payment:
        payment_id = (await named.payment_of(ask.engine, ask.app, query.payment)).id
    rows, after = await ask.engine.ledger.cases(
        Page(limit=query.limit, after=query.after),
        app=ask.app.id,
        status="" if query.status == "all" else query.status,
        payment_id=payment_id,
    )
    return ok(views.page([views.case(seen) for seen in await cases.look(ask.engine, rows)], after))


async def read(ask: Ask[None, Nothing]) -> Reply:
    """Read a case, with what channels said of what it is about, and what was done with it."""
    return ok(await views.case_seen(ask.engine, await named.case(ask)))


async def query(ask: Ask[bodies.HandleCase, Nothing]) -> Reply:
    """Ask the channel now about the attempt or the refund of the case."""
    return await _do(ask, Do.QUERY)


async def close(ask: Ask[bodies.CloseCase, Nothing]) -> Reply:
    """Close the attempt of the case at its channel now. With `cancel` the channel also sends back what was paid, where
    it can do that."""
    return await _do(ask, Do.CANCEL if ask.body.cancel else Do.CLOSE)


async def accept(ask: Ask[bodies.StateCase, Nothing]) -> Reply:
    """State that the money of the case did arrive: it pays the payment, also when it is not what is owed. `kept_minor`
    is then what really came. Say what shows it: `evidence`, `trade_no`, or both."""
    return await _do(ask, Do.ACCEPT, evidence=ask.body.evidence, trade_no=ask.body.trade_no)


async def refund(ask: Ask[bodies.RefundCase, Nothing]) -> Reply:
    """Send the money of the case back by the road it came; a refund that failed is tried again."""
    return await _do(ask, Do.REFUND)


async def settle(ask: Ask[bodies.StateCase, Nothing]) -> Reply:
    """State that it was settled outside: a refund was paid back by other means, an attempt or its money was dealt with
    by hand. Say what shows it: `evidence`, `trade_no`, or both."""
    return await _do(ask, Do.SETTLE, evidence=ask.body.evidence, trade_no=ask.body.trade_no)


async def retry(ask: Ask[bodies.HandleCase, Nothing]) -> Reply:
    """Try again now what is stuck: a refund gets its next number, a message that could not be taken in is taken in."""
    return await _do(ask, Do.RETRY)


async def note(ask: Ask[bodies.HandleCase, Nothing]) -> Reply:
    """Note something: `reason` is the note. The same again stands once."""
    return await _do(ask, Do.NOTE)


async def resolve(ask: Ask[bodies.HandleCase, Nothing]) -> Reply:
    """Be done with a case: `reason` says what was found and done."""
    return await _do(ask, Do.RESOLVE)


async def _do(ask: Ask[Any, Nothing], verb: Do, *, evidence: str = "", trade_no: str = "") -> Reply:
    """The case as it is then. Who acts is the app, and whoever it says acts for it."""
    row, body = await named.case(ask), ask.body
    minor = getattr(body, "minor", UNSET)
    wish = cases.Wish(
        verb=verb,
        actor=f"app:{ask.app.id}" + (f" {body.actor}" if body.actor else ""),
        reason=body.reason,
        evidence=evidence,
        trade_no=trade_no,
        minor=None if minor is UNSET else minor,
    )
    done = await cases.act(ask.engine, row, wish)
    try:
        return ok(await views.case_seen(ask.engine, await named.case(ask)), replayed=not done)
    except errors.Unavailable as error:
        did = "It was done" if done else "It was done before"
        raise errors.Unavailable(f"{did}; how the case stands now cannot be read: {error.detail}") from None


_PAGE: Final = (Answer(200, "A page of cases.", answers.CaseList),)
_ONE: Final = (Answer(200, "The case.", answers.CaseSeen),)
_REFUSED: Final = (
    errors.CaseAbsent,
    errors.PaymentAbsent,
    errors.VerbUnfit,
    errors.Busy,
    errors.Overloaded,
    errors.CommitUnknown,
)
_TRIED: Final = (*_REFUSED, errors.RefundTooLarge, errors.RefundTooLate, errors.RefundsSpent)
_STATED: Final = (*_REFUSED, errors.AmountInvalid)


def _verb(path: str, run: Any, summary: str, body: Any, refused: tuple[type[errors.OncepayError], ...]) -> Resource:
    verb = Verb(run=run, auth="key", summary=summary, body=body, answers=_ONE, errors=refused, money=True)
    return Resource(f"/v1/cases/{{case}}/{path}", "cases", POST=verb)


RESOURCES: Final = (
    Resource(
        "/v1/cases",
        "cases",
        GET=Verb(
            run=listed,
            auth="key",
            summary="List cases",
            query=bodies.ListCases,
            answers=_PAGE,
            errors=(errors.PaymentAbsent,),
        ),
    ),
    Resource(
        "/v1/cases/{case}",
        "cases",
        GET=Verb(run=read, auth="key", summary="Read a case", answers=_ONE, errors=(errors.CaseAbsent,)),
    ),
    _verb("query", query, "Ask the channel now", bodies.HandleCase, _REFUSED),
    _verb("close", close, "Close at the channel", bodies.CloseCase, _REFUSED),
    _verb("accept", accept, "The money did arrive", bodies.StateCase, (*_STATED, errors.PaymentPaid)),
    _verb("refund", refund, "The money goes back", bodies.RefundCase, (*_TRIED, errors.AmountInvalid)),
    _verb("settle", settle, "It was settled outside", bodies.StateCase, (*_STATED, errors.RefundTooLarge)),
    _verb("retry", retry, "Try again now", bodies.HandleCase, _TRIED),
    _verb("note", note, "Note something", bodies.HandleCase, (errors.CaseAbsent, errors.CommitUnknown)),
    _verb(
        "resolve",
        resolve,
        "Resolve a case",
        bodies.HandleCase,
        (errors.CaseAbsent, errors.Conflict, errors.CommitUnknown),
    ),
)
