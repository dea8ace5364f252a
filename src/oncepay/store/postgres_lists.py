"""What the API lists, on PostgreSQL: payments, events, deliveries, evidence, cases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from oncepay.domain.change import Act, CaseOpened
from oncepay.domain.ids import is_id, payment_id
from oncepay.domain.payment import Payment
from oncepay.ports import CaseRow, DeliveryRow, EventRow, EvidenceRow, Page
from oncepay.store import rows

if TYPE_CHECKING:
    from oncepay.store.postgres_link import Calls
    from oncepay.store.pump import Loader

LAST_ID: Final = "~"  # after every id, in the order of bytes
LIST_MAX: Final = 1000  # rows a list gives at once, whoever asks


def ids_between(id_: str) -> tuple[str, str]:
    """The range of keys that holds this id, or all of them when it is empty: one plan serves both."""
    return (id_, id_) if id_ else ("", LAST_ID)


def _within(limit: int) -> int:
    return max(1, min(limit, LIST_MAX))


class Lists:
    """Part of the ledger."""

    installation: str
    epoch: str
    _calls: Calls
    _loader: Loader[bytes | str]

    async def load(self, payment_id: str) -> Payment | None:
        """The aggregate as last committed. Loads that wait at the same moment share a statement."""
        doc = await self._loader.load(payment_id)
        return None if doc is None else rows.payment_of(doc)  # here: what is unreadable is one payment, not its company

    # -- payments ------------------------------------------------------------------------------------------------

    async def payments(
        self, app: str, page: Page, *, status: str = "", order_no: str = "", since_ms: int = 0, until_ms: int = 0
    ) -> tuple[list[Payment], str]:
        """``since_ms`` belongs to the range, ``until_ms`` does not (0: no end)."""
        before_ms, before_id = rows.place_of(page.after, int, str) if page.after else (rows.INT_MAX, LAST_ID)
        until_ms = until_ms or rows.INT_MAX
        limit = _within(page.limit)
        if order_no:
            payment = await self.load(payment_id(self.installation, app, order_no))
            fits = (
                payment is not None
                and payment.app == app
                and status in {"", payment.status}
                and since_ms <= payment.created_ms < until_ms
                and (payment.created_ms, payment.id) < (before_ms, before_id)
            )
            return ([payment] if payment is not None and fits else []), ""
        found, more = rows.page_of(
            await self._calls.read(
                "list_payments", app=app, since_ms=since_ms, until_ms=until_ms, before_ms=before_ms,
                before_id=before_id, status=status, limit_=limit + 1,
            ),
            limit,
        )  # fmt: skip
        after = rows.cursor(found[-1]["created_ms"], found[-1]["id"]) if more else ""
        return [rows.payment_of(row["doc"]) for row in found], after

    async def find_trade(self, app: str, trade_no: str) -> list[str]:
        """Ids of an app's payments that moved money under the channel's own number."""
        found = await self._calls.read("find_trade", app=app, trade_no=trade_no)
        return [row["payment_id"] for row in found]

    async def evidence(self, payment_id: str) -> list[EvidenceRow]:
        """All evidence of a payment, oldest first."""
        return [rows.evidence_of(tuple(row)) for row in await self._calls.read("read_evidence", payment_id=payment_id)]

    # -- events --------------------------------------------------------------------------------------------------

    async def events(self, app: str, page: Page) -> tuple[list[EventRow], str]:
        """A cursor is (epoch, pos, payment_id, version). One of another epoch points into a database that was restored
        since: it starts again, and the app, which drops versions it knows, misses nothing."""
        pos, payment, version = 0, "", 0
        if page.after:
            epoch, *place = rows.place_of(page.after, str, int, str, int)
            if epoch == self.epoch:
                pos, payment, version = place
        found = await self._calls.read(
            "read_feed",
            app=app,
            after_pos=str(pos),
            after_payment=payment,
            after_version=version,
            limit_=_within(page.limit),
        )
        events = []
        for at, *row in found:
            pos, payment, version = int(at), row[0], row[1]
            events.append(rows.event_of(tuple(row), rows.cursor(self.epoch, pos, payment, version)))
        return events, rows.cursor(self.epoch, pos, payment, version)

    async def event(self, app: str, payment_id: str, version: int) -> EventRow | None:
        """One event."""
        found = await self._calls.read("read_event", app=app, payment_id=payment_id, version=version)
        return rows.event_of(tuple(found[0])) if found else None

    async def payment_events(self, payment_id: str) -> list[EventRow]:
        """All events of a payment, oldest first."""
        return [
            rows.event_of(tuple(row)) for row in await self._calls.read("read_payment_events", payment_id=payment_id)
        ]

    # -- deliveries ----------------------------------------------------------------------------------------------

    async def deliveries(
        self, app: str, page: Page, *, status: str = "", payment_id: str = ""
    ) -> tuple[list[DeliveryRow], str]:
        """In the order of their keys."""
        if payment_id and not is_id(payment_id):
            return [], ""
        after = rows.place_of(page.after, str, int, str) if page.after else ("", 0, "")
        first, last = ids_between(payment_id)
        limit = _within(page.limit)
        choice = {
            "app": app, "payment_first": first, "payment_last": last, "limit_": limit + 1,
            "after_payment": after[0], "after_version": after[1], "after_endpoint": after[2],
        }  # fmt: skip
        if status == "parked":
            found = await self._calls.read("list_parked", **choice)
        else:
            found = await self._calls.read("list_deliveries", status=status, **choice)
        found, more = rows.page_of(found, limit)
        cursor = rows.cursor(*found[-1][:3]) if more else ""
        return [rows.delivery_of(tuple(row)) for row in found], cursor

    # -- cases ---------------------------------------------------------------------------------------------------

    async def open_case(self, case: CaseOpened, at_ms: int) -> str:
        """Raise a case outside of a payment's change; its id. The same again only counts up."""
        rows.check_texts(case.about, case.kind, case.text, case.payment_id, case.account)
        rows.check_ints(case.due_ms, at_ms)
        payment = await self.load(case.payment_id) if case.payment_id else None
        id_, payment_id, account_id, app_id, kind, _, text, opened_ms, due_ms, _, _, data = rows.case_row(
            case, at_ms, payment
        )
        await self._calls.write(
            "open_case", id=id_, payment_id=payment_id, account_id=account_id, app_id=app_id, kind=kind, text=text,
            opened_ms=opened_ms, due_ms=due_ms, data=data,
        )  # fmt: skip
        return str(id_)

    async def cases(
        self, page: Page, *, app: str = "", status: str = "open", payment_id: str = ""
    ) -> tuple[list[CaseRow], str]:
        """Cases, oldest first; ``app``: only that app's ("" for an operator: all)."""
        after_ms, after_id = rows.place_of(page.after, int, str) if page.after else (-1, "")
        limit = _within(page.limit)
        place = {"app": app, "after_ms": after_ms, "after_id": after_id, "limit_": limit + 1}
        if payment_id:
            found = await self._calls.read("list_cases_of_payment", payment_id=payment_id, status=status, **place)
        elif status == "open":
            found = await self._calls.read("list_open_cases", **place)
        else:
            found = await self._calls.read("list_cases", status=status, **place)
        found, more = rows.page_of(found, limit)
        cases = [rows.case_of(tuple(row)) for row in found]
        return cases, rows.cursor(cases[-1].opened_ms, cases[-1].id) if more else ""

    async def case(self, case_id: str) -> CaseRow | None:
        """One case."""
        found = await self._calls.read("read_case", id=case_id)
        return rows.case_of(tuple(found[0])) if found else None

    async def resolve_case(self, act: Act) -> bool:
        """Close a case with an act; False when it was not open."""
        rows.check_act(act)
        return bool(await self._calls.write("resolve_case", **_columns(act)))

    async def add_act(self, act: Act) -> bool:
        """Record an act that changes nothing else; False when it is there."""
        rows.check_act(act)
        return bool(await self._calls.write("add_act", **_columns(act)))

    async def acts(self, case_id: str) -> list[Act]:
        """What was done with a case, oldest first."""
        return [rows.act_of(tuple(row)) for row in await self._calls.read("read_acts", case_id=case_id)]

    async def payment_acts(self, payment_id: str) -> list[Act]:
        """What people did to a payment by its cases, oldest first."""
        found = await self._calls.read("read_acts_of_payment", payment_id=payment_id)
        return [rows.act_of(tuple(row)) for row in found]


def _columns(act: Act) -> dict[str, str | int]:
    names = ("case_id", "id", "payment_id", "verb", "actor", "reason", "evidence", "number", "did", "at_ms")
    return dict(zip(names, rows.act_row(act, act.payment_id), strict=True))
