"""The doors without a key: channels that tell us something, and payers who come back."""

from __future__ import annotations

import asyncio
from html import escape
from typing import Final
from urllib.parse import quote

from oncepay.domain.errors import OncepayError, PaymentAbsent
from oncepay.domain.payment import Payment, PaymentStatus
from oncepay.engine import intake
from oncepay.engine.core import Engine, log
from oncepay.engine.step import ask_now
from oncepay.http import named
from oncepay.http.exchange import Answer, Ask, Reply, Resource, Verb
from oncepay.http.reading import Nothing

NOTIFY_MAX: Final = 64 * 1024  # bytes
RETURN_S: Final = 4.0  # how long a payer who comes back is made to wait for the channel's answer

HTML: Final = b"text/html; charset=utf-8"
NO_ASSETS: Final = ((b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),)


async def notification(ask: Ask[bytes, Nothing]) -> Reply:
    """A channel's notification. It is believed only if its signature verifies over its raw bytes, and acknowledged only
    when what it says is durable; anything else makes the channel send it again."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in ask.headers.items()}
    said = await intake.notification(ask.engine, ask.params["channel"], ask.params["account"], headers, ask.body)
    return Reply(said.status, said.body, said.content_type.encode())


async def came_back(ask: Ask[None, Nothing]) -> Reply:
    """The payer comes back from the channel: its answer is asked for at once, then the payer goes on to the app.

    What the browser brings along, in the query or in a form, proves nothing and is not read.
    """
    try:
        stored = await ask.engine.load(named.payment_id(ask.params["payment"]))
    except PaymentAbsent:
        return _page(404, "There is no such payment.")
    if stored.status is PaymentStatus.OPEN:
        stored = await _asked(ask.engine, stored)
    if stored.return_url:
        location = quote(stored.return_url, safe="!#$%&'()*+,/:;=?@[]~")
        return Reply(303, headers=((b"location", location.encode("ascii")), *NO_ASSETS))
    return _page(200, _SAYS[stored.status])


async def came_back_with_a_form(ask: Ask[None, Nothing]) -> Reply:
    """As GET: some channels send the payer back by a form, which proves nothing either and is not read."""
    return await came_back(ask)


_SAYS: Final = {
    PaymentStatus.PAID: "Paid. You can close this page.",
    PaymentStatus.OPEN: "Not paid yet. If you have just paid, it may take a moment to arrive.",
    PaymentStatus.CLOSED: "This payment is closed.",
}


def _page(status: int, says: str) -> Reply:
    text = escape(says)
    html = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{text}</title><p>{text}</p></html>'
    return Reply(status, html.encode(), HTML, NO_ASSETS)


async def _asked(engine: Engine, stored: Payment) -> Payment:
    """Ask the channel, and wait a little for what it says; what comes later is taken in all the same."""
    task = asyncio.get_running_loop().create_task(_ask(engine, stored))
    engine.background.add(task)
    task.add_done_callback(engine.background.discard)
    await asyncio.wait({task}, timeout=RETURN_S)
    return await engine.load(stored.id)


async def _ask(engine: Engine, stored: Payment) -> None:
    try:
        await ask_now(engine, stored)
    except OncepayError as error:
        log.info("return.unasked payment=%s why=%s", stored.id, error.detail)


_RETURNED: Final = (
    Answer(200, "Says whether it is paid, and nothing else.", str, "text/html"),
    Answer(303, "On to the payment's `return_url`."),
    Answer(404, "There is no such payment.", str, "text/html"),
)

RESOURCES: Final = (
    Resource(
        "/notify/{channel}/{account}",
        "doors",
        POST=Verb(
            run=notification,
            auth="open",
            summary="A channel's notification",
            raw_max=NOTIFY_MAX,
            answers=(
                Answer(200, "Taken, as this channel wants to hear it.", bytes, "*/*"),
                Answer(204, "Taken, as this channel wants to hear it."),
                Answer(404, "Not believed; the same whatever the reason.", bytes, "*/*"),
                Answer(503, "Not stored, to be sent again: as this channel wants to hear it.", bytes, "*/*"),
            ),
        ),
    ),
    Resource(
        "/return/{payment}",
        "doors",
        GET=Verb(run=came_back, auth="open", summary="The payer comes back", query=None, answers=_RETURNED),
        POST=Verb(
            run=came_back_with_a_form,
            auth="open",
            summary="The payer comes back with a form",
            query=None,
            answers=_RETURNED,
        ),
    ),
)
