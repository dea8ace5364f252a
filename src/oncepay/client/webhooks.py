"""Events that come in: whether one is genuine, and what it says.

Signatures are Standard Webhooks' ``v1``: HMAC-SHA256 over ``id.timestamp.body``.
Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from oncepay.client.errors import ArgumentInvalid, EventUnreadable, SignatureInvalid, TimeInvalid
from oncepay.client.shapes import CHANGED, Event

TOLERANCE_S: Final = 300
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - how secrets begin, not one
WHY_MAX: Final = 200  # characters
KEY_BYTES: Final = range(24, 65)  # the specification's bounds

_read_event: Final = msgspec.json.Decoder(Event).decode


def verify(
    secrets: str | Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    now: float,
    *,
    tolerance_s: int = TOLERANCE_S,
) -> Event:
    """The event in a webhook message, once its signature, its time and its content are as they must be.

    ``secrets``: the endpoint's secret, ``whsec_...``; during a rotation both. ``headers``: of the request, in any case.
    ``body``: as it came, byte for byte. ``now``: seconds since 1970, ``time.time()``. ``tolerance_s``: how far the
    message's time may be from it.

    Raises SignatureInvalid, TimeInvalid (the message names the clock to look at), EventUnreadable: answer 400, and do
    nothing else. ArgumentInvalid when a secret is not one.
    """
    message_id, stamp, signatures = _headers(headers)
    _check_signature(secrets, b"%b.%b.%b" % (_raw(message_id), _raw(stamp), body), signatures)
    _check_time(int(stamp), now, tolerance_s)
    event = read_event(body)
    if event.id != message_id:
        raise EventUnreadable(f"the header webhook-id names {message_id[:80]}, the body is event {event.id[:80]}")
    return event


def read_event(body: bytes) -> Event:
    """The event in a body whose origin is sure: as brokers carry it and the feed holds it. Raises EventUnreadable."""
    try:
        event = _read_event(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EventUnreadable(_why_unreadable(body, error)) from None
    if event.version < 1 or event.version != event.payment.version:
        what = f"event {event.id[:80]} is version {event.version}"
        raise EventUnreadable(f"{what} and shows version {event.payment.version}")
    return event


def _why_unreadable(body: bytes, error: Exception) -> str:
    why = str(error)[:WHY_MAX]  # it may quote the body
    try:
        read: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return f"the body is not JSON: {why}" if body else "the body is empty"
    kind = read.get("type") if isinstance(read, dict) else None
    if isinstance(kind, str) and kind != CHANGED:
        return f"an event of type {kind[:80]!r} is unknown to this version of oncepay: is a newer one to be installed?"
    return f"the body is not an event as this version of oncepay knows them: {why}"


def _headers(headers: Mapping[str, str]) -> tuple[str, str, str]:
    found = {name.lower(): value for name, value in headers.items()}
    try:
        message_id, stamp, signatures = (found[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
    except KeyError as missing:
        raise SignatureInvalid(f"the header {missing.args[0]} is missing") from None
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        raise SignatureInvalid("the header webhook-timestamp is not seconds since 1970")
    return message_id, stamp, signatures


def _check_signature(secrets: str | Sequence[str], signed: bytes, signatures: str) -> None:
    known = keys_of(secrets)
    wanted = [base64.b64encode(hmac.digest(key, signed, "sha256")) for key in known]
    given = [
        text.encode() for version, _, text in (one.partition(",") for one in signatures.split()) if version == "v1"
    ]
    if not any(hmac.compare_digest(one, ours) for one in given for ours in wanted):
        which = "the secret" if len(known) == 1 else f"any of the {len(known)} secrets"
        raise SignatureInvalid(
            f"the message is not signed with {which}: it is forged, was altered on its way (pass the body as it came, "
            "byte for byte), or is of another endpoint or app"
        )


def keys_of(secrets: str | Sequence[str]) -> list[bytes]:
    """The keys behind secrets. Raises ArgumentInvalid, also when there is none."""
    keys = [_key(secret) for secret in ([secrets] if isinstance(secrets, str) else secrets)]
    if not keys:
        raise ArgumentInvalid("no secret was given")
    return keys


def _raw(text: str) -> bytes:
    """Header text as bytes; what no header can hold fits no signature either."""
    return text.encode("utf-8", "replace")


def _key(secret: str) -> bytes:
    """The key behind a secret; what is said of a wrong one never quotes it."""
    text = secret.strip().removeprefix(SECRET_PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)  # padding may be left out
    except ValueError as error:  # binascii.Error is one
        raise ArgumentInvalid(f"a webhook secret is {SECRET_PREFIX} and base64") from error
    if not secret.strip().startswith(SECRET_PREFIX) or len(key) not in KEY_BYTES:
        raise ArgumentInvalid(f"a webhook secret is {SECRET_PREFIX} and the base64 of 24 to 64 bytes")
    return key


def _check_time(stamp: int, now: float, tolerance_s: int) -> None:
    """Its signature fits, so what is said of clocks can be believed."""
    ahead_s = stamp - now
    if abs(ahead_s) <= tolerance_s:
        return
    span = _span(abs(ahead_s))
    if ahead_s > 0:
        raise TimeInvalid(
            f"the message is genuine, but its time is {span} ahead of this machine's: check the clock of this machine, "
            "then the centre's",
            ahead_s,
        )
    raise TimeInvalid(
        f"the message is genuine, but was signed {span} ago by this machine's clock: it was held up on its way, "
        "somebody plays it again, or a clock is wrong (check this machine's, then the centre's)",
        ahead_s,
    )


def _span(seconds: float) -> str:
    """How long, for people.

    >>> _span(600), _span(90), _span(7200), _span(200_000)
    ('10 minutes', '90 seconds', '2 hours', '2 days')
    """
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"
