"""For those who watch over it: is it alive, can it work, what does it do."""

from __future__ import annotations

from typing import Final

from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from oncepay.domain.errors import Unavailable
from oncepay.engine.core import log
from oncepay.engine.metrics import STORE
from oncepay.http import answers
from oncepay.http.exchange import Answer, Ask, Reply, Resource, Verb, ok
from oncepay.http.reading import Nothing

_METRICS: Final = CONTENT_TYPE_LATEST.encode()


async def livez(_ask: Ask[None, Nothing]) -> Reply:
    """The process answers. Looks at nothing else: a store that is away is no reason to kill it."""
    return ok({"status": "ok"})


async def readyz(ask: Ask[None, Nothing]) -> Reply:
    """The store answers too, so requests can be served."""
    await ask.engine.ledger.ping()
    return ok({"status": "ok"})


async def metrics(ask: Ask[None, Nothing]) -> Reply:
    """What was done, and what waits in the store, in Prometheus' text format."""
    try:
        for what, value in (await ask.engine.ledger.stats(ask.engine.clock.now_ms())).items():
            STORE.labels(what).set(value)
    except Unavailable as error:  # what this process knows is worth the more then
        STORE.clear()
        log.warning("metrics.partial why=%s", error.detail)
    return Reply(200, generate_latest(), _METRICS)


_WELL: Final = (Answer(200, "All is well.", answers.Health),)

RESOURCES: Final = (
    Resource("/livez", "health", GET=Verb(run=livez, auth="open", summary="Is it alive", answers=_WELL)),
    Resource(
        "/readyz",
        "health",
        GET=Verb(run=readyz, auth="open", summary="Can it work", answers=_WELL, errors=(Unavailable,)),
    ),
    Resource(
        "/metrics",
        "health",
        GET=Verb(
            run=metrics, auth="open", summary="Metrics", answers=(Answer(200, "Prometheus text.", str, "text/plain"),)
        ),
    ),
)
