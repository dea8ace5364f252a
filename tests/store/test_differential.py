"""The same operations on both databases must have the same answers, whatever they are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import asyncpg
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oncepay.domain.change import Change, Verb
from oncepay.domain.ids import case_id
from oncepay.domain.payment import Payment
from oncepay.ports import App, AppKey, DeliveryMark, Endpoint, Ledger, Page, SealedAccount, UnappliedRow
from oncepay.store.open import open_ledger
from tests.store.conftest import TOKEN, eventually
from tests.store.make import T0, act, acting, case, created, moved, paid, payment, raising, started

EVERYTHING = Page(limit=1000)
ORDERS = ("A", "B", "C")
APPS = ("shop", "other")
ENDPOINTS = ("e1", "e2")
EMPTY = "TRUNCATE payment, attempt, credential, evidence, raw, event, delivery, cases, act, unapplied, app, app_key, account, endpoint"

Call = Callable[[Ledger], Awaitable[object]]


class Both:
    """The two ledgers, and what is known of the payments in them."""

    def __init__(self, runner: asyncio.Runner, url: str) -> None:
        self._runner = runner
        self._url = url
        self._postgres = runner.run(open_ledger(url, token=lambda: TOKEN))
        self.history: dict[tuple[str, str], list[Payment]] = {}

    def run(self, steps: list[tuple[Any, ...]]) -> None:
        """All steps on both, from nothing, and then all there is to see."""
        self.history = {(order_no, app): [] for order_no in ORDERS for app in APPS}
        self._runner.run(self._steps(steps))

    def close(self) -> None:
        """Of the ledger that outlives the examples."""
        self._runner.run(self._postgres.close())

    async def _steps(self, steps: list[tuple[Any, ...]]) -> None:
        link = await asyncpg.connect(self._url)
        await link.execute(EMPTY)
        await link.close()
        sqlite = await open_ledger("sqlite://:memory:", token=lambda: TOKEN)
        try:
            for name, *arguments in steps:
                ours, theirs = [await getattr(self, name)(each, *arguments) for each in (sqlite, self._postgres)]
                assert ours == theirs, (name, arguments)
                if isinstance(ours, Payment):
                    self.history[ours.order_no, ours.app].append(ours)
            ours = await everything(sqlite)
            feed = ours.pop("feed")
            theirs = await everything(self._postgres)
            theirs.pop("feed")
            assert ours == theirs

            async def feed_is_there() -> bool:  # an event is shown when no older transaction runs any more, anywhere
                return bool((await everything(self._postgres))["feed"] == feed)

            await eventually(feed_is_there)
        finally:
            await sqlite.close()

    # -- steps: the answer, or the payment as it is now when a change won -----------------------------------------

    async def commit(self, ledger: Ledger, kind: str, order_no: str, app: str, back: int, at: int) -> object:  # noqa: PLR0917 - a step
        """A change decided on what was known ``back`` revisions ago."""
        known = self.history[order_no, app]
        if kind == "create" or not known:
            change = created(order_no, app, due_ms=T0 + at, minor=1 + at)
        else:
            change = CHANGES[kind](known[max(0, len(known) - 1 - back)], at)
        change = msgspec.structs.replace(change, change_id=f"{kind}-{order_no}-{app}-{back}-{at}-{len(known)}")
        return change.payment if await ledger.commit(change) else "lost"

    async def claim(self, ledger: Ledger, now: int, until: int) -> object:
        """More than there are: where a claim begins is each database's own business."""
        return await ledger.claim_due(T0 + now, T0 + until, 1000)

    async def postpone(self, ledger: Ledger, order_no: str, app: str, lease: int, due: int | None) -> object:
        """Give back, or move."""
        due_ms = None if due is None else T0 + due
        return await ledger.postpone(payment(order_no, app).id, T0 + lease if lease else 0, due_ms)

    async def claim_deliveries(self, ledger: Ledger, now: int, until: int, each: int) -> object:
        """Of both endpoints."""
        return await ledger.claim_deliveries(T0 + now, T0 + until, ENDPOINTS, each)

    async def mark(self, ledger: Ledger, order_no: str, app: str, endpoint: str, status: str, due: int) -> object:  # noqa: PLR0917 - a step
        """A mark, and a group that takes it along."""
        id_ = payment(order_no, app).id
        mark = DeliveryMark(
            payment_id=id_, version=1, endpoint_id=endpoint, status=status, tries=due % 5, last="said",
            due_ms=T0 + due if status == "due" else None,
        )  # fmt: skip
        await ledger.mark_deliveries([mark])
        return await ledger.commit(moved(await self._nobody(ledger)))

    async def _nobody(self, ledger: Ledger) -> Payment:
        """A payment that nobody looks at."""
        change = created("nobody", "nobody")
        await ledger.commit(change)
        known = await ledger.load(change.payment.id)
        assert known is not None
        return known

    async def replay(self, ledger: Ledger, app: str, now: int, status: str, endpoint: str, limit: int) -> object:  # noqa: PLR0917 - a step
        """By filter."""
        return await ledger.replay(app, T0 + now, status=status, endpoint=endpoint, limit=limit)

    async def endpoint(self, ledger: Ledger, id_: str, kind: str, before: str, after: str) -> object:
        """Made, changed from what may not be there, or removed."""
        if kind == "remove":
            return await ledger.delete_endpoint("shop", id_)
        url = f"https://{before or 'a'}.example"  # now and then another's
        old, new = (Endpoint(id=id_, app="shop", url=url, secrets=("s", s), disabled=s) for s in (before, after))
        saved = await ledger.save_endpoint(new, old if kind == "change" else None)
        return saved, await ledger.due_endpoints(T0 + 50)

    async def open_case(self, ledger: Ledger, order_no: str, app: str, kind: str, at: int) -> object:
        """About a payment that may not be there."""
        return await ledger.open_case(case(payment(order_no, app), kind, f"at {at}", due_ms=at), T0 + at)

    async def resolve(self, ledger: Ledger, order_no: str, app: str, kind: str) -> object:
        """One that may not be open."""
        id_ = payment(order_no, app).id
        return await ledger.resolve_case(act(case_id(id_, kind), Verb.RESOLVE, payment_id=id_))

    async def note(self, ledger: Ledger, order_no: str, app: str, kind: str, at: int) -> object:
        """On a case that may not be there, perhaps once more."""
        id_ = payment(order_no, app).id
        return await ledger.add_act(act(case_id(id_, kind), reason=f"note {at % 5}", payment_id=id_, at_ms=T0 + at))

    async def unapplied(self, ledger: Ledger, order_no: str, key: str, at: int, dropped: bool) -> object:
        """Kept or dropped."""
        id_ = payment(order_no).id
        if dropped:
            await ledger.drop_unapplied(id_, key)
        else:
            row = UnappliedRow(
                payment_id=id_,
                key=key,
                channel="c",
                account="a",
                road="query",
                body=bytes([at]),
                why="w",
                at_ms=T0 + at,
            )
            await ledger.keep_unapplied(row)
        return sorted((r.payment_id, r.key, r.body) for r in await ledger.unapplied([payment(o).id for o in ORDERS]))

    async def account(self, ledger: Ledger, id_: str, revision: int) -> object:
        """By compare-and-set."""
        return await ledger.save_account(
            SealedAccount(
                id=id_, channel="c", identity={"n": "1"}, settings={"r": revision}, sealed="s", revision=revision
            )
        )

    async def app(self, ledger: Ledger, id_: str, keys: list[str], used: int) -> object:
        """With some of two keys; before, if there was an app, with its own or with those same."""
        app = App(id=id_, name="n", keys=tuple(AppKey(hash=k, hint="h", created_ms=T0, used_ms=used) for k in keys))
        stands = {known.id: known for known in await ledger.apps()}.get(id_)
        saved = await ledger.save_app(app, stands if used % 3 else app)
        await ledger.used_key("k1", used + 1)
        return saved, await ledger.apps()


CHANGES: dict[str, Callable[[Payment, int], Change]] = {
    "move": lambda before, at: moved(before, due_ms=T0 + at, subject=f"at {at}"),
    "rest": lambda before, at: moved(before, T0 + at),
    "start": lambda before, at: started(before, body=bytes([at]), due_ms=T0 + at),
    "pay": lambda before, at: paid(before, endpoints=ENDPOINTS[: 1 + at % 2], lent_ms=T0 + at, trade_no=str(at % 3)),
    "raise": lambda before, at: raising(before, case(before, "k1", f"raised {at}"), case(before, "k2")),
    "act": lambda before, at: acting(
        before,
        act(case_id(before.id, "k1"), Verb.ACCEPT, f"act {at}", id=f"{at} {before.rev}", resolves=at % 2 == 0),
        act(case_id(before.id, "k2"), Verb.QUERY, f"act {at}", id=f"{at} {before.rev}", number="n", did="asked"),
    ),
    "credential": lambda before, at: msgspec.structs.replace(moved(before), credential=(f"no-{at % 2}", f"c{at}")),
}  # fmt: skip


async def everything(ledger: Ledger) -> dict[str, Any]:
    """All that can be seen."""
    seen: dict[str, Any] = {
        "feed": [],
        "cases": [await ledger.cases(EVERYTHING, status=s) for s in ("", "open", "resolved")],
    }
    for app in APPS:
        payments, _ = await ledger.payments(app, EVERYTHING)
        events, _ = await ledger.events(app, EVERYTHING)
        seen["feed"].append([msgspec.structs.replace(event, cursor="") for event in events])
        seen[app] = {
            "payments": payments,
            "pages": [
                await ledger.payments(app, Page(limit=2), status=s, since_ms=T0, until_ms=T0 + 9) for s in ("", "paid")
            ],
            "deliveries": [await ledger.deliveries(app, EVERYTHING, status=s) for s in ("", "due", "done", "parked")],
            "trades": [await ledger.find_trade(app, str(n)) for n in range(3)],
            "cases": await ledger.cases(EVERYTHING, app=app),
            "evidence": [await ledger.evidence(p.id) for p in payments],
            "events": [await ledger.payment_events(p.id) for p in payments],
            "bodies": [await ledger.body(p.id, a.no) for p in payments for a in p.attempts],
            "credentials": [await ledger.credential(p.id, f"no-{n}") for p in payments for n in range(2)],
            "acts": [await ledger.acts(case_id(p.id, kind)) for p in payments for kind in ("k1", "k2")],
            "acts on payments": [await ledger.payment_acts(p.id) for p in payments],
            "cases of payments": [await ledger.cases(EVERYTHING, payment_id=p.id) for p in payments],
        }
    seen["directory"] = (await ledger.apps(), await ledger.accounts(), await ledger.endpoints())
    stats = dict(await ledger.stats(T0 + 50))
    seen["stats"] = {name: value for name, value in stats.items() if name != "feed_lag"}
    return seen


times = st.integers(0, 99)
orders, apps, endpoints = st.sampled_from(ORDERS), st.sampled_from(APPS), st.sampled_from(ENDPOINTS)
kinds, states = st.sampled_from(["k1", "k2"]), st.sampled_from(["", "410 Gone"])
step = st.one_of(
    st.tuples(st.just("commit"), st.sampled_from(["create", *CHANGES]), orders, apps, st.sampled_from([0, 0, 0, 1, 2]), times),
    st.tuples(st.just("commit"), st.sampled_from(["pay", "start", "move"]), orders, st.just("shop"), st.just(0), times),
    st.tuples(st.just("claim"), times, times),
    st.tuples(st.just("postpone"), orders, apps, times, st.none() | times),
    st.tuples(st.just("claim_deliveries"), times, times, st.integers(1, 3)),
    st.tuples(st.just("mark"), orders, apps, endpoints, st.sampled_from(["due", "done", "parked"]), times),
    st.tuples(st.just("replay"), apps, times, st.sampled_from(["parked", "done", "due"]), endpoints | st.just(""), st.integers(1, 3)),
    st.tuples(st.just("endpoint"), endpoints, st.sampled_from(["make", "change", "remove"]), states, states),
    st.tuples(st.just("open_case"), orders, apps, kinds, times),
    st.tuples(st.just("resolve"), orders, apps, kinds),
    st.tuples(st.just("note"), orders, apps, kinds, times),
    st.tuples(st.just("unapplied"), orders, st.sampled_from(["x", "y"]), times, st.booleans()),
    st.tuples(st.just("account"), st.sampled_from(["a1", "a2"]), st.integers(1, 3)),
    st.tuples(st.just("app"), apps, st.lists(st.sampled_from(["k1", "k2"]), unique=True), times),
)  # fmt: skip


@pytest.fixture
def both(postgres_database: str) -> Iterator[Both]:
    """One PostgreSQL for all examples, emptied before each; a new SQLite for each."""
    with asyncio.Runner() as runner:
        pair = Both(runner, postgres_database)
        yield pair
        pair.close()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(step, min_size=5, max_size=40))
def test_same_operations_same_answers(both: Both, steps: list[tuple[Any, ...]]) -> None:
    both.run(steps)
