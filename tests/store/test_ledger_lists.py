"""What every ledger must do for people who look: lists with cursors, each app's own, evidence, cases, the directory."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from oncepay.domain.attempt import Fact
from oncepay.domain.change import CaseOpened, Verb
from oncepay.domain.errors import Invalid
from oncepay.domain.ids import case_id
from oncepay.domain.payment import Payment
from oncepay.ports import App, AppKey, Endpoint, Ledger, Page, SealedAccount
from tests.store.conftest import TOKEN, have
from tests.store.make import T0, act, case, created, moved, paid, raising, started


async def all_payments(ledger: Ledger, app: str, limit: int, **filters: object) -> list[str]:
    """Order numbers over all pages."""
    seen: list[str] = []
    after = ""
    while True:
        page, after = await ledger.payments(app, Page(limit=limit, after=after), **filters)  # type: ignore[arg-type]
        assert len(page) <= limit
        seen += [payment.order_no for payment in page]
        if not after:
            return seen


class TestPayments:
    async def test_newest_first_over_pages_each_once(self, ledger: Ledger) -> None:
        for i in range(7):
            await have(ledger, created(f"A-{i}", created_ms=T0 + i // 2))  # pairs in the same millisecond
        for limit in (1, 2, 3, 7, 8):
            seen = await all_payments(ledger, "shop", limit)
            assert sorted(seen) == [f"A-{i}" for i in range(7)]
            times = [int(order_no[2:]) // 2 for order_no in seen]
            assert times == sorted(times, reverse=True)

    async def test_are_an_apps_own(self, ledger: Ledger) -> None:
        await have(ledger, created("A", "shop"))
        await have(ledger, created("A", "other"))
        (mine,), after = await ledger.payments("shop", Page())
        assert (mine.app, after) == ("shop", "")
        assert await ledger.payments("nobody", Page()) == ([], "")

    async def test_by_status_and_time(self, ledger: Ledger) -> None:
        for i in range(6):
            first = created(f"A-{i}", created_ms=T0 + i)
            await have(ledger, first, *([paid(first.payment)] if i % 2 else []))
        assert await all_payments(ledger, "shop", 2, status="paid") == ["A-5", "A-3", "A-1"]
        assert await all_payments(ledger, "shop", 2, status="open") == ["A-4", "A-2", "A-0"]
        assert await all_payments(ledger, "shop", 2, since_ms=T0 + 2, until_ms=T0 + 5) == ["A-4", "A-3", "A-2"]
        assert await all_payments(ledger, "shop", 2, since_ms=T0 + 2, until_ms=T0 + 5, status="paid") == ["A-3"]

    async def test_by_order_number(self, ledger: Ledger) -> None:
        mine = created("A-1", installation=TOKEN)
        await have(ledger, mine)
        await have(ledger, created("A-1", "other", installation=TOKEN))
        assert await ledger.payments("shop", Page(), order_no="A-1") == ([mine.payment], "")
        assert await ledger.payments("shop", Page(), order_no="A-2") == ([], "")
        assert await ledger.payments("shop", Page(), order_no="A-1", status="paid") == ([], "")

    async def test_a_cursor_of_another_list_is_refused(self, ledger: Ledger) -> None:
        _, feed = await ledger.events("shop", Page())
        for call in (ledger.payments("shop", Page(after=feed)), ledger.deliveries("shop", Page(after=feed))):
            with pytest.raises(Invalid):
                await call

    async def test_by_the_channels_own_number(self, ledger: Ledger) -> None:
        first = created("A")
        mine = await have(
            ledger, first, started(first.payment), paid(started(first.payment).payment, trade_no="4200001")
        )
        assert await ledger.find_trade("shop", "4200001") == [mine.id]
        assert await ledger.find_trade("other", "4200001") == []
        assert await ledger.find_trade("shop", "4200002") == []

    async def test_only_money_that_moved_is_found(self, ledger: Ledger) -> None:
        first = created("A")
        change = paid(first.payment, trade_no="77")
        pending = msgspec.structs.replace(change.evidence[0], fact=Fact.PENDING)
        await have(ledger, first, msgspec.structs.replace(change, evidence=(pending,)))
        assert await ledger.find_trade("shop", "77") == []


class TestEvidence:
    async def test_is_kept_in_the_order_in_which_it_came(self, ledger: Ledger) -> None:
        first = created("A")
        second = started(first.payment)
        change = paid(second.payment)
        two = msgspec.structs.replace(change.evidence[0], fact=Fact.PENDING, trade_no="", minor=None, currency=None)
        third = msgspec.structs.replace(change, evidence=(*change.evidence, two))
        payment = await have(ledger, first, second, third)
        rows = await ledger.evidence(payment.id)
        assert [(r.rev, r.no, r.fact, r.road, r.account) for r in rows] == [
            (3, 0, "moved", "notification", "acct"), (3, 1, "pending", "notification", "acct"),
        ]  # fmt: skip
        assert [(r.minor, r.currency, r.trade_no, r.words) for r in rows] == [
            (8800, "CNY", "420001", "SUCCESS"), (None, None, "", "SUCCESS"),
        ]  # fmt: skip
        assert rows[0].digest == rows[1].digest, "of the message that both came in"
        assert len(rows[0].digest) == 32
        assert rows[0].number == payment.attempts[0].no

    async def test_none_is_none(self, ledger: Ledger) -> None:
        assert await ledger.evidence("0" * 26) == []


class TestCases:
    async def test_the_same_again_only_counts_up(self, ledger: Ledger) -> None:
        before = await have(ledger, created())
        after = await have(ledger, raising(before, case(before, due_ms=T0 + 9, data={"n": 1})))
        await have(ledger, raising(after, case(before, text="again")))
        assert await ledger.open_case(case(before, text="and again"), T0 + 500) == case_id(before.id, "unsettled")
        ((row,), _) = await ledger.cases(Page())
        assert (row.seen, row.status, row.opened_ms, row.app, row.payment_id) == (3, "open", T0 + 1, "shop", before.id)
        assert row.due_ms == T0 + 9
        assert (row.text, row.data) == ("look at this", {"n": 1}), "as it was first told"

    async def test_a_resolved_one_opens_again(self, ledger: Ledger) -> None:
        before = await have(ledger, created())
        id_ = await ledger.open_case(case(before, due_ms=T0 + 9), T0)
        assert await ledger.resolve_case(act(id_, Verb.RESOLVE, "called them"))
        assert not await ledger.resolve_case(act(id_, Verb.RESOLVE, "twice"))
        row = await ledger.case(id_)
        assert row is not None
        assert (row.status, row.note, row.due_ms) == ("resolved", "called them", 0)
        assert await ledger.cases(Page()) == ([], "")
        await ledger.open_case(case(before, text="worse"), T0 + 10)
        row = await ledger.case(id_)
        assert row is not None
        assert (row.status, row.seen, row.opened_ms, row.text, row.note) == ("open", 2, T0 + 10, "worse", "")

    async def test_one_for_an_account_however_many_payments_it_stops(self, ledger: Ledger) -> None:
        about = CaseOpened(
            about="acct", kind="account_refused", text="key expired", account="acct", data={"words": "SIGN"}
        )
        payments = [await have(ledger, created(f"A-{i}", app)) for i, app in enumerate(("shop", "other", "shop"))]
        await asyncio.gather(*(ledger.commit(raising(payment, about)) for payment in payments))
        ((row,), _) = await ledger.cases(Page())
        assert (row.seen, row.account, row.payment_id, row.app) == (3, "acct", "", "")
        assert row.data == {"words": "SIGN"}
        assert await ledger.cases(Page(), app="shop") == ([], ""), "an operator's, not an app's"

    async def test_lists(self, ledger: Ledger) -> None:
        payments = [await have(ledger, created(f"A-{i}", "shop" if i < 4 else "other")) for i in range(6)]
        ids = [await ledger.open_case(case(payment), T0 + i // 2) for i, payment in enumerate(payments)]
        second = await ledger.open_case(case(payments[0], "refund_abnormal"), T0 + 50)
        await ledger.resolve_case(act(ids[1], Verb.RESOLVE, ""))

        async def over_pages(**filters: str) -> list[str]:
            seen: list[str] = []
            after = ""
            while True:
                page, after = await ledger.cases(Page(limit=2, after=after), **filters)
                seen += [row.id for row in page]
                if not after:
                    return seen

        assert set(await over_pages()) == {*ids, second} - {ids[1]}
        assert (await over_pages())[-1] == second, "oldest first"
        assert set(await over_pages(app="other")) == set(ids[4:])
        assert await over_pages(status="resolved") == [ids[1]]
        assert set(await over_pages(status="")) == {*ids, second}
        assert await over_pages(payment_id=payments[0].id) == [ids[0], second]
        assert await over_pages(payment_id=payments[0].id, app="other") == []
        assert await over_pages(payment_id=payments[1].id, status="resolved") == [ids[1]]
        assert await ledger.case("0" * 26) is None

    async def test_a_case_about_a_payment_that_is_not_there(self, ledger: Ledger) -> None:
        """Money for a number that fits nothing: it must not be dropped."""
        ghost = Payment(
            id="0" * 26, app="shop", order_no="x", minor=1, currency="CNY", subject="", created_ms=T0, deadline_ms=T0
        )
        await ledger.open_case(case(ghost, "unclaimed"), T0)
        ((row,), _) = await ledger.cases(Page())
        assert (row.payment_id, row.app) == (ghost.id, "")


class TestTheDirectory:
    async def test_apps_with_their_keys(self, ledger: Ledger) -> None:
        old, new = AppKey(hash="h1", hint="aaaa", created_ms=T0), AppKey(hash="h2", hint="bbbb", created_ms=T0 + 1)
        app = App(id="shop", name="店", keys=(old,), private_networks=("10.0.0.0/8",), created_ms=T0)
        assert await ledger.save_app(app, None)
        assert await ledger.apps() == [app]
        rotated = msgspec.structs.replace(app, keys=(new, old), late="accept", unclosable="wait", name="Shop")
        assert await ledger.save_app(rotated, app)
        assert await ledger.apps() == [rotated]
        assert await ledger.save_app(msgspec.structs.replace(rotated, keys=(new,)), rotated)
        (found,) = await ledger.apps()
        assert found.keys == (new,), "a key that is not named is gone at once"

    async def test_apps_by_compare_and_set(self, ledger: Ledger) -> None:
        old = AppKey(hash="h0", hint="0000", created_ms=T0)
        app = App(id="shop", name="s", keys=(old,), created_ms=T0)
        racing = [msgspec.structs.replace(app, name=f"s{i}") for i in range(5)]
        assert sum(await asyncio.gather(*(ledger.save_app(one, None) for one in racing))) == 1
        (first,) = await ledger.apps()
        assert not await ledger.save_app(app, None)
        assert not await ledger.save_app(msgspec.structs.replace(app, id="unborn"), app)
        news = [AppKey(hash=f"h{i}", hint=f"000{i}", created_ms=T0 + i) for i in range(1, 6)]
        rotated = [msgspec.structs.replace(first, keys=(new, old)) for new in news]
        others = [App(id=f"other{i}", name="o") for i in range(5)]
        told = await asyncio.gather(
            *(ledger.save_app(one, first) for one in rotated), *(ledger.save_app(one, None) for one in others)
        )
        assert told[5:] == [True] * 5, "nobody else wanted to change these"
        assert sum(told[:5]) == 1, "of what was read alike one is written"
        assert [found for found in await ledger.apps() if found.id == "shop"] == [rotated[told.index(True)]]

    @pytest.mark.parametrize(
        "change",
        [
            {"name": "t"}, {"late": "accept"}, {"unclosable": "wait"}, {"private_networks": ("10.0.0.0/8",)},
            {"keys": ()}, {"keys": (AppKey(hash="h2", hint="bbbb", created_ms=T0),)},
        ],
    )  # fmt: skip
    async def test_what_differs_in_an_app_is_a_change_of_it(self, ledger: Ledger, change: dict[str, Any]) -> None:
        app = App(id="shop", name="s", keys=(AppKey(hash="h1", hint="aaaa", created_ms=T0),))
        await ledger.save_app(app, None)
        stamp, stale = await ledger.directory_stamp(), msgspec.structs.replace(app, **change)
        assert not await ledger.save_app(stale, stale)
        assert (await ledger.apps(), await ledger.directory_stamp()) == ([app], stamp)
        await ledger.used_key("h1", T0 + 1)
        assert await ledger.save_app(stale, app), "a use of its key is none"

    async def test_a_keys_last_use_only_moves_forward(self, ledger: Ledger) -> None:
        app = App(id="shop", name="s", keys=(AppKey(hash="h1", hint="aaaa", created_ms=T0),))
        await ledger.save_app(app, None)
        stamp = await ledger.directory_stamp()
        await ledger.used_key("h1", T0 + 60_000)
        await ledger.used_key("h1", T0)
        await ledger.used_key("nobody's", T0)
        assert await ledger.save_app(app, app)
        ((key,),) = [found.keys for found in await ledger.apps()]
        assert key.used_ms == T0 + 60_000
        assert stamp != await ledger.directory_stamp()

    async def test_noting_a_use_moves_no_stamp(self, ledger: Ledger) -> None:
        await ledger.save_app(App(id="shop", name="s", keys=(AppKey(hash="h1", hint="aaaa", created_ms=T0),)), None)
        stamp = await ledger.directory_stamp()
        await ledger.used_key("h1", T0)
        assert await ledger.directory_stamp() == stamp

    async def test_a_key_never_changes_hands(self, ledger: Ledger) -> None:
        key = AppKey(hash="h1", hint="aaaa", created_ms=T0)
        await ledger.save_app(App(id="shop", name="s", keys=(key,)), None)
        await ledger.save_app(App(id="thief", name="t", keys=(key,)), None)
        assert {app.id: len(app.keys) for app in await ledger.apps()} == {"shop": 1, "thief": 0}

    async def test_accounts_by_compare_and_set(self, ledger: Ledger) -> None:
        account = SealedAccount(
            id="acct", channel="wechat", identity={"mchid": "1"}, settings={"keys": {"a": 1}}, sealed="s1", revision=1,
            created_ms=T0,
        )  # fmt: skip
        assert await ledger.save_account(account)
        assert not await ledger.save_account(msgspec.structs.replace(account, sealed="again"))
        second = msgspec.structs.replace(account, sealed="s2", settings={"keys": {}}, revision=2)
        racing = [msgspec.structs.replace(second, sealed=f"s{i}") for i in range(5)]
        assert sum(await asyncio.gather(*map(ledger.save_account, racing))) == 1
        assert not await ledger.save_account(msgspec.structs.replace(second, revision=4))
        (found,) = await ledger.accounts()
        assert (found.revision, found.settings, found.identity) == (2, {"keys": {}}, {"mchid": "1"})
        retired = msgspec.structs.replace(found, retired=True, revision=3, identity={"mchid": "another's"})
        assert await ledger.save_account(retired)
        (found,) = await ledger.accounts()
        assert (found.retired, found.identity) == (True, {"mchid": "1"}), "an identity never changes"
        assert not await ledger.save_account(msgspec.structs.replace(account, id="unborn", revision=2))

    async def test_endpoints(self, ledger: Ledger) -> None:
        endpoint = Endpoint(id="e1", app="shop", url="https://a.example/hook", secrets=("new", "old"), created_ms=T0)
        assert await ledger.save_endpoint(endpoint, None)
        changed = msgspec.structs.replace(endpoint, disabled="410 Gone", secrets=("new",), login="v1.sealed")
        assert await ledger.save_endpoint(changed, endpoint)
        assert await ledger.endpoints() == [changed]
        thiefs = msgspec.structs.replace(changed, app="thief")
        for before in (changed, thiefs, None):
            assert not await ledger.save_endpoint(thiefs, before)
        assert await ledger.endpoints() == [changed], "an endpoint never changes hands"
        moved_away = msgspec.structs.replace(changed, url="https://b.example", created_ms=T0 + 1, disabled="")
        assert await ledger.save_endpoint(moved_away, changed)
        assert await ledger.endpoints() == [msgspec.structs.replace(changed, disabled="")], "nor its place"

    async def test_endpoints_by_compare_and_set(self, ledger: Ledger) -> None:
        endpoint = Endpoint(id="e1", app="shop", url="https://a.example/hook", secrets=("s0",), created_ms=T0)
        racing = [msgspec.structs.replace(endpoint, secrets=(f"s{i}",)) for i in range(5)]
        assert sum(await asyncio.gather(*(ledger.save_endpoint(one, None) for one in racing))) == 1
        (first,) = await ledger.endpoints()
        assert not await ledger.save_endpoint(endpoint, None)
        assert not await ledger.save_endpoint(msgspec.structs.replace(endpoint, id="e2"), None), "one of a url"
        assert await ledger.endpoints() == [first]
        rotated = [msgspec.structs.replace(first, secrets=(f"t{i}", *first.secrets)) for i in range(5)]
        disabled = msgspec.structs.replace(first, disabled="410 Gone")
        racing = [*rotated, disabled]
        told = await asyncio.gather(*(ledger.save_endpoint(one, first) for one in racing))
        assert sum(told) == 1, "of what was read alike one is written"
        assert await ledger.endpoints() == [racing[told.index(True)]]

    async def test_an_app_has_one_endpoint_of_a_url(self, ledger: Ledger) -> None:
        racing = [Endpoint(id=f"e{i}", app="shop", url="https://a.example", secrets=("s",)) for i in range(5)]
        others = [msgspec.structs.replace(racing[0], id=f"{app}'s", app=app) for app in ("other", "third")]
        told = await asyncio.gather(*(ledger.save_endpoint(one, None) for one in (*racing, *others)))
        assert (sum(told[:5]), told[5:]) == (1, [True, True])
        assert sorted(e.app for e in await ledger.endpoints()) == ["other", "shop", "third"]

    @pytest.mark.parametrize("change", [{"secrets": ("s2", "s1")}, {"login": "v1.other"}, {"disabled": "410 Gone"}])
    async def test_what_differs_in_an_endpoint_is_a_change_of_it(self, ledger: Ledger, change: dict[str, Any]) -> None:
        endpoint = Endpoint(id="e1", app="shop", url="https://a.example", secrets=("s1", '店"'), login="v1.sealed")
        await ledger.save_endpoint(endpoint, None)
        stamp, stale = await ledger.directory_stamp(), msgspec.structs.replace(endpoint, **change)
        assert not await ledger.save_endpoint(stale, stale)
        assert (await ledger.endpoints(), await ledger.directory_stamp()) == ([endpoint], stamp)
        assert await ledger.save_endpoint(stale, endpoint)

    async def test_a_change_does_not_bring_an_endpoint_back(self, ledger: Ledger) -> None:
        endpoint = Endpoint(id="e1", app="shop", url="https://a.example", secrets=("s1",))
        await ledger.save_endpoint(endpoint, None)
        await ledger.delete_endpoint("shop", "e1")
        assert not await ledger.save_endpoint(msgspec.structs.replace(endpoint, disabled="410 Gone"), endpoint)
        assert await ledger.endpoints() == []

    async def test_the_stamp_moves_with_every_change(self, ledger: Ledger) -> None:
        stamps = [await ledger.directory_stamp()]

        async def moves() -> None:
            stamps.append(await ledger.directory_stamp())
            assert stamps[-1] != stamps[-2]

        await ledger.save_app(App(id="shop", name="s"), None)
        await moves()
        await ledger.save_app(App(id="shop", name="t"), App(id="shop", name="s"))
        await moves()
        await ledger.save_account(
            SealedAccount(id="a", channel="wechat", identity={}, settings={}, sealed="", revision=1)
        )
        await moves()
        endpoint = Endpoint(id="e1", app="shop", url="https://a.example", secrets=())
        await ledger.save_endpoint(endpoint, None)
        await moves()
        await ledger.save_endpoint(msgspec.structs.replace(endpoint, disabled="410 Gone"), endpoint)
        await moves()
        await ledger.delete_endpoint("shop", "e1")
        await moves()
        await ledger.delete_endpoint("shop", "e1")
        assert await ledger.directory_stamp() == stamps[-1]
        assert len(set(stamps)) == len(stamps)

    async def test_what_no_database_can_hold(self, ledger: Ledger) -> None:
        for bad in ("nul\0", "half \ud800"):
            with pytest.raises(Invalid):
                await ledger.save_app(App(id="shop", name=bad), None)
            with pytest.raises(Invalid):
                await ledger.save_endpoint(Endpoint(id="e", app="shop", url=bad, secrets=()), None)
            with pytest.raises(Invalid):
                await ledger.open_case(CaseOpened(about="a", kind="k", text=bad), T0)
        assert await ledger.apps() == []
        before = await have(ledger, created())
        await have(ledger, moved(before))
