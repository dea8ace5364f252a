"""What every verb needs, and the three moves they are made of: load, decide, commit."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from oncepay.domain.attempt import Attempt, Call
from oncepay.domain.capabilities import Policy
from oncepay.domain.change import Change, DeliveryDue, Drafted, Hear, Input, Raw
from oncepay.domain.decide import decide
from oncepay.domain.errors import Busy, MethodUnknown, Overloaded, PaymentAbsent, Unavailable
from oncepay.domain.payment import Payment
from oncepay.engine.ceiling import Ceiling
from oncepay.engine.directory import Directory
from oncepay.engine.metrics import EVIDENCE, GUARD_LOST, labelled
from oncepay.engine.pauses import Pauses
from oncepay.engine.wake import DELIVERIES, DIRECTORY, Waking, settle, until
from oncepay.ports import Channel, Clock, DeliveryRow, Dice, Draft, EventRow, Ledger, Limits, Transport, Wake

log = logging.getLogger("oncepay")

GUARD_TRIES: Final = 8
RECENT_MAX: Final = 4_096


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """``public_url``: where channels reach us. ``lease_ms``: how long due things are lent; must outlast any call."""

    public_url: str
    lease_ms: int = 30_000
    call_margin_ms: int = 2_000  # past a call's own deadline, before another may be made in its stead
    start_budget_ms: int = 9_000  # how long an API call works on an attempt before it answers "not known yet"
    raw_days: int = 400  # raw bytes of messages are kept at least this long; channels take refunds for a year
    fresh_gap_ms: int = 2_000  # a payment is asked afresh at most this often
    calls_per_s: float = 0.0  # to a channel for one account; 0: as the channel declares


class Extras(msgspec.Struct, frozen=True, kw_only=True):
    """What a request adds to an attempt's first body, beyond the attempt itself."""

    payer: Mapping[str, str] = {}
    options: Mapping[str, object] = {}


NO_EXTRAS: Final = Extras()


class Hub:
    """Wakes those who wait for a payment to change. A wake-up only saves latency; who waits also looks by itself."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    def wake(self, payment_id: str) -> None:
        """Something changed."""
        for future in self._waiting.pop(payment_id, ()):
            settle(future)

    async def wait(self, payment_id: str, sleeping: Coroutine[Any, Any, None]) -> None:
        """Until it changes in this process, or the sleep is over."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(payment_id, set()).add(future)
        try:
            await until(future, sleeping)
        finally:
            waiting = self._waiting.get(payment_id)
            if waiting is not None:
                waiting.discard(future)
                if not waiting:
                    del self._waiting[payment_id]


class Engine:
    """Everything that is injected, in one place; the verbs are functions that take it."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        channels: Mapping[str, Channel],
        transport: Transport,
        directory: Directory,
        clock: Clock,
        dice: Dice,
        settings: Settings,
        read_target: Callable[[str, Sequence[str]], tuple[str, str]],
        wake: Wake | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.ledger = ledger
        self.channels = channels
        self.transport = transport
        self.directory = directory
        self.clock = clock
        self.dice = dice
        self.settings = settings
        # An endpoint's URL as written and its app's private networks -> the URL as it may be shown, and the login that
        # stood in it. Raises ValueError for one that nothing may be sent to.
        self.read_target = read_target
        self.policy: Policy = {name: channel.capabilities for name, channel in channels.items()}
        self.hub = Hub()
        self.pauses = Pauses()
        self.waking = Waking(wake, self.hub.wake)
        self.ceiling = Ceiling(clock, settings.calls_per_s, limits)
        directory.changed = lambda: self.waking.tell(DIRECTORY)
        self.refreshing: set[str] = set()  # accounts whose keys are being fetched
        self.background: set[asyncio.Task[None]] = set()
        self.hand_over: Callable[[DeliveryRow], bool] | None = None  # the deliverer of this process, if it has one
        self._recent: OrderedDict[str, Payment] = OrderedDict()

    async def find(self, payment_id: str) -> Payment | None:
        """The payment as last committed, if there is one. Raises Unavailable for one that this release cannot read: a
        newer one wrote it, and its processes go on with it, so nothing here may put it off or keep its messages."""
        try:
            return await self.ledger.load(payment_id)
        except msgspec.DecodeError as error:
            log.warning("payment.unreadable payment=%s why=%s", payment_id, error)
            raise Unavailable("the payment holds what this release does not know", payment=payment_id) from error

    async def load(self, payment_id: str) -> Payment:
        """The same. Raises PaymentAbsent, too."""
        payment = await self.find(payment_id)
        if payment is None:
            raise PaymentAbsent
        return payment

    def recent(self, payment_id: str) -> Payment | None:
        """The payment as this process last saw it committed: good enough to decide on evidence, since what is known
        only grows and the guard refuses what is stale. Never for reading or for commands."""
        return self._recent.get(payment_id)

    def channel(self, name: str) -> Channel:
        """The channel of that name. Raises MethodUnknown."""
        try:
            return self.channels[name]
        except KeyError:
            known = ", ".join(sorted(self.channels))
            raise MethodUnknown(f"there is no channel {name!r}, only {known}", field="channel") from None

    def notify_url(self, attempt: Attempt) -> str:
        """Where the channel tells us about an attempt."""
        return f"{self.settings.public_url}/notify/{attempt.channel}/{attempt.account}"

    async def commit(
        self, change: Change, *, before: Payment | None = None, extras: Extras = NO_EXTRAS, raw: bytes = b""
    ) -> dict[str, bytes] | None:
        """Dress a change with what only the engine knows (token, first bodies, endpoints) and commit it. The first
        bodies by number when it was won, None when another road got there first."""
        drafted = self._draft(change, before, extras)
        deliveries: tuple[DeliveryDue, ...] = ()
        if change.event is not None:
            due_ms = change.at_ms + self.settings.lease_ms if self.hand_over else change.at_ms
            endpoints = self.directory.endpoints_of(change.payment.app)
            deliveries = tuple(DeliveryDue(endpoint_id=e.id, due_ms=due_ms) for e in endpoints)
        dressed = msgspec.structs.replace(
            change,
            change_id=self.dice.token(),
            drafted=drafted,
            deliveries=deliveries,
            raw=Raw(body=raw, month=month_of(change.at_ms)) if raw and change.evidence else None,
        )
        try:
            won = await self.ledger.commit(dressed)
        except Overloaded:
            raise
        except Exception:  # the row may be another's now, or gone with a server that was lost: look before the next
            self._recent.pop(change.payment.id, None)
            raise
        if not won:
            GUARD_LOST.inc()
            self._recent.pop(change.payment.id, None)
            return None
        self._remember(change.payment)
        for evidence in change.evidence:
            labelled(EVIDENCE, evidence.road, evidence.fact).inc()
            log.info(
                "evidence.taken payment=%s number=%s road=%s fact=%s rev=%d",
                change.payment.id,
                evidence.number,
                evidence.road,
                evidence.fact,
                change.payment.rev,
            )
        for case in change.cases:
            log.warning("case.opened about=%s kind=%s text=%s", case.about, case.kind, case.text)
        for act in change.acts:
            log.info("case.handled case=%s verb=%s actor=%s number=%s", act.case_id, act.verb, act.actor, act.number)
        self.hub.wake(change.payment.id)
        due = change.due_ms is not None and change.due_ms <= change.at_ms
        self.waking.left(change.payment.id, due=due, news=change.rev > 0 and change.event is not None)
        if deliveries:
            self._tell(dressed)
        return {row.no: row.body for row in drafted}

    def _remember(self, payment: Payment) -> None:
        self._recent[payment.id] = payment
        self._recent.move_to_end(payment.id)
        if len(self._recent) > RECENT_MAX:
            self._recent.popitem(last=False)

    def _draft(self, change: Change, before: Payment | None, extras: Extras) -> tuple[Drafted, ...]:
        known = {a.no for a in before.attempts} if before else frozenset()
        payment = change.payment
        rows = []
        for attempt in payment.attempts:
            if attempt.no in known:
                continue
            if attempt.settled or attempt.asked not in {Call.PREPAY, Call.REFUND, None}:
                continue
            if attempt.superseded_ms:  # its row was lost: how it was to be paid is not known, and it is only followed
                continue
            refund = payment.refund(attempt.refund_no) if attempt.refund_no else None
            draft = Draft(
                attempt=attempt,
                subject=payment.subject,
                app=payment.app,
                order_no=payment.order_no,
                notify_url=self.notify_url(attempt),
                return_url=f"{self.settings.public_url}/return/pay_{payment.id}",
                payer=extras.payer,
                options=extras.options,
                paying=payment.attempt(attempt.of) if attempt.of else None,
                note=refund.note if refund else "",
            )
            account = self.directory.account(attempt.account)
            rows.append(
                Drafted(
                    no=attempt.no,
                    account=attempt.account,
                    direction=attempt.direction,
                    refund_no=attempt.refund_no,
                    body=self.channels[attempt.channel].draft(draft, account),
                    created_ms=attempt.created_ms,
                )
            )
        return tuple(rows)

    def _tell(self, change: Change) -> None:
        """Hand the deliveries of a change to this process's deliverer: they were lent to it by the commit itself. In a
        process without one they are due at once, for another's."""
        event = change.event
        if event is None:
            return
        if self.hand_over is None:
            self.waking.ring(DELIVERIES)
            return
        payment = change.payment
        data = msgspec.json.encode(event.snapshot)
        row = EventRow(
            payment_id=payment.id,
            version=event.version,
            app=payment.app,
            changes=event.changes,
            data=data,
            at_ms=event.at_ms,
        )
        for due in change.deliveries:
            self.hand_over(
                DeliveryRow(
                    payment_id=payment.id,
                    version=event.version,
                    endpoint_id=due.endpoint_id,
                    app=payment.app,
                    status="due",
                    tries=0,
                    due_ms=due.due_ms,
                    event=row,
                )
            )


async def apply(engine: Engine, payment: Payment, asked: Input, *, raw: bytes = b"") -> Payment:
    """Decide and commit, again from what is stored when another road got there first. The payment as committed, or
    as it is when the input changes nothing. Raises what ``decide`` raises, Busy when the guard is lost too often."""
    for _ in range(GUARD_TRIES):
        change = decide(payment, asked, engine.policy, engine.clock.now_ms())
        if change is None:
            if isinstance(asked, Hear):
                for evidence in asked.evidence:
                    labelled(EVIDENCE, evidence.road.value, "repeat").inc()
            return payment
        if await engine.commit(change, before=payment, raw=raw) is not None:
            return change.payment
        payment = await engine.load(payment.id)
    raise Busy("other changes to this payment keep arriving", payment=payment.id)


def month_of(at_ms: int) -> int:
    """yyyymm, UTC."""
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return at.year * 100 + at.month
