"""The seams of the house: Protocols, and the records that cross them. Nothing here does anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from oncepay.domain.attempt import Attempt, Call
from oncepay.domain.capabilities import Capabilities
from oncepay.domain.change import CaseOpened, Change, Credential, Evidence
from oncepay.domain.payment import Late, Payment, Unclosable

# -- transport ---------------------------------------------------------------------------------------------------


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request, to the byte. ``url``: absolute; ``headers``: as sent, order kept."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """An answer came whole. ``headers``: names in lower case; ``body``: any content encoding undone."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NotSent(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing left this machine: name not found, connection refused, TLS, no connection free."""

    why: str


class Unknown(msgspec.Struct, frozen=True, kw_only=True):
    """Something left and no whole answer came: the other side may have done it."""

    why: str


Answer = Answered | NotSent | Unknown


class Transport(Protocol):
    """The network, towards channels. Never follows redirects, never repeats."""

    async def send(self, request: Request, deadline_s: float) -> Answer:
        """Send and wait at most ``deadline_s`` seconds in all. Never raises for what the network does."""
        ...

    async def close(self) -> None:
        """Let go of all connections."""
        ...


# -- clock and dice ----------------------------------------------------------------------------------------------


class Clock(Protocol):
    """Time, injected."""

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Dice(Protocol):
    """Chance, injected."""

    def token(self) -> str:
        """32 unguessable letters and digits (128 bits or more)."""
        ...

    def draw(self) -> float:
        """A number in [0, 1) for jitter; need not be unguessable."""
        ...


# -- channels ----------------------------------------------------------------------------------------------------


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One merchant identity at one channel, opened: ``identity`` never changes, ``secrets`` do.

    ``identity``: what the channel calls us (wechat: mchid, appid). ``settings``: base URLs, key ids, public keys.
    ``secrets``: unsealed. ``revision`` goes up with each change, so that parsed keys can be kept by (id, revision).
    """

    id: str
    channel: str
    identity: Mapping[str, str]
    settings: Mapping[str, Any] = {}
    secrets: Mapping[str, str] = {}
    revision: int = 1
    retired: bool = False


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What a first prepay or refund body is made of, beyond the attempt itself. Amounts in minor units."""

    attempt: Attempt
    subject: str
    app: str
    order_no: str
    notify_url: str
    payer: Mapping[str, str] = {}  # openid, client_ip ...: what the method asks for
    options: Mapping[str, Any] = {}  # the vendor's own, checked by the channel
    paying: Attempt | None = None  # out: the attempt that it reverses
    note: str = ""


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer says. ``refresh``: it names a key we do not hold; fetch keys, then ask again."""

    evidence: tuple[Evidence, ...]
    credential: Credential | None = None
    refresh: bool = False


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """A notification whose signature was verified. ``numbers``: all numbers of ours it speaks of, payment first.
    ``echo``: app and order_no as they came back in the vendor's echo field, if they did."""

    numbers: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    echo: str = ""


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A notification that is not believed. ``probe``: the vendor tests whether we verify; no alarm.
    ``refresh``: it names a key we do not hold."""

    why: str
    probe: bool = False
    refresh: bool = False


class Acknowledgement(msgspec.Struct, frozen=True, kw_only=True):
    """How to answer a notification on the wire."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"


class Channel(Protocol):
    """A translator that knows one vendor. No sockets, clocks or repeats inside: bytes in, facts out."""

    name: str
    capabilities: Capabilities

    def check_account(self, account: Account) -> None:
        """Refuse an account that cannot work (missing key, key that does not parse). Raises Invalid naming it."""
        ...

    def check_start(self, method: str, payer: Mapping[str, str], options: Mapping[str, Any]) -> None:
        """Refuse payer parameters or options that the method cannot take. Raises PayerInvalid, Invalid."""
        ...

    def draft(self, draft: Draft, account: Account) -> bytes:
        """The first body for an attempt's number (prepay, or refund when it is ``out``)."""
        ...

    def build(
        self, call: Call, attempt: Attempt, account: Account, *, body: bytes, now_ms: int, nonce: str, host: int
    ) -> Request:
        """One signed request. ``body``: the stored first body for prepay and refund, empty for the others.
        ``host``: 0, 1 ...: which of the vendor's hosts to use (modulo their number)."""
        ...

    def read(self, call: Call, answer: Answer, attempt: Attempt, account: Account, *, now_ms: int, nonce: str) -> Read:
        """What an answer to ``call`` tells us. Whatever it cannot read is silence, never a refusal."""
        ...

    def read_notification(
        self, headers: Mapping[str, str], body: bytes, account: Account, *, now_ms: int
    ) -> Notice | Refused:
        """Verify over the raw bytes, then read. ``headers``: names in lower case. Evidence is compared with the
        account; amounts are compared with the attempt by the core."""
        ...

    def acknowledge(self, *, taken: bool) -> Acknowledgement:
        """The answer to a notification: taken, or "send it again"."""
        ...

    def build_keys(self, account: Account, *, now_ms: int, nonce: str) -> Request | None:
        """The request that fetches the vendor's current keys, or None where there is no such call."""
        ...

    def read_keys(self, answer: Answer, account: Account, *, now_ms: int) -> Mapping[str, Any] | None:
        """New ``settings`` of the account with the vendor's keys added (old ones stay), or None if not believed."""
        ...


# -- the ledger --------------------------------------------------------------------------------------------------


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
    """Where an app hears events. ``secrets``: sealed, newest first; two during rotation."""

    id: str
    app: str
    url: str
    secrets: tuple[str, ...]
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
    """``limit`` rows at most, newest first, that come after the opaque cursor ("" from the start)."""

    limit: int = 20
    after: str = ""


class Ledger(Protocol):
    """The store: one guard, writes as data, shared commits. Raises Unavailable when it cannot answer, Overloaded when
    its queue is full, CommitUnknown when a commit's outcome stays unknown."""

    installation: str  # drawn once by the first migration
    epoch: str  # of the event feed: a restore starts a new one

    # the aggregate
    async def load(self, payment_id: str) -> Payment | None:
        """The aggregate as last committed. Loads that wait at the same moment share a statement."""
        ...

    async def commit(self, change: Change) -> bool:
        """Write all of a change or nothing. True: it is durable. False: another road got there first (or, for a
        creation, the payment exists): load again, decide again. Cancelling the wait does not cancel the change."""
        ...

    async def claim_due(self, now_ms: int, lease_until_ms: int, limit: int) -> list[Due]:
        """Lend the longest-overdue payments to this worker."""
        ...

    async def postpone(self, payment_id: str, lease_until_ms: int, due_ms: int | None) -> bool:
        """Give a lent payment back, due at ``due_ms``: a compare-and-set on (id, due_ms = lease_until_ms), so that it
        never undoes what a commit has set since. ``lease_until_ms`` 0: unconditional, for one whose core raises."""
        ...

    async def body(self, payment_id: str, no: str) -> bytes | None:
        """The first body sent for a number."""
        ...

    async def credential(self, payment_id: str, no: str) -> str | None:
        """A credential that is stored apart."""
        ...

    # messages that could not be taken in
    async def keep_unapplied(self, row: UnappliedRow) -> None:
        """Keep a message that the core could not take in (durable when this returns)."""
        ...

    async def unapplied(self, payment_ids: Sequence[str]) -> list[UnappliedRow]:
        """The kept messages of these payments, oldest first."""
        ...

    async def drop_unapplied(self, payment_id: str, key: str) -> None:
        """It was taken in."""
        ...

    # deliveries
    async def claim_deliveries(
        self, now_ms: int, lease_until_ms: int, endpoints: Sequence[str], each: int
    ) -> list[DeliveryRow]:
        """Lend due deliveries with their events, at most ``each`` for each endpoint."""
        ...

    async def due_endpoints(self, now_ms: int) -> list[str]:
        """Endpoints that have a delivery due."""
        ...

    async def mark_deliveries(self, marks: Sequence[DeliveryMark]) -> None:
        """How tries ended. Rides with the next group; a lost mark is only a second delivery."""
        ...

    async def replay(
        self,
        app: str,
        now_ms: int,
        *,
        payment_id: str = "",
        version: int = 0,
        endpoint: str = "",
        status: str = "parked",
        limit: int = 1000,
    ) -> int:
        """Make deliveries of an app due again, one or by filter; how many."""
        ...

    # lists: every one of an app's things carries its app id
    async def payments(
        self, app: str, page: Page, *, status: str = "", order_no: str = "", since_ms: int = 0, until_ms: int = 0
    ) -> tuple[list[Payment], str]:
        """Payments of an app, newest first, and the cursor of the next page ("" at the end)."""
        ...

    async def find_trade(self, app: str, trade_no: str) -> list[str]:
        """Ids of an app's payments that moved money under the channel's own number."""
        ...

    async def events(self, app: str, page: Page) -> tuple[list[EventRow], str]:
        """The feed, oldest first, that never skips a late commit; the cursor to go on from (never "" once read)."""
        ...

    async def event(self, app: str, payment_id: str, version: int) -> EventRow | None:
        """One event."""
        ...

    async def deliveries(
        self, app: str, page: Page, *, status: str = "", payment_id: str = ""
    ) -> tuple[list[DeliveryRow], str]:
        """Deliveries of an app."""
        ...

    async def evidence(self, payment_id: str) -> list[EvidenceRow]:
        """All evidence of a payment, oldest first."""
        ...

    async def payment_events(self, payment_id: str) -> list[EventRow]:
        """All events of a payment, oldest first."""
        ...

    async def open_case(self, case: CaseOpened, at_ms: int) -> str:
        """Raise a case outside of a payment's change; its id. The same again only counts up."""
        ...

    async def cases(
        self, page: Page, *, app: str = "", status: str = "open", payment_id: str = ""
    ) -> tuple[list[CaseRow], str]:
        """Cases, oldest first; ``app``: only that app's ("" for an operator: all)."""
        ...

    async def case(self, case_id: str) -> CaseRow | None:
        """One case."""
        ...

    async def resolve_case(self, case_id: str, note: str, at_ms: int) -> bool:
        """Close a case; False when it was not open."""
        ...

    # who there is
    async def apps(self) -> list[App]:
        """All apps with their keys."""
        ...

    async def save_app(self, app: App) -> None:
        """Create or replace an app."""
        ...

    async def used_key(self, hash_: str, at_ms: int) -> None:
        """Note a key's last use."""
        ...

    async def accounts(self) -> list[SealedAccount]:
        """All accounts, sealed."""
        ...

    async def save_account(self, account: SealedAccount) -> bool:
        """Create (revision 1) or replace by compare-and-set on ``revision - 1``; False: another was faster."""
        ...

    async def endpoints(self) -> list[Endpoint]:
        """All endpoints."""
        ...

    async def save_endpoint(self, endpoint: Endpoint) -> None:
        """Create or replace an endpoint."""
        ...

    async def delete_endpoint(self, app: str, endpoint_id: str) -> bool:
        """Remove one; its due deliveries are dropped."""
        ...

    async def directory_stamp(self) -> str:
        """Changes whenever an app, account or endpoint does: cheap to ask."""
        ...

    # health
    async def ping(self) -> None:
        """Raises Unavailable when the store does not answer."""
        ...

    async def stats(self, now_ms: int) -> Mapping[str, float]:
        """For metrics: due payments, oldest due age, deliveries due and parked, open cases, feed lag ..."""
        ...

    async def close(self) -> None:
        """Finish what is queued, then let go."""
        ...
