"""Endpoints: where an app is told its events."""

from __future__ import annotations

from oncepay.client.calls import Call, all_of, json_of, path_of
from oncepay.client.shapes import Endpoint, EndpointSecret, Whole


def create(*, url: str) -> Call[EndpointSecret]:
    """Add an endpoint; events that happen from now on are sent to it. Its secret is shown this once: keep it.

    ``url``: https, or a broker's (``amqps://user:password@host/vhost?queue=NAME`` ...), on a public address; a broker's
    is answered without its login. Raises KeyReused (there is one of this url: ``problem["endpoint"]``), Conflict,
    Invalid.
    """
    return Call(
        method="POST",
        path="/v1/endpoints",
        body=json_of(url=url),
        shape=EndpointSecret,
        about=(("url", url),) if url.startswith("http") else (),
        once=True,
        again="look into endpoints.list; if it is there, endpoints.rotate shows a new secret",
    )


def get(endpoint: str) -> Call[Endpoint]:
    """Read an endpoint. Raises Absent."""
    return Call(method="GET", path=_path("", endpoint), shape=Endpoint, about=(("id", endpoint),))


def listed() -> Call[tuple[Endpoint, ...]]:
    """All endpoints of the app, disabled ones too."""
    return Call(method="GET", path="/v1/endpoints", shape=Whole[Endpoint], then=all_of)


def rotate(endpoint: str) -> Call[EndpointSecret]:
    """Make a new secret, shown this once. Messages carry the signatures of both, the new one and the one before, until
    the next rotation: give ``verify`` both until every message of the old one is in. Raises Absent, Conflict (others
    go on changing it)."""
    return Call(
        method="POST",
        path=_path("/rotate", endpoint),
        shape=EndpointSecret,
        about=(("id", endpoint),),
        once=True,
        again="a rotation ends the secret before the last; rotate again only while every receiver has the last one",
    )


def enable(endpoint: str) -> Call[Endpoint]:
    """Send to a disabled endpoint again. What happened meanwhile is parked, and can be replayed. Raises Absent,
    Conflict (others go on changing it)."""
    return Call(
        method="POST",
        path=_path("/enable", endpoint),
        shape=Endpoint,
        about=(("id", endpoint),),
        again="enabling what is enabled changes nothing",
    )


def remove(endpoint: str) -> Call[None]:
    """Remove an endpoint, and forget what was still to be sent to it. Raises Absent."""
    return Call(
        method="DELETE",
        path=_path("", endpoint),
        shape=None,
        again="what is removed stays removed",
        gone="endpoint_absent",
    )


def _path(verb: str, endpoint: str) -> str:
    return path_of("/v1/endpoints/{endpoint}", endpoint=endpoint) + verb
