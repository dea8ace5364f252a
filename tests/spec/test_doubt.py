"""What must hold when something of ours fails: messages that cannot be taken in or placed, work that died half-way,
keys that changed, endpoints that are dead."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from oncepay.domain import errors
from oncepay.domain.attempt import Attempt, Call, Fact, Road
from oncepay.domain.change import Begin, Change, Evidence, Hear, Step, StepKind
from oncepay.domain.decide import decide
from oncepay.domain.ids import payment_id
from oncepay.domain.payment import Payment, PaymentStatus
from oncepay.domain.plan import plan
from oncepay.engine import admin, core, intake, keys, workers
from oncepay.engine.pay import NewAttempt, start
from oncepay.engine.step import take
from oncepay.ports import Answer, Answered, Draft, Page, Request
from tests.spec.centre import Town
from tests.spec.test_stories import paid
from tests.spec.ways import starts_with

HOUR_S = 3_600


async def order_at_the_channel(town: Town, number: str, minor: int = 8800, *, by: str = "wx") -> str:
    """Somebody with our keys makes an order that this centre's database knows nothing of; its code."""
    channel = town.engine.channels["wechat"]
    account = town.engine.directory.account(by)
    attempt = Attempt(
        no=number, channel="wechat", account=by, method="native", minor=minor, currency="CNY",
        created_ms=town.now_ms, expires_ms=town.now_ms + 600_000, calls=1,
    )  # fmt: skip
    draft = Draft(
        attempt=attempt, subject="Tea", app="shop", order_no="lost", notify_url=town.engine.notify_url(attempt)
    )
    request = channel.build(
        Call.PREPAY, attempt, account, body=channel.draft(draft, account), now_ms=town.now_ms, nonce="n" * 32, host=0
    )
    answer = await town.engine.transport.send(request, 5.0)
    assert isinstance(answer, Answered)
    assert answer.status == 200, answer.body
    return str(msgspec.json.decode(answer.body)["code_url"])


async def test_another_account_of_ours_does_not_vouch_for_a_payment(town: Town) -> None:
    """A merchant who is served here too makes an order under our attempt's number and pays it to himself: what comes is
    validly signed for him, at his address. It is believed by the keys of the attempt's own account, or not at all."""
    shown = await town.pay("D-0")
    other = town.sandbox.add_merchant()
    await admin.add_account(
        town.engine, "wx2", "wechat",
        identity={"mchid": other["mchid"], "appid": other["appid"]},
        settings={"merchant_serial_no": other["merchant_serial_no"], "public_key_id": other["public_key_id"],
                  "public_key_pem": other["public_key_pem"], "base_urls": [other["base_url"]]},
        secrets={"merchant_private_key_pem": other["merchant_private_key_pem"], "apiv3_key": other["apiv3_key"]},
    )  # fmt: skip
    code = await order_at_the_channel(town, f"{shown.payment.id}00", by="wx2")
    town.sandbox.pay_for({"code_url": code, "channel": "wechat"})
    await town.passes(60)  # the first time the vendor's certificate has to be fetched; then it comes again
    assert (await town.now(shown.payment)).status is PaymentStatus.OPEN
    assert await town.cases() == [], "a stranger's message is refused, and calls nobody"


def raise_on_hear(monkeypatch: pytest.MonkeyPatch, on: list[bool], road: Road | None = None) -> None:
    """A fault of ours, while ``on`` holds something. ``road``: only for what comes by it."""

    def broken(payment: Any, asked: Any, *rest: Any) -> Any:
        if isinstance(asked, Hear) and on and (road is None or road in {said.road for said in asked.evidence}):
            raise ZeroDivisionError("a fault of ours")
        return decide(payment, asked, *rest)

    monkeypatch.setattr(core, "decide", broken)


async def test_a_message_that_makes_the_core_raise_is_kept_and_poisons_nothing(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = await town.pay("D-1")
    broken = [True]
    raise_on_hear(monkeypatch, broken)
    await town.payer_pays(shown)
    assert await town.cases() == ["poisoned"]
    assert [row.road for row in await town.engine.ledger.unapplied([shown.payment.id])] == ["notification"]
    other = town.sandbox.books()[0]
    assert other.state == "SUCCESS"
    broken.clear()
    neighbour = await paid(town, "D-1b")
    assert (await town.now(neighbour.payment)).status is PaymentStatus.PAID, "its neighbours go on"
    await town.passes(HOUR_S - 60)
    assert (await town.now(shown.payment)).status is PaymentStatus.OPEN, "backed off, no hot loop"
    await town.passes(120)
    assert town.shop.told("D-1") == ["paid"]
    assert await town.engine.ledger.unapplied([shown.payment.id]) == []


async def test_a_message_that_can_never_be_taken_in_stops_nothing_else(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = await town.pay("D-1c", minutes=600)
    raise_on_hear(monkeypatch, [True], Road.NOTIFICATION)
    await town.payer_pays(shown)
    await town.passes(2 * HOUR_S)
    assert town.shop.told("D-1c") == ["paid"], "the channel was asked"
    assert await town.cases() == ["poisoned"]
    assert len(await town.engine.ledger.unapplied([shown.payment.id])) == 1, "and it is still kept"


async def test_what_is_kept_is_taken_in_though_other_news_put_its_payment_off(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was acknowledged: the channel will not say it again."""
    shown = await town.pay("D-1e", channel="alipay", method="page")
    await town.payer_pays(shown)
    with monkeypatch.context() as patched:
        raise_on_hear(patched, [True], Road.NOTIFICATION)
        town.sandbox.refund(f"{shown.payment.id}00", 1_000, "alipay")  # at the console
        await town.passes(30)
        assert len(await town.engine.ledger.unapplied([shown.payment.id])) == 1
    await town.asks(shown.payment)  # it is paid, and nothing is due any more
    await town.passes(HOUR_S)
    assert await town.engine.ledger.unapplied([shown.payment.id]) == []
    assert (await town.now(shown.payment)).kept == town.kept_in_books(shown.payment) == 7800
    assert town.shop.told("D-1e") == ["paid", "refund.outside"]


@pytest.mark.parametrize("road", ["asked", "kept", "told"])
async def test_a_payment_that_another_process_holds_waits_for_that_one_and_is_no_case(
    town: Town, monkeypatch: pytest.MonkeyPatch, road: str
) -> None:
    """A process that was stopped in the middle of a commit holds its rows for as long."""
    commit = town.engine.ledger.commit

    async def held(change: Change) -> bool:
        raise errors.Busy("another process holds this payment", payment=change.payment.id)

    shown = await town.pay("D-1d")
    broken = [True] if road == "kept" else []  # a fault of ours, so that the message is kept
    raise_on_hear(monkeypatch, broken)
    if road == "asked":
        town.sandbox.faults.replace({"on": {"notify_none": True}})
    if road == "told":
        monkeypatch.setattr(town.engine.ledger, "commit", held)
    await town.payer_pays(shown)
    before = await town.cases()
    assert before == (["poisoned"] if road == "kept" else [])
    broken.clear()
    monkeypatch.setattr(town.engine.ledger, "commit", held)
    await town.passes(2 * HOUR_S if road == "kept" else 20 * 60)
    assert await town.cases() == before
    monkeypatch.setattr(town.engine.ledger, "commit", commit)
    await town.passes(60)
    assert town.shop.told("D-1d") == ["paid"], "a lease later, not in an hour"


async def test_money_that_fits_no_payment_is_a_case_and_never_dropped(town: Town) -> None:
    number = payment_id("another installation", "shop", "lost") + "00"
    await order_at_the_channel(town, number)
    town.sandbox.pay(number)
    await town.sandbox.settle()
    rows, _ = await town.engine.ledger.cases(Page(limit=10))
    assert [(row.kind, row.account) for row in rows] == [("unplaced_money", "wx")]
    assert rows[0].data["number"] == number
    assert rows[0].data["echo"] == "shop:lost"
    await town.passes(2 * HOUR_S)
    rows, _ = await town.engine.ledger.cases(Page(limit=10))
    assert rows[0].seen == 1, "it was acknowledged, so it does not come again"


async def test_a_known_payment_with_an_unknown_suffix_adopts_the_attempt(town: Town) -> None:
    new = await town.pay("D-3")
    lost = new.payment.id + "1Z"
    await order_at_the_channel(town, lost)
    town.sandbox.pay(lost)
    await town.quiet()
    payment = await town.now(new.payment)
    assert payment.status is PaymentStatus.PAID
    assert payment.paid_by == lost
    await town.passes(HOUR_S)
    assert {row.number: row.state for row in town.sandbox.books()}[new.payment.id + "00"] == "CLOSED"


@pytest.mark.parametrize("name", ["wechat-native", "alipay-page", "unionpay-front"])
async def test_one_that_is_not_paid_yet_is_adopted_too_and_followed_to_its_end(town: Town, name: str) -> None:
    """Nobody knows any more how it was to be paid; so nothing is sent for it but questions, and the close."""
    new = await starts_with(town, "D-5", name, minutes=10)
    lost = new.payment.id + "1Z"
    waiting = Evidence(number=lost, fact=Fact.PENDING, road=Road.NOTIFICATION)
    assert new.attempt is not None
    heard = Hear(evidence=(waiting,), channel=new.attempt.channel, account=new.attempt.account)
    await intake.take_in(town.engine, await town.now(new.payment), heard, b"signed")
    assert (await town.now(new.payment)).attempt(lost) is not None
    await town.passes(2 * HOUR_S)
    payment = await town.now(new.payment)
    assert payment.status is PaymentStatus.CLOSED
    assert all(attempt.settled for attempt in payment.attempts)
    assert await town.cases() == []


async def test_what_died_after_the_intent_is_finished_by_the_loop(town: Town) -> None:
    shown = await town.pay("D-4")
    town.faults(notify_none=1.0)
    town.sandbox.pay(shown.payment.id + "00")
    town.sandbox.advance(11)
    payment = await town.now(shown.payment)
    step = plan(payment, town.engine.policy, town.now_ms)
    assert step is not None
    change = decide(payment, Begin(step=step, until_ms=town.now_ms + 10_000), town.engine.policy, town.now_ms)
    assert change is not None
    assert await town.engine.commit(change, before=payment) is not None  # and here the process dies
    assert await workers.run_due_once(town.engine) == 0, "another may be doing it"
    await town.passes(20)
    assert town.shop.told("D-4") == ["paid"]


async def test_a_refund_that_died_before_its_call_is_made_once(town: Town) -> None:
    from oncepay.domain.change import AskRefund

    shown = await paid(town, "D-5")
    payment = await core.apply(town.engine, await town.now(shown.payment), AskRefund(refund_no="r", minor=100))
    step = plan(payment, town.engine.policy, town.now_ms)
    assert step is not None
    change = decide(payment, Begin(step=step, until_ms=town.now_ms + 10_000), town.engine.policy, town.now_ms)
    assert change is not None
    assert await town.engine.commit(change, before=payment) is not None
    await town.passes(HOUR_S)
    assert town.refunds_in_books(payment) == [100]
    assert len([a for a in (await town.now(payment)).attempts if not a.incoming]) == 1


async def test_a_channel_that_does_not_answer_holds_up_no_other(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """More of its payments are due, and for longer, than a worker has places."""
    town.faults(notify_none=1.0)
    silent = [await town.pay(f"D-11-{n}") for n in range(workers.AT_ONCE + 10)]
    town.sandbox.advance(1)
    healthy = await town.pay("D-12", channel="alipay", method="page")
    await town.payer_pays(healthy)
    town.sandbox.advance(15)
    send, answered = town.engine.transport.send, asyncio.Event()

    async def sent(request: Request, deadline_s: float) -> Answer:
        if "/v3/" in request.url:
            await answered.wait()
        return await send(request, deadline_s)

    monkeypatch.setattr(town.engine.transport, "send", sent)
    places = workers.Places()
    for _ in range(3):
        await workers.run_due_once(town.engine, limit=40, places=places, patience_s=0.1)
    async with asyncio.timeout(10):
        while (await town.now(healthy.payment)).status is not PaymentStatus.PAID:  # noqa: ASYNC110 - it is being asked
            await asyncio.sleep(0.005)
    monkeypatch.setattr(workers, "CLAIM_MAX", 40)
    town.sandbox.advance(31)  # what found no place was lent for half a minute
    waited: list[float] = []

    async def wait(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(town.engine.clock, "sleep", wait)
    assert await workers.run_due_once(town.engine, limit=10, places=places, patience_s=0.1) == 10
    assert waited == [workers.PATIENCE_S], "no place for any of them: not to be claimed all the time"
    answered.set()
    await town.passes(1)
    assert {(await town.now(shown.payment)).status for shown in silent} == {PaymentStatus.OPEN}


@pytest.mark.parametrize("in_time", [True, False])
async def test_a_call_that_is_under_way_at_a_stop_is_heard(
    town: Town, monkeypatch: pytest.MonkeyPatch, *, in_time: bool
) -> None:
    town.faults(notify_none=1.0)
    shown = await town.pay("D-13")
    await town.payer_pays(shown)
    town.sandbox.advance(15)
    send, answered, places = town.engine.transport.send, asyncio.Event(), workers.Places()

    async def sent(request: Request, deadline_s: float) -> Answer:
        await answered.wait()
        return await send(request, deadline_s)

    monkeypatch.setattr(town.engine.transport, "send", sent)
    assert await workers.run_due_once(town.engine, places=places, patience_s=0.01) == 1
    stopping = asyncio.create_task(places.finish(5.0 if in_time else 0.01))
    await asyncio.sleep(0)
    if in_time:
        answered.set()
    await stopping
    status = (await town.now(shown.payment)).status
    assert status is (PaymentStatus.PAID if in_time else PaymentStatus.OPEN)


async def test_a_new_platform_certificate_is_fetched_and_the_next_delivery_believed(town: Town) -> None:
    shown = await town.pay("D-10")
    town.faults({"fault": "cert_rotate", "call": "query"})
    await town.asks(shown.payment)
    town.sandbox.pay(shown.payment.id + "00")
    await town.sandbox.settle()
    while town.engine.directory.account("wx").revision == 1:  # noqa: ASYNC110 - fetched in the background
        await asyncio.sleep(0.005)
    await town.passes(20)
    assert town.shop.told("D-10") == ["paid"]


async def test_an_account_that_the_channel_refuses_pauses_with_one_case(town: Town) -> None:
    town.sandbox.faults.replace({"on": {"refused_401": True}})
    shown = await town.pay("D-11")
    assert shown.credential == ""
    assert (await town.now(shown.payment)).status is PaymentStatus.OPEN
    with pytest.raises(errors.AccountPaused):
        await town.pay("D-12")
    assert await town.cases() == ["account_account"]
    town.sandbox.faults.replace({"on": {}})
    await town.passes(120)
    again = await start(town.engine, await town.now(shown.payment), NewAttempt(channel="wechat", method="native"))
    await town.payer_pays(again)
    assert town.shop.told("D-11") == ["paid"]
    assert len([row for row in town.sandbox.books() if row.paid]) == 1


async def test_a_product_that_the_account_may_not_use_keeps_nobody_from_the_others(town: Town) -> None:
    """Another app of the same account goes on paying by what it may use, and what one may not use waits alone."""
    town.sandbox.faults.replace({"on": {"refused_403": {"call": "prepay"}}})
    await town.pay("D-14", method="h5")
    with pytest.raises(errors.AccountPaused):
        await town.pay("D-15", method="h5")
    town.sandbox.faults.replace({"on": {}})
    assert (await town.pay("D-16")).credential


async def test_two_centres_on_one_database_do_each_step_once(town: Town) -> None:
    """Two workers claim at the same moment: no payment is asked about twice."""
    town.faults(notify_none=1.0)
    shown = [await town.pay(f"D-13-{n}") for n in range(20)]
    for one in shown:
        town.sandbox.pay(one.payment.id + "00")
    town.sandbox.advance(11)
    claimed = await asyncio.gather(workers.run_due_once(town.engine), workers.run_due_once(town.engine))
    assert sum(claimed) == 20
    await town.quiet()
    assert sorted(town.shop.books) == sorted(f"D-13-{n}" for n in range(20))


async def test_what_the_shop_hears_is_the_whole_snapshot(town: Town) -> None:
    await paid(town, "D-14")
    event = town.shop.heard[0]
    assert event["type"] == "payment.changed"
    assert event["changes"] == ["paid"]
    assert msgspec.json.decode(msgspec.json.encode(event))["data"]["paid"]["channel"] == "wechat"


async def test_a_creation_that_the_store_lost_is_told_as_such_and_can_be_repeated(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit whose answer was lost and that then turns out never to have happened is not a payment that is absent."""
    commit = town.engine.ledger.commit

    async def rolled_back(change: Any) -> bool:
        return False

    monkeypatch.setattr(town.engine.ledger, "commit", rolled_back)
    with pytest.raises(errors.Busy):
        await town.pay("D-15")
    monkeypatch.setattr(town.engine.ledger, "commit", commit)
    await paid(town, "D-15")
    assert town.shop.told("D-15") == ["paid"]


async def test_keys_are_fetched_again_also_after_a_fault_of_ours(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("a fault of ours")

    account = town.engine.directory.account("wx")
    monkeypatch.setattr(town.engine.channels["wechat"], "read_keys", broken)
    keys.refresh_keys(town.engine, account)
    await town.passes(61)
    assert town.engine.refreshing == set()


async def test_the_answer_of_a_call_that_was_made_again_since_is_known_by_its_call(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code that it brings may be void by then, and the later call is under way still."""
    town.faults({"fault": "drop_before", "call": "prepay", "times": 9}, notify_none=1.0)
    shown = await town.pay("D-16")
    assert not shown.credential
    town.faults(notify_none=1.0)
    held: asyncio.Queue[asyncio.Event] = asyncio.Queue()
    send = town.engine.transport.send

    async def sent(request: Request, deadline_s: float) -> Answer:
        answer, event = await send(request, deadline_s), asyncio.Event()
        held.put_nowait(event)
        await event.wait()
        return answer

    monkeypatch.setattr(town.engine.transport, "send", sent)

    async def call_again() -> tuple[asyncio.Task[Payment], asyncio.Event]:
        stored = await town.now(shown.payment)
        attempt = stored.attempts[0]
        town.sandbox.advance(max(0.0, (attempt.until_ms - town.now_ms) / 1000) + 1)
        again = Step(kind=StepKind.PREPAY, at_ms=town.now_ms, number=attempt.no)
        return asyncio.create_task(take(town.engine, stored, again)), await held.get()

    (first, answers_first), (second, answers_second) = await call_again(), await call_again()
    answers_first.set()
    await first
    attempt = await town.last_attempt(shown.payment)
    assert (attempt.shown_ms, attempt.until_ms > town.now_ms) == (0, True)
    answers_second.set()
    await second
    assert (await town.last_attempt(shown.payment)).shown_ms
