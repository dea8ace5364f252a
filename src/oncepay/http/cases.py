"""Cases: what a person must look at. An app sees those about its own payments; an operator sees all of them."""

from __future__ import annotations

from typing import Final

from oncepay.domain import errors
from oncepay.engine import cases
from oncepay.http import answers, bodies, named, views
from oncepay.http.exchange import Answer, Ask, Reply, Resource, Verb, ok
from oncepay.http.reading import Nothing
from oncepay.ports import Page


async def listed(ask: Ask[None, bodies.ListCases]) -> Reply:
    """List cases, oldest first."""
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
    return ok(views.page([views.case(row) for row in rows], after))


async def read(ask: Ask[None, Nothing]) -> Reply:
    """Read a case."""
    return ok(views.case(await named.case(ask)))


async def resolve(ask: Ask[bodies.ResolveCase, Nothing]) -> Reply:
    """Be done with a case, with a note that says what was found and done."""
    row = await named.case(ask)
    return ok(views.case(await cases.resolve(ask.engine, row.id, ask.body.note)))


_ONE: Final = (Answer(200, "The case.", answers.CaseView),)

RESOURCES: Final = (
    Resource(
        "/v1/cases",
        "cases",
        GET=Verb(
            run=listed,
            auth="key",
            summary="List cases",
            query=bodies.ListCases,
            answers=(Answer(200, "A page of cases.", answers.CaseList),),
            errors=(errors.PaymentAbsent,),
        ),
    ),
    Resource(
        "/v1/cases/{case}",
        "cases",
        GET=Verb(run=read, auth="key", summary="Read a case", answers=_ONE, errors=(errors.CaseAbsent,)),
    ),
    Resource(
        "/v1/cases/{case}/resolve",
        "cases",
        POST=Verb(
            run=resolve,
            auth="key",
            summary="Resolve a case",
            body=bodies.ResolveCase,
            answers=_ONE,
            errors=(errors.CaseAbsent, errors.Conflict, errors.Invalid),
        ),
    ),
)
