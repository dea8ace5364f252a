"""The store: one guard, writes as data, shared commits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from oncepay.domain.change import Act, CaseOpened, Change
from oncepay.domain.payment import Payment
from oncepay.ports.records import (
    App,
    CaseRow,
    DeliveryMark,
    DeliveryRow,
    Due,
    Endpoint,
    EventRow,
    EvidenceRow,
    Page,
    SealedAccount,
    UnappliedRow,
)


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
        """Endpoints that have a delivery due; also those that were removed, so that it is put away."""
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

    async def resolve_case(self, act: Act) -> bool:
        """Close a case with an act, its reason the case's note; False when it was not open: then nothing is written."""
        ...

    async def add_act(self, act: Act) -> bool:
        """Record an act that changes nothing else; False when one of its id is there."""
        ...

    async def acts(self, case_id: str) -> list[Act]:
        """What was done with a case, oldest first."""
        ...

    async def payment_acts(self, payment_id: str) -> list[Act]:
        """What people did to a payment by its cases, oldest first."""
        ...

    # who there is
    async def apps(self) -> list[App]:
        """All apps with their keys."""
        ...

    async def save_app(self, app: App, before: App | None) -> bool:
        """Create an app (``before`` None), or replace it by compare-and-set on ``before``, whatever the last use of its
        keys; a key that it no longer names is gone. False: another was faster."""
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

    async def save_endpoint(self, endpoint: Endpoint, before: Endpoint | None) -> bool:
        """Create an endpoint (``before`` None; an app has one of a url), or replace its secrets, login and state by
        compare-and-set on those of ``before``; app, url and birth never change. False: another was faster, or it is
        gone."""
        ...

    async def delete_endpoint(self, app: str, endpoint_id: str) -> bool:
        """Remove one; its due deliveries are dropped."""
        ...

    async def directory_stamp(self) -> str:
        """Changes whenever an app, account or endpoint does: cheap to ask."""
        ...

    async def start_epoch(self, token: str) -> None:
        """After a restore from a backup, before anything else runs: cursors of the feed from before start over, since
        places that were given after the backup will be given again. Seen by who opens the ledger after this."""
        ...

    # health
    async def forget_raw(self, before: int) -> None:
        """Forget the raw bytes of months before ``before`` (yyyymm); the facts stay. Safe to do twice at once."""
        ...

    async def ping(self) -> None:
        """Raises Unavailable when the store does not answer."""
        ...

    async def stats(self, now_ms: int) -> Mapping[str, float]:
        """For metrics: due payments, oldest due age, deliveries due and parked, open cases, feed lag ..."""
        ...

    async def close(self) -> None:
        """Finish what is queued, then let go."""
        ...
