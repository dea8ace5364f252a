"""Events: what apps must hear, for those who rather ask: the pull road."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from oncepay.domain import errors
from oncepay.engine.deliver import event_body
from oncepay.http import answers, bodies, named
from oncepay.http.exchange import Answer, Ask, Reply, Resource, Verb, ok
from oncepay.http.reading import Nothing
from oncepay.ports import Page

LOOK_S: Final = 0.5


async def listed(ask: Ask[None, bodies.ListEvents]) -> Reply:
    """All events of the app, oldest first, from the cursor on. Keep `next` with what you have taken in, and go on from
    it: no event is ever skipped, also when many processes write. Act on versions: drop what is older than you know.
    """
    query, ledger = ask.query, ask.engine.ledger
    loop = asyncio.get_running_loop()
    end = loop.time() + min(query.wait, ask.context.max_wait_s)
    page = Page(limit=query.limit, after=query.after)
    rows, after = await ledger.events(ask.app.id, page)
    while not rows and (left := end - loop.time()) > 0:
        await asyncio.sleep(min(left, LOOK_S))
        rows, after = await ledger.events(ask.app.id, page)
    return ok({"data": [msgspec.Raw(event_body(row)) for row in rows], "next": after or query.after})


async def read(ask: Ask[None, Nothing]) -> Reply:
    """Read one event, as it was delivered."""
    row = await ask.engine.ledger.event(ask.app.id, *named.event(ask))
    if row is None:
        raise errors.EventAbsent
    return Reply(200, event_body(row))


RESOURCES: Final = (
    Resource(
        "/v1/events",
        "events",
        GET=Verb(
            run=listed,
            auth="key",
            summary="Pull events",
            query=bodies.ListEvents,
            answers=(Answer(200, "Events after the cursor; none when there is no news.", answers.EventList),),
        ),
    ),
    Resource(
        "/v1/events/{event}",
        "events",
        GET=Verb(
            run=read,
            auth="key",
            summary="Read an event",
            answers=(Answer(200, "The event.", answers.Event),),
            errors=(errors.EventAbsent,),
        ),
    ),
)
