"""Both clients against the real centre over real HTTP: all that an app can ask for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from oncepay.client import (
    Absent,
    ArgumentInvalid,
    Attempt,
    ChannelRefused,
    Conflict,
    Event,
    Invalid,
    KeyReused,
    SignatureInvalid,
    Unauthorized,
    verify,
)
from oncepay.sandbox.wechat.wire import Refusal
from tests.client.talkers import KINDS, Kind, Talker, talking
from tests.wire.api import Api, open_api
from tests.wire.loopback import answer, read_request, serving

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"], loop_scope="module")

NATIVE = Attempt(channel="wechat", method="native")
JSAPI = Attempt(channel="wechat", method="jsapi", payer={"openid": "oTEST-0000000000000000000001"})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api() -> AsyncIterator[Api]:
    async with open_api() as api:
        yield api


@pytest_asyncio.fixture(params=KINDS, loop_scope="module")
async def shop(request: pytest.FixtureRequest, api: Api) -> AsyncIterator[Talker]:
    async with talking(request.param, url_of(api), api.town.key) as talker:
        yield talker


@pytest.fixture
def kind(shop: Talker) -> str:
    """Makes numbers of orders differ between the two."""
    return type(shop.client).__name__


def url_of(api: Api) -> str:
    return api.engine.settings.public_url


def tea(order_no: str, **more: Any) -> Any:
    return lambda c: c.payments.create(
        **{"order_no": order_no, "minor": 8800, "currency": "CNY", "subject": "Tea", **more}
    )


async def pays(api: Api, payment: Any) -> None:
    api.town.sandbox.pay(payment.attempt.id[4:])
    await api.town.quiet()


async def test_an_order_from_end_to_end(api: Api, shop: Talker, kind: str) -> None:
    start = [event.id for event in await shop.every(lambda c: c.events.each())]
    made = await shop.ask(tea(f"{kind}-1", attempt=NATIVE, return_url="https://shop.example/thanks"))
    assert (made.status, made.version, made.replayed, made.in_doubt) == ("open", 0, False, False)
    assert made.attempt.credential["code_url"].startswith("weixin://")
    again = await shop.ask(tea(f"{kind}-1", attempt=NATIVE))
    assert (again.replayed, again.attempt) == (True, made.attempt)

    await pays(api, made)
    paid = await shop.ask(lambda c: c.payments.wait(made.id, version=0))
    assert (paid.status, paid.version, paid.kept_minor) == ("paid", 1, 8800)
    assert paid.attempts[0].status == "succeeded"
    for call in (
        lambda c: c.payments.get(made.id),
        lambda c: c.payments.fresh(made.id),
        lambda c: c.payments.of_order(f"{kind}-1"),
        lambda c: c.payments.of_trade(paid.paid.trade_no),
    ):
        assert await shop.ask(call) == paid
    paid_again = await shop.ask(tea(f"{kind}-1", attempt=NATIVE))
    assert (paid_again.status, paid_again.attempt) == ("paid", None)

    back = await shop.ask(lambda c: c.refunds.create(made.id, refund_no="R-1", minor=800, note="cold"))
    assert (back.minor, back.note, back.payment, back.replayed) == (800, "cold", made.id, False)
    assert (await shop.ask(lambda c: c.refunds.create(made.id, refund_no="R-1", minor=800))).replayed is True
    await api.town.passes(60)
    read = await shop.ask(lambda c: c.refunds.get(back.id))
    assert (read.status, read.refund_no, read.tries[0].status) == ("done", "R-1", "succeeded")
    assert await shop.ask(lambda c: c.refunds.of_number(made.id, "R-1")) == read
    assert await shop.ask(lambda c: c.refunds.list(made.id)) == (read,)

    told = [event for event in await shop.every(lambda c: c.events.each()) if event.id not in start]
    assert told == list(await shop.ask(lambda c: c.payments.events(made.id)))
    assert all(isinstance(event, Event) for event in told)
    assert told[0].payment.status == "paid"
    assert told[-1].payment.kept_minor == 8000
    assert await shop.ask(lambda c: c.events.get(told[0].id)) == told[0]
    story = await shop.ask(lambda c: c.payments.timeline(made.id))
    assert story.explain.status == "paid"
    assert {"what", "at_ms"} <= set(story.timeline[0])


async def test_another_way_to_pay_and_a_changed_mind(shop: Talker, kind: str) -> None:
    made = await shop.ask(tea(f"{kind}-2"))
    assert made.attempt is None
    assert made.in_doubt is False
    first = await shop.ask(lambda c: c.payments.start_attempt(made.id, NATIVE))
    second = await shop.ask(lambda c: c.payments.start_attempt(made.id, JSAPI))
    assert (first.attempt.method, second.attempt.method) == ("native", "jsapi")
    assert [attempt.status for attempt in second.attempts] == ["over", "sent"]
    with pytest.raises(Conflict) as caught:
        await shop.ask(lambda c: c.payments.amend(made.id, minor=9000))
    assert (caught.value.code, caught.value.outcome) == ("attempt_live", "not_sent")
    closed = await shop.ask(lambda c: c.payments.close(made.id, if_paid="refund"))
    assert (closed.status, closed.closed.why) == ("closed", "asked")
    deadline_ms = made.deadline_ms + 3_600_000
    open_again = await shop.ask(lambda c: c.payments.reopen(made.id, deadline_ms=deadline_ms))
    assert (open_again.status, open_again.deadline_ms) == ("open", deadline_ms)
    amended = await shop.ask(lambda c: c.payments.amend(made.id, minor=9000))
    assert (amended.minor, amended.deadline_ms) == (9000, deadline_ms)


async def test_lists_are_walked_to_their_end(shop: Talker, kind: str, api: Api) -> None:
    since_ms = api.town.now_ms
    made = [await shop.ask(tea(f"{kind}-3-{n}")) for n in range(5)]
    ids = {payment.id for payment in made}
    page = await shop.ask(lambda c: c.payments.list(since_ms=since_ms, limit=2))
    assert len(list(page)) == 2
    assert page.next is not None
    walked = await shop.every(lambda c: c.payments.each(since_ms=since_ms, limit=2))
    assert {payment.id for payment in walked} >= ids
    assert len({payment.id for payment in walked}) == len(walked)
    rest = await shop.every(lambda c: c.payments.each(since_ms=since_ms, limit=2, after=page.next))
    assert [payment.id for payment in rest] == [payment.id for payment in walked[2:]]
    assert await shop.every(lambda c: c.payments.each(order_no=f"{kind}-none")) == []
    assert await shop.ask(lambda c: c.payments.of_order(f"{kind}-none")) is None
    assert await shop.ask(lambda c: c.payments.of_trade("none")) is None


async def test_the_feed_is_read_page_by_page_from_where_it_was_left(shop: Talker, kind: str, api: Api) -> None:
    pages = await shop.every(lambda c: c.events.pages())
    cursor = pages[-1].next if pages else ""
    for n in range(3):
        made = await shop.ask(tea(f"{kind}-4-{n}", attempt=NATIVE))
        await pays(api, made)
    pages = await shop.every(lambda c: c.events.pages(after=cursor, limit=2))
    assert [len(page.data) for page in pages] == [2, 1]
    assert [event.payment.order_no for page in pages for event in page] == [f"{kind}-4-{n}" for n in range(3)]
    none = await shop.ask(lambda c: c.events.list(after=pages[-1].next))
    assert (none.data, none.next, none.more) == ((), pages[-1].next, None)
    assert await shop.every(lambda c: c.events.each(after=pages[-1].next)) == []


async def test_waiting_ends_with_the_news(shop: Talker, kind: str, api: Api) -> None:
    made = await shop.ask(tea(f"{kind}-5", attempt=NATIVE))
    waiting = asyncio.create_task(shop.ask(lambda c: c.payments.wait(made.id, version=0)))
    while not api.engine.hub._waiting.get(made.id[4:]):  # noqa: ASYNC110 - it must be waiting
        await asyncio.sleep(0.001)
    api.town.sandbox.pay(made.attempt.id[4:])
    assert (await waiting).status == "paid"


# -- refusals ----------------------------------------------------------------------------------------------------


async def test_what_is_refused_is_said_as_what_it_is(shop: Talker, kind: str) -> None:
    made = await shop.ask(tea(f"{kind}-6"))
    with pytest.raises(KeyReused) as reused:
        await shop.ask(tea(f"{kind}-6", minor=8801))
    assert (reused.value.field, reused.value.outcome) == ("amount.minor", "not_sent")
    assert reused.value.problem["order_no"] == f"{kind}-6"
    assert reused.value.request_id.startswith("req_")
    wrong: list[tuple[Any, type[Exception], str]] = [
        (tea(f"{kind}-6", minor=0), Invalid, "invalid"),
        (tea(f"{kind}-6", minor=88.0), Invalid, "invalid"),
        (tea("no spaces, please"), Invalid, "invalid"),
        (tea(f"{kind}-7", attempt=Attempt(channel="wechat", method="telepathy")), Invalid, "method_unknown"),
        (lambda c: c.payments.get("pay_" + "0" * 26), Absent, "payment_absent"),
        (lambda c: c.payments.get("A-1"), Absent, "payment_absent"),
        (lambda c: c.refunds.of_number(made.id, "R-9"), Absent, "refund_absent"),
        (lambda c: c.refunds.create(made.id, refund_no="R-1", minor=1), Conflict, "payment_unpaid"),
        (lambda c: c.endpoints.create(url="https://10.0.0.1/"), Invalid, "invalid"),
        (lambda c: c.payments.list(limit=1000), Invalid, "invalid"),
    ]
    for call, error, code in wrong:
        with pytest.raises(error) as caught:
            await shop.ask(call)
        assert caught.value.code == code  # type: ignore[attr-defined]


async def test_what_the_channel_refuses_for_good_has_failed(shop: Talker, kind: str, monkeypatch: Any) -> None:
    def too_particular(_shape: object) -> None:
        raise Refusal(400, "PARAM_ERROR", "no")

    with monkeypatch.context() as patched:
        patched.setattr("oncepay.sandbox.wechat.shapes.check_prepay", too_particular)
        with pytest.raises(ChannelRefused) as caught:
            await shop.ask(tea(f"{kind}-8", attempt=NATIVE))
    assert (caught.value.outcome, caught.value.tries) == ("failed", 1)
    assert (await shop.ask(lambda c: c.payments.get(caught.value.problem["payment"]))).status == "open"


async def test_a_channel_that_is_silent_leaves_doubt_and_not_failure(shop: Talker, kind: str, api: Api) -> None:
    api.town.faults(http_502=1.0)
    made = await shop.ask(tea(f"{kind}-9", attempt=NATIVE))
    api.town.faults()
    assert (made.in_doubt, made.attempt.status, made.attempt.credential) == (True, "unknown", None)
    await api.town.passes(60)
    later = await shop.ask(tea(f"{kind}-9", attempt=NATIVE))
    assert (later.in_doubt, later.id, later.attempt.id) == (False, made.id, made.attempt.id)
    assert later.attempt.credential is not None


@pytest.mark.parametrize("kind", KINDS)
async def test_another_apps_things_are_not_there_and_a_wrong_key_is_named(api: Api, kind: Kind) -> None:
    async with (
        talking(kind, url_of(api), api.town.key) as shop,
        talking(kind, url_of(api), str(api.other.key)) as other,
    ):
        made = await shop.ask(tea(f"{kind}-10"))
        with pytest.raises(Absent):
            await other.ask(lambda c: c.payments.get(made.id))
        assert await other.every(lambda c: c.events.each()) == []
    async with talking(kind, url_of(api), "onc_wrong") as stranger:
        with pytest.raises(Unauthorized) as caught:
            await stranger.ask(lambda c: c.payments.get(made.id))
        assert "onc_wrong" not in f"{caught.value} {stranger.client!r}"


# -- being told --------------------------------------------------------------------------------------------------


async def test_an_endpoint_its_secrets_and_what_it_is_told(shop: Talker, kind: str, api: Api) -> None:
    heard: list[tuple[dict[str, str], bytes]] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            _, headers, body = await read_request(reader)
            heard.append((headers, body))
            writer.write(answer(204))

    async with serving(talk) as port:
        made = await shop.ask(lambda c: c.endpoints.create(url=f"http://127.0.0.1:{port}/hook"))
        assert made.secret not in repr(made)
        with pytest.raises(KeyReused) as caught:
            await shop.ask(lambda c: c.endpoints.create(url=made.url))
        assert caught.value.problem["endpoint"] == made.id
        rotated = await shop.ask(lambda c: c.endpoints.rotate(made.id))
        await api.engine.directory.refresh(force=True)
        payment = await shop.ask(tea(f"{kind}-11", attempt=NATIVE))
        api.town.sandbox.pay(payment.attempt.id[4:])
        while not heard:  # noqa: ASYNC110 - another program speaks
            await asyncio.sleep(0.001)
        headers, body = heard[0]
        now = api.town.now_ms / 1000
        events = [verify(secret, headers, body, now) for secret in (made.secret, rotated.secret)]
        assert events[0] == events[1] == await shop.ask(lambda c: c.events.get(events[0].id))
        with pytest.raises(SignatureInvalid):
            verify(api.town.shop.secret, headers, body, now)
        (delivery,) = [
            d for d in await shop.every(lambda c: c.deliveries.each(payment=payment.id)) if d.endpoint == made.id
        ]
        while (await shop.ask(lambda c: c.deliveries.list(payment=payment.id, status="due"))).data:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        assert await shop.ask(lambda c: c.deliveries.replay_one(delivery.id)) == 1
        replayed = await shop.ask(lambda c: c.deliveries.replay(status="done", endpoint=made.id))
        assert replayed == 0
        assert made.id in {endpoint.id for endpoint in await shop.ask(lambda c: c.endpoints.list())}
        assert (await shop.ask(lambda c: c.endpoints.enable(made.id))).disabled is None
        assert (await shop.ask(lambda c: c.endpoints.get(made.id))).url == made.url
        assert await shop.ask(lambda c: c.endpoints.remove(made.id)) is None
        with pytest.raises(Absent):
            await shop.ask(lambda c: c.endpoints.remove(made.id))


async def test_an_endpoint_at_a_broker_is_answered_without_its_login(shop: Talker, kind: str) -> None:
    """Its secret is shown once: who is not given it then has none."""
    url = f"AMQPS://shop:s3cret@MQ.example.com/?queue={kind}"
    made = await shop.ask(lambda c: c.endpoints.create(url=url))
    assert (made.url, made.secret[:6]) == (f"amqps://mq.example.com/?queue={kind}", "whsec_")
    await shop.ask(lambda c: c.endpoints.remove(made.id))


# -- what cannot be sent -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["", ".", "..", "pay_1/close", "pay_1?x", "pay_1#x", "../events", "a b", "é", "\ud800", "\n"]
)
async def test_a_name_leads_nowhere_else(shop: Talker, name: str, api: Api) -> None:
    if name in {"pay_1?x", "pay_1#x"}:  # written so that they are part of the name
        with pytest.raises(Absent, match="payment_absent"):
            await shop.ask(lambda c: c.payments.get(name))
    else:
        with pytest.raises(ArgumentInvalid, match="payment must be its id"):
            await shop.ask(lambda c: c.payments.get(name))


async def test_what_is_no_argument_is_refused_before_it_is_sent(shop: Talker) -> None:
    for call in (
        lambda c: c.payments.of_order(""),
        lambda c: c.payments.of_trade(""),
        lambda c: c.payments.of_order("\ud800"),
        lambda c: c.payments.create(order_no="\ud800", minor=1, currency="CNY", subject="x"),
        lambda c: c.payments.create(order_no="A", minor=object(), currency="CNY", subject="x"),
    ):
        with pytest.raises(ArgumentInvalid):
            await shop.ask(call)
