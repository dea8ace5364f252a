"""What the ledger keeps, as it hands it out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from oncepay.domain.payment import Late, Payment, Unclosable


class EvidenceRow(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of evidence as it is kept."""

    payment_id: str
    rev: int
    no: int
    at_ms: int
    number: str
    account: str
    road: str
    fact: str
    words: str
    trade_no: str
    digest: str
    minor: int | None = None
    currency: str | None = None
    channel_ms: int = 0
    wrong: str = ""  # why it was not taken in, though it was believed


class EventRow(msgspec.Struct, frozen=True, kw_only=True):
    """An event as it is kept. ``data``: the snapshot as JSON bytes; ``cursor``: opaque place in the feed."""

    payment_id: str
    version: int
    app: str
    changes: tuple[str, ...]
    data: bytes
    at_ms: int
    cursor: str = ""


class DeliveryRow(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery with the event it carries. ``status``: due, done, parked. ``last``: how the last try ended."""

    payment_id: str
    version: int
    endpoint_id: str
    app: str
    status: str
    tries: int
    due_ms: int | None
    last: str = ""
    event: EventRow | None = None


class DeliveryMark(msgspec.Struct, frozen=True, kw_only=True):
    """How a try to deliver ended: done, due again at ``due_ms``, or parked."""

    payment_id: str
    version: int
    endpoint_id: str
    status: str
    tries: int
    due_ms: int | None
    last: str = ""


class CaseRow(msgspec.Struct, frozen=True, kw_only=True):
    """A case as it is kept. ``status``: open, resolved."""

    id: str
    kind: str
    status: str
    text: str
    payment_id: str
    account: str
    app: str
    opened_ms: int
    due_ms: int
    seen: int  # how often it was raised
    note: str
    data: Mapping[str, Any]


class UnappliedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A message that could not be taken in, kept to be tried again."""

    payment_id: str
    key: str  # digest of the message: the same one again is the same row
    channel: str
    account: str
    road: str
    body: bytes  # msgspec JSON of the Hear that could not be applied
    why: str
    at_ms: int


class App(msgspec.Struct, frozen=True, kw_only=True):
    """A business application. ``keys``: newest first, at most two active."""

    id: str
    name: str
    late: Late = "refund"
    unclosable: Unclosable = "switch"
    private_networks: tuple[str, ...] = ()  # CIDRs that webhooks of this app may reach
    keys: tuple[AppKey, ...] = ()
    created_ms: int = 0


class AppKey(msgspec.Struct, frozen=True, kw_only=True):
    """One bearer key, hashed. ``hint``: its last four characters."""

    hash: str
    hint: str
    created_ms: int
    used_ms: int = 0  # last used, to the minute


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where an app hears events. ``secrets``: sealed, newest first; two during rotation. ``login``: sealed too, what
    stands before the @ in a broker's URL ("" for none); ``url`` is without it, so it may be shown."""

    id: str
    app: str
    url: str
    secrets: tuple[str, ...]
    login: str = ""
    disabled: str = ""  # why, e.g. "410 Gone"
    created_ms: int = 0


class SealedAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account as it is stored: ``sealed`` holds its secrets, encrypted with the master key."""

    id: str
    channel: str
    identity: Mapping[str, str]
    settings: Mapping[str, Any]
    sealed: str
    revision: int
    retired: bool = False
    created_ms: int = 0


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """A payment lent to a worker until ``lease_until_ms``."""

    payment: Payment
    lease_until_ms: int


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """``limit`` rows at most, in the order of the list, that come after the opaque cursor ("" from the start)."""

    limit: int = 20
    after: str = ""
