"""Who judges the centre: by the channels' books, the client's log, the app's books and what the API says, and by
nothing of the centre's own.

K is the channels' books, L the client's log, A the app's books. The numbers are the promises'.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from oncepay.sandbox.vendor import Row
from oncepay.testing.sim.ground import OTHER

if TYPE_CHECKING:
    from oncepay.testing.sim.shop import Said
    from oncepay.testing.sim.world import World

CALLS_MAX: Final = 400  # of one payment, at its channels: no storm
AGAIN_MAX: Final = 120  # deliveries of one event
NEXT: Final = {("open", "paid"), ("open", "closed"), ("closed", "open"), ("closed", "paid")}
WRONG: Final = "notify_wrong_amount"  # what such a notification says is acknowledged, and not believed
NOT_SNAPSHOT: Final = frozenset({"attempts", "attempt"})


class Complaint(NamedTuple):
    """A promise that was not kept."""

    promise: str
    text: str
    at_s: float


class Judges:
    """Continuously, and at the end."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.complaints: list[Complaint] = []
        self._seen: dict[str, dict[int, bytes]] = {}  # payment -> version -> snapshot
        self._newest: dict[str, int] = {}  # payment -> newest version that an answer showed
        self._ids: dict[str, str] = {}  # order -> payment
        self._acknowledged: set[str] = set()
        self._refunds: dict[tuple[str, str], int] = {}  # payment and refund_no of what was taken on -> minor

    def complain(self, promise: str, text: str) -> None:
        """Said once."""
        if not any(c.promise == promise and c.text == text for c in self.complaints):
            self.complaints.append(Complaint(promise, text, self._world.loop.time()))
            self._world.note("judge", f"{promise}: {text}")

    @property
    def payments(self) -> int:
        """How many were seen."""
        return len(self._ids)

    def orders(self) -> dict[str, str]:
        """The payment of each order, as it was shown."""
        return dict(self._ids)

    # -- continuously --------------------------------------------------------------------------------------------

    def floor(self, path: str) -> int:
        """What an answer about this may not be older than: the newest that was shown before it was asked for."""
        return self._newest.get(_payment_of(path), -1)

    def heard(self, method: str, path: str, said: Said, floor: int) -> None:
        """An answer of the API."""
        if said.status == 500:
            self.complain("I20", f"{method} {path} was answered {said.status} {said.code}")
        if said.status >= 300 or not isinstance(said.body, dict) or "order_no" not in said.body:
            return
        if "version" not in said.body:
            if method == "POST" and path.endswith("/refunds"):
                self._refunds[said.body["payment"], said.body["refund_no"]] = said.body["minor"]
            return
        self.saw("the API", said.body)
        payment, version = said.body["id"], said.body["version"]
        if version < floor:
            self.complain("I7", f"{payment}: version {version} was shown after version {floor} had been")
        self._newest[payment] = max(version, self._newest.get(payment, -1))
        self._acknowledged.add(said.body["order_no"])

    def notified(self, path: str, status: int) -> None:
        """What a channel's notification was answered: taken, not believed, or to be sent again."""
        if status not in {200, 204, 404, 503}:
            self.complain("I20", f"a notification to {path} was answered {status}")

    def answered(self, number: str, status: int) -> None:
        """What a notification about a number of ours is answered, in the moment in which that leaves: what the channel
        is told to be taken must be written. Whatever dies now, nobody will tell us again."""
        world = self._world
        if (
            not number
            or status >= 300
            or WRONG in world.options.faults
            or not any(row.paid for row in world.sandbox.books(number))
        ):
            return
        world.hit("a success was acknowledged to its channel")
        known = world.witness.attempts(number[:26], world.shop.app)
        if known.get(number) != "succeeded":
            how = known.get(number, "not there")
            self.complain("I11", f"that {number} was paid is acknowledged to its channel, and written is: {how}")

    def saw(self, where: str, snapshot: dict[str, Any]) -> None:
        """A payment as it was shown."""
        payment, order_no, version = snapshot["id"], snapshot["order_no"], snapshot["version"]
        known = self._ids.setdefault(order_no, payment)
        if known != payment:
            self.complain("I10", f"{order_no} is {known} and {payment}")
        shown = msgspec.json.encode({k: v for k, v in snapshot.items() if k not in NOT_SNAPSHOT})
        versions = self._seen.setdefault(payment, {})
        first = version not in versions
        if versions.setdefault(version, shown) != shown:
            self.complain("I7", f"{payment} version {version} has two contents: {versions[version]!r}, {shown!r}")
        if not first:
            return
        for other in (version - 1, version + 1):
            if other in versions:
                self._follows(payment, version, other)
        if snapshot["paid"] is not None:
            self._was_paid(where, snapshot)
        if snapshot["kept_minor"] < 0:
            self.complain("I4", f"{payment} version {version} keeps {snapshot['kept_minor']}: more went back than came")

    def _follows(self, payment: str, one: int, other: int) -> None:
        was, now = (msgspec.json.decode(self._seen[payment][n])["status"] for n in sorted((one, other)))
        if was != now and (was, now) not in NEXT:
            self.complain("I7", f"{payment} went from {was} to {now}")
        if (was, now) == ("closed", "paid") and self._world.options.late != "accept":
            self.complain("I3", f"{payment} was closed, its app takes no late money, and late money has paid it")

    def _was_paid(self, where: str, snapshot: dict[str, Any]) -> None:
        paid = snapshot["paid"]
        rows = [row for row in self._world.sandbox.books(paid["attempt"].removeprefix("att_")) if row.paid]
        if not rows:
            self.complain("I5", f"{where} says that {snapshot['id']} is paid, and no channel has that money")
        elif (rows[0].paid, rows[0].channel) != (paid["minor"], paid["channel"]):
            self.complain("I5", f"{where} says {paid['minor']} by {paid['channel']}; it is {rows[0].paid}")

    # -- at the end ----------------------------------------------------------------------------------------------

    def at_rest(self, payments: list[dict[str, Any]], due: list[dict[str, Any]]) -> list[Complaint]:
        """What the books do not agree on. Until the end of the world this may pass. ``due``: deliveries that are
        neither done nor parked."""
        shop, now_s = self._world.shop, self._world.loop.time()
        found = [Complaint("I8", f"{row['event']} is neither delivered nor parked", now_s) for row in due]
        deeds, versions = shop.deeds(), shop.versions()
        rows: dict[str, list[Row]] = {}
        for row in self._world.sandbox.books():
            rows.setdefault(row.number[:26], []).append(row)
        for payment in payments:
            own = rows.pop(payment["id"].removeprefix("pay_"), [])
            order_no = payment["order_no"]
            said = disagreements(own, payment, deeds.get(order_no, []), versions.get(order_no, 0))
            found += [Complaint(p, f"{order_no} {payment['id']}: {t}", now_s) for p, t in said]
        for number, own in rows.items():
            if any(row.paid for row in own):
                found.append(Complaint("I2", f"{number} was paid, and the centre does not know it", now_s))
        known = {payment["order_no"] for payment in payments}
        for order_no in sorted(self._acknowledged - known):
            found.append(Complaint("I11", f"{order_no} was acknowledged and is not there", now_s))
        return [*found, *(Complaint("I11", text, now_s) for text in self._forgotten(payments))]

    def _forgotten(self, payments: list[dict[str, Any]]) -> Iterator[str]:
        """Refunds that were taken on and are not there, versions that were shown and are not reached."""
        kept = {(p["id"], r["refund_no"]): r["minor"] for p in payments for r in p["refunds"]}
        for (id_, refund_no), minor in self._refunds.items():
            if kept.get((id_, refund_no)) != minor:
                yield f"refund {refund_no} of {minor} of {id_} was acknowledged and is not there"
        for payment in payments:
            if payment["version"] < self._newest.get(payment["id"], 0):
                yield f"{payment['id']} was shown in version {self._newest[payment['id']]}, and is {payment['version']}"

    def at_end(self, payments: list[dict[str, Any]], feed: list[dict[str, Any]]) -> None:
        """What must be so when all has come to rest. ``feed``: all events by the pull road."""
        for payment in payments:
            self.saw("the list", payment)
        self._feed(payments, feed)
        self._consumer(payments)
        self._wanted_back(payments)
        self._one_at_a_time(payments)
        self._bounded()
        for case in self._world.cases:
            if case == "poisoned":
                self.complain("I20", "the core raised on something that it was told")

    def _feed(self, payments: list[dict[str, Any]], feed: list[dict[str, Any]]) -> None:
        by_payment: dict[str, list[int]] = {}
        for event in feed:
            self.saw("the feed", event["data"])
            by_payment.setdefault(event["data"]["id"], []).append(event["version"])
        told = {told.event.id for told in self._world.shop.told if told.status < 300}
        for payment in payments:
            versions = by_payment.get(payment["id"], [])
            if sorted(versions) != list(range(1, payment["version"] + 1)):
                self.complain("I7", f"{payment['id']} is version {payment['version']}; the feed has {sorted(versions)}")
        for event in feed:
            if event["id"] not in told:
                self.complain("I8", f"{event['id']} ({', '.join(event['changes'])}) was never taken by the app")
            if self._world.options.queue and event["id"] not in self._world.shop.queued:
                self.complain("I8", f"{event['id']} ({', '.join(event['changes'])}) never came by the queue")

    def _consumer(self, payments: list[dict[str, Any]]) -> None:
        """The ten lines that are to be enough: newer versions count, whatever the order and however often."""
        log = [told.event for told in self._world.shop.told]
        log += log[: len(log) // 2]
        Random(f"{self._world.seed}:consumer").shuffle(log)
        newest: dict[str, Any] = {}
        for event in log:
            known = newest.get(event.payment.id)
            if known is None or event.version > known.version:
                newest[event.payment.id] = event.payment
        for payment in payments:
            known = newest.get(payment["id"])
            if known is None:
                continue
            heard = f"version {known.version}, {known.status}, and {known.kept_minor} is kept"
            said = f"version {payment['version']}, {payment['status']}, and {payment['kept_minor']} is kept"
            if heard != said:
                about = f"{payment['order_no']} {payment['id']}"
                self.complain("I9", f"{about}: who drops older versions ends at {heard}; the API says {said}")

    def _wanted_back(self, payments: list[dict[str, Any]]) -> None:
        """Of what paid a payment so much went back as its app asked for, each refund once. (That the books agree is not
        enough: they do so about what went back twice, too.) Nobody sends any back in the vendors' consoles here."""
        for payment in payments:
            if payment["paid"] is None:
                continue
            number = payment["paid"]["attempt"].removeprefix("att_")
            went = sum(row.refunded for row in self._world.sandbox.books(number))
            done = [r["minor"] for r in payment["refunds"] if r["origin"] == "app" and r["status"] == "done"]
            if went > sum(done):
                self.complain("I4", f"{went} went back of {number}, and its app asked for {sum(done)}")

    def _one_at_a_time(self, payments: list[dict[str, Any]]) -> None:
        """Where the policy is to wait, an attempt is over at its channel before the next one is there."""
        if self._world.options.unclosable != "wait":
            return
        rows = {row.number: row for row in self._world.sandbox.books()}
        for payment in payments:
            shown = [a for a in payment["attempts"] if a["shown_ms"] is not None]
            for before, after in pairwise(shown):
                row, following = (rows.get(a["id"].removeprefix("att_")) for a in (before, after))
                if row is None or following is None:  # a page that nobody opened
                    continue
                ends = [_s(at) for at in (row.closed_at, row.paid_at, row.expires) if at]
                if _s(following.created) < min(ends):
                    self.complain("I1", f"{following.number} was there while {row.number} could be paid")

    def _bounded(self) -> None:
        for payment, count in self._world.calls_of.items():
            if count > CALLS_MAX:
                self.complain("I15", f"{payment}: {count} calls to its channels")
        often = dict(self._world.broker.stored)
        if often and max(often.values()) > AGAIN_MAX:
            self.complain("I15", f"a message came to the broker {max(often.values())} times")
        often = {}
        for told in self._world.shop.told:
            often[told.event.id] = often.get(told.event.id, 0) + 1
        for event, count in often.items():
            if count > AGAIN_MAX:
                self.complain("I15", f"{event} was delivered {count} times")


def disagreements(
    rows: list[Row], payment: dict[str, Any], deeds: list[tuple[str, str, int]], version: int
) -> Iterator[tuple[str, str]]:
    """Of one payment: promise and text. Amounts in minor units."""
    held, cash = sum(row.paid - row.refunded for row in rows), sum(minor for _, _, minor in deeds)
    if not held == payment["kept_minor"] == cash:
        yield "I3", f"the channels hold {held}, the centre keeps {payment['kept_minor']}, the app has {cash}"
    if held > payment["minor"]:
        yield "I3", f"{held} is kept of {payment['minor']}"
    if payment["status"] == "open":
        yield "I15", "it is still open"
    shipped = sum(word == "paid" for _, word, _ in deeds)
    if shipped != (payment["paid"] is not None):
        yield "I8", f"the app shipped {shipped} times; paid: {payment['paid'] is not None}"
    if payment["status"] == "closed" and held:
        yield "I6", f"it is closed, and {held} is held"
    if len({key for key, _, _ in deeds}) != len(deeds):
        yield "I8", f"the app did something twice: {deeds}"
    if version != payment["version"]:
        yield "I8", f"the app was told version {version} of {payment['version']}"
    yield from (("I15", f"refund {r['refund_no']} is open") for r in payment["refunds"] if r["status"] == "open")


def _s(rfc3339: str) -> float:
    return datetime.fromisoformat(rfc3339).timestamp()


def _payment_of(path: str) -> str:
    parts = path.split("/")
    return parts[3] if len(parts) > 3 and parts[2] == "payments" else ""


__all__ = ["OTHER", "Complaint", "Judges", "disagreements"]
