"""Events: the road for those who rather ask than be told."""

from __future__ import annotations

from oncepay.client.calls import Call, path_of, query_of
from oncepay.client.shapes import Event, EventPage


def listed(*, after: str = "", limit: int = 100, wait_s: int = 0) -> Call[EventPage]:
    """Events of the app, oldest first, from a cursor on. Store ``next`` together with what you took in, and go on from
    it: no event is ever skipped.

    ``after``: ``next`` of the page before; from the very first event when empty. ``limit``: 1 to 100. ``wait_s``: when
    there is none, wait so many seconds for the next, 0 to 25.
    """
    return Call(
        method="GET",
        path="/v1/events",
        query=query_of(after=after, limit=limit, wait=wait_s or None),
        shape=EventPage,
        wait_s=wait_s,
    )


def get(event: str) -> Call[Event]:
    """Read one event, as it was delivered. ``event``: ``evt_...``. Raises Absent."""
    return Call(method="GET", path=path_of("/v1/events/{event}", event=event), shape=Event, about=(("id", event),))
