"""Lists of the API, on SQLite: an app's payments, events and deliveries, evidence, cases. A list asks for one row more
than its page holds, to know whether another page follows."""

from __future__ import annotations

from typing import Final

from oncepay.domain.change import Act, CaseOpened
from oncepay.domain.ids import case_id, payment_id
from oncepay.domain.payment import Payment
from oncepay.ports import CaseRow, DeliveryRow, EventRow, EvidenceRow, Page
from oncepay.store import rows
from oncepay.store.rows import INT_MAX
from oncepay.store.sqlite_base import LIST_MAX, Base

LAST: Final = "\U0010ffff"  # behind every id


class Lists(Base):
    """That part of the Ledger."""

    installation: str
    epoch: str

    async def payments(
        self, app: str, page: Page, *, status: str = "", order_no: str = "", since_ms: int = 0, until_ms: int = 0
    ) -> tuple[list[Payment], str]:
        """Payments of an app, newest first. since_ms is within, until_ms (0: none) without."""
        if order_no:  # an order number is a key
            return self._of_order(app, order_no, status, since_ms, until_ms or INT_MAX), ""
        before_ms, before_id = rows.place_of(page.after, int, str) if page.after else (INT_MAX, "")
        limit = _within(page.limit)
        if until_ms and until_ms <= before_ms:
            before_ms, before_id = until_ms, ""
        found = await self._list(
            "list_payments", app=app, status=status, since_ms=since_ms, before_ms=before_ms, before_id=before_id,
            most=limit + 1,
        )  # fmt: skip
        kept, more = rows.page_of([rows.payment_of(doc) for (doc,) in found], limit)
        return kept, rows.cursor(kept[-1].created_ms, kept[-1].id) if more else ""

    def _of_order(self, app: str, order_no: str, status: str, since_ms: int, until_ms: int) -> list[Payment]:
        found = self._read("load_payment", (payment_id(self.installation, app, order_no),))
        payments = [rows.payment_of(doc) for (doc,) in found]
        return [
            p
            for p in payments
            if (p.app, p.order_no) == (app, order_no)
            and status in {"", p.status.value}
            and since_ms <= p.created_ms < until_ms
        ]

    async def find_trade(self, app: str, trade_no: str) -> list[str]:
        """Ids of an app's payments that moved money under the channel's own number."""
        return [id_ for (id_,) in await self._list("find_trade", app=app, trade_no=trade_no)]

    async def events(self, app: str, page: Page) -> tuple[list[EventRow], str]:
        """The feed, oldest first. A cursor of another epoch names a place that is gone: the feed starts again."""
        pos = 0
        if page.after:
            epoch, pos, *_ = rows.place_of(page.after, str, int, str, int)
            pos = pos if epoch == self.epoch else 0
        found = await self._list("list_events", app=app, after=pos, most=_within(page.limit))
        events = [rows.event_of(row[1:], rows.cursor(self.epoch, *row[:3])) for row in found]
        return events, events[-1].cursor if events else page.after or rows.cursor(self.epoch, 0, "", 0)

    async def event(self, app: str, payment_id: str, version: int) -> EventRow | None:
        """One event."""
        found = self._read("read_event", {"app": app, "payment_id": payment_id, "version": version})
        return rows.event_of(found[0]) if found else None

    async def payment_events(self, payment_id: str) -> list[EventRow]:
        """All events of a payment, oldest first."""
        return [rows.event_of(row) for row in self._read("list_payment_events", (payment_id,))]

    async def evidence(self, payment_id: str) -> list[EvidenceRow]:
        """All evidence of a payment, oldest first."""
        return [rows.evidence_of(row) for row in self._read("list_evidence", (payment_id,))]

    async def deliveries(
        self, app: str, page: Page, *, status: str = "", payment_id: str = ""
    ) -> tuple[list[DeliveryRow], str]:
        """Deliveries of an app, in the order of their keys."""
        after = rows.place_of(page.after, str, int, str) if page.after else ("", 0, "")
        limit = _within(page.limit)
        name, choice = delivery_choice(app, after, limit + 1, status=status, payment_id=payment_id)
        kept, more = rows.page_of([rows.delivery_of(row) for row in await self._list(name, **choice)], limit)
        return kept, rows.cursor(kept[-1].payment_id, kept[-1].version, kept[-1].endpoint_id) if more else ""

    async def open_case(self, case: CaseOpened, at_ms: int) -> str:
        """Raise a case outside of a payment's change; its id."""
        rows.check_texts(case.about, case.kind, case.text, case.payment_id, case.account)
        rows.check_ints(at_ms, case.due_ms)
        found = self._read("load_payment", (case.payment_id,))
        row = rows.case_row(case, at_ms, rows.payment_of(found[0][0]) if found else None)
        await self._write(lambda: self._run("raise_case", row))
        return case_id(case.about, case.kind)

    async def cases(
        self, page: Page, *, app: str = "", status: str = "open", payment_id: str = ""
    ) -> tuple[list[CaseRow], str]:
        """Cases, oldest first."""
        after_ms, after_id = rows.place_of(page.after, int, str) if page.after else (0, "")
        limit = _within(page.limit)
        choice = {"app": app, "after_ms": after_ms, "after_id": after_id, "most": limit + 1}
        if payment_id:
            found = await self._list("list_payment_cases", **choice, status=status, payment_id=payment_id)
        elif status == "open":
            found = await self._list("list_open_cases", **choice)
        else:
            found = await self._list("list_cases", **choice, status=status)
        kept, more = rows.page_of([rows.case_of(row) for row in found], limit)
        return kept, rows.cursor(kept[-1].opened_ms, kept[-1].id) if more else ""

    async def case(self, case_id: str) -> CaseRow | None:
        """One case."""
        found = self._read("read_case", (case_id,))
        return rows.case_of(found[0]) if found else None

    async def resolve_case(self, act: Act) -> bool:
        """Close a case with an act; False when it was not open."""
        rows.check_act(act)

        def work() -> bool:
            closed = self._run("resolve_case", (act.reason, act.case_id))
            return bool(closed and self._run("insert_act", rows.act_row(act, act.payment_id)))

        return await self._write(work)

    async def add_act(self, act: Act) -> bool:
        """Record an act that changes nothing else; False when it is there."""
        rows.check_act(act)
        return bool(await self._write(lambda: self._run("insert_act", rows.act_row(act, act.payment_id))))

    async def acts(self, case_id: str) -> list[Act]:
        """What was done with a case, oldest first."""
        return [rows.act_of(row) for row in self._read("list_acts", (case_id,))]

    async def payment_acts(self, payment_id: str) -> list[Act]:
        """What people did to a payment by its cases, oldest first."""
        return [rows.act_of(row) for row in self._read("list_payment_acts", (payment_id,))]


def delivery_choice(
    app: str, after: tuple[str, int, str], most: int, *, status: str, payment_id: str, version: int = 0,
    endpoint: str = "",
) -> tuple[str, dict[str, str | int]]:  # fmt: skip
    """The statement that chooses deliveries of an app, and its parameters. Parked ones have an index of their own."""
    choice: dict[str, str | int] = {
        "app": app, "payment_first": payment_id, "payment_last": payment_id or LAST, "after_payment": after[0],
        "after_version": after[1], "after_endpoint": after[2], "version": version, "endpoint": endpoint, "most": most,
    }  # fmt: skip
    if status == "parked":
        return "list_parked", choice
    return "list_deliveries", choice | {"status": status}


def _within(limit: int) -> int:
    return max(1, min(limit, LIST_MAX))
