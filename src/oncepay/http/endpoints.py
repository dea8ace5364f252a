"""Endpoints: where an app hears its events."""

from __future__ import annotations

from typing import Final

from oncepay.domain import errors
from oncepay.engine import admin
from oncepay.http import answers, bodies, views
from oncepay.http.exchange import Answer, Ask, Reply, Resource, Verb, ok
from oncepay.http.reading import Nothing
from oncepay.ports import Endpoint


async def create(ask: Ask[bodies.NewEndpoint, Nothing]) -> Reply:
    """Add an endpoint. Its secret is shown this once; what happens from a second later on is sent to it, and what
    happened before can be read from the feed.

    The url is its natural key: an app has one endpoint of a url. Answers show it without user and password.
    """
    endpoint, secret = await admin.add_endpoint(ask.engine, ask.app, ask.body.url)
    return ok({**views.endpoint(endpoint), "secret": secret}, 201)


async def listed(ask: Ask[None, Nothing]) -> Reply:
    """All endpoints of the app, disabled ones too."""
    return ok({"data": [views.endpoint(e) for e in ask.engine.directory.endpoints_of(ask.app.id)]})


def _named(ask: Ask[None, Nothing]) -> Endpoint:
    endpoint = ask.engine.directory.endpoint(ask.params["endpoint"])
    if endpoint is None or endpoint.app != ask.app.id:
        raise errors.EndpointAbsent
    return endpoint


async def read(ask: Ask[None, Nothing]) -> Reply:
    """Read an endpoint."""
    return ok(views.endpoint(_named(ask)))


async def remove(ask: Ask[None, Nothing]) -> Reply:
    """Remove an endpoint, and forget what was still to be sent to it."""
    await admin.remove_endpoint(ask.engine, ask.app, _named(ask).id)
    return Reply(204)


async def rotate(ask: Ask[None, Nothing]) -> Reply:
    """Make a new secret. Messages carry the signatures of both, the new and the one before, until the next rotation."""
    endpoint = _named(ask)
    secret = await admin.rotate_secret(ask.engine, ask.app, endpoint.id)
    return ok({**views.endpoint(endpoint), "secret": secret})


async def enable(ask: Ask[None, Nothing]) -> Reply:
    """Send to a disabled endpoint again. What happened meanwhile is parked, and can be replayed."""
    return ok(views.endpoint(await admin.enable_endpoint(ask.engine, ask.app, _named(ask).id)))


_ABSENT: Final = (errors.EndpointAbsent,)
_CHANGED: Final = (errors.EndpointAbsent, errors.Conflict)  # by others all the time
_ONE: Final = (Answer(200, "The endpoint.", answers.EndpointView),)

RESOURCES: Final = (
    Resource(
        "/v1/endpoints",
        "endpoints",
        POST=Verb(
            run=create,
            auth="key",
            summary="Add an endpoint",
            body=bodies.NewEndpoint,
            answers=(Answer(201, "Added; the secret is shown this once.", answers.EndpointSecret),),
            errors=(errors.Invalid, errors.KeyReused, errors.Conflict),
        ),
        GET=Verb(
            run=listed,
            auth="key",
            summary="List endpoints",
            answers=(Answer(200, "All of them.", answers.EndpointList),),
        ),
    ),
    Resource(
        "/v1/endpoints/{endpoint}",
        "endpoints",
        GET=Verb(run=read, auth="key", summary="Read an endpoint", answers=_ONE, errors=_ABSENT),
        DELETE=Verb(
            run=remove, auth="key", summary="Remove an endpoint", answers=(Answer(204, "Removed."),), errors=_ABSENT
        ),
    ),
    Resource(
        "/v1/endpoints/{endpoint}/rotate",
        "endpoints",
        POST=Verb(
            run=rotate,
            auth="key",
            summary="Rotate an endpoint's secret",
            answers=(Answer(200, "The new secret, shown this once.", answers.EndpointSecret),),
            errors=_CHANGED,
        ),
    ),
    Resource(
        "/v1/endpoints/{endpoint}/enable",
        "endpoints",
        POST=Verb(run=enable, auth="key", summary="Enable an endpoint", answers=_ONE, errors=_CHANGED),
    ),
)
