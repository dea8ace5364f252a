"""Two independent readings of the same documents: our channel talks to the sandbox over loopback, and they agree."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
from cryptography import x509
from yarl import URL

from oncepay.channels.alipay import Alipay
from oncepay.domain.attempt import Attempt, Call, Direction, Fact, Reason
from oncepay.domain.change import Evidence, Fault
from oncepay.ports import Account, Notice, Refused
from oncepay.sandbox.alipay import trades
from oncepay.sandbox.alipay.keys import certify
from oncepay.sandbox.main import Sandbox
from tests.channels.alipay_authority import TESTED
from tests.channels.alipay_kit import NO, order, refund
from tests.channels.talk import NONCE, Talk
from tests.sandbox import alipay_vectors
from tests.sandbox.merchant import Receiver
from tests.sandbox.vectors import vector_keys

METHODS = ["page", "wap", "app", "precreate"]


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(seed=1, keys=vector_keys(), alipay_keys=alipay_vectors.vector_keys()) as sandbox:
        yield sandbox


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        receiver.status = 200
        yield receiver


def account_of(sandbox: Sandbox, *, certified: bool = False) -> Account:
    """An account as ``sandbox.json`` tells it."""
    block = sandbox.config["alipay"]
    account = Account(id="ali-main", channel="alipay", **block["account"])
    if not certified:
        return account
    names = {"app_cert": "app_cert_pem", "alipay_cert": "alipay_cert_pem", "alipay_root_cert": "alipay_root_cert_pem"}
    settings = {"base_urls": account.settings["base_urls"]} | {name: block[told] for name, told in names.items()}
    return msgspec.structs.replace(account, id="ali-certified", settings=settings)


@pytest.fixture(params=[False, True], ids=["keys", "certificates"])
async def talk(request: pytest.FixtureRequest, sandbox: Sandbox, receiver: Receiver) -> AsyncIterator[Talk]:
    async with aiohttp.ClientSession() as session:
        to = account_of(sandbox, certified=request.param)
        yield Talk(sandbox, session, receiver, Alipay(), to)


async def started(talk: Talk, method: str = "precreate") -> tuple[Attempt, dict[str, Any]]:
    """An attempt by the sandbox's clock, and what the payer pays with."""
    attempt = order(NO, method)
    attempt = msgspec.structs.replace(attempt, created_ms=talk.now_ms, expires_ms=talk.now_ms + 1_800_000)
    if method == "precreate":
        found = await talk.read(Call.PREPAY, attempt)
        assert [(e.fact, e.wrong) for e in found.evidence] == [(Fact.PENDING, "")]
        assert found.credential is not None
        made = found.credential
    else:
        made = talk.channel.credential(attempt, talk.account, body=talk.body(attempt))
    assert made.until_ms == attempt.expires_ms
    credential: dict[str, Any] = json.loads(made.body)
    assert credential.pop("type") == {"precreate": "qr", "app": "order_string"}.get(method, "url")
    return attempt, credential


async def paid(talk: Talk, method: str = "precreate") -> Attempt:
    attempt, credential = await started(talk, method)
    talk.sandbox.pay_for(credential)
    await talk.sandbox.settle()
    talk.paying = attempt
    return attempt


def log_in(talk: Talk, credential: dict[str, Any]) -> None:
    """The payer opens the page and says who he is: from now on there is a trade."""
    vendor = talk.sandbox.alipay
    trades.log_in(vendor.desk, vendor.opened(credential["url"]))


@pytest.mark.parametrize("method", METHODS)
async def test_a_payment_from_start_to_paid(talk: Talk, method: str) -> None:
    attempt, credential = await started(talk, method)
    assert (await talk.ask(Call.QUERY, attempt)).fact is Fact.ABSENT
    assert (await talk.ask(Call.CLOSE, attempt)).fact is Fact.ABSENT
    done = talk.sandbox.pay_for(credential)
    await talk.sandbox.settle()
    moved = await talk.ask(Call.QUERY, attempt)
    assert (moved.fact, moved.minor, moved.currency) == (Fact.MOVED, 8888, "CNY")
    assert moved.trade_no == done["transaction_id"]
    assert abs(moved.channel_ms - talk.now_ms) < 60_000
    closed = await talk.ask(Call.CLOSE, attempt)
    assert (closed.fact, closed.fault) == (Fact.SILENT, Fault.NONE)
    assert closed.words.startswith("ACQ.TRADE_STATUS_ERROR")
    notice = talk.heard(0)
    assert isinstance(notice, Notice)
    assert (notice.numbers, notice.echo) == ((NO,), "pc:7")
    (told,) = notice.evidence
    same = ("number", "fact", "minor", "currency", "trade_no", "channel_ms", "channel_day", "wrong", "returned_minor")
    assert {name: getattr(told, name) for name in same} == {name: getattr(moved, name) for name in same}


@pytest.mark.parametrize("method", ["page", "wap"])
async def test_a_page_leads_the_browser_to_the_cashier(talk: Talk, method: str) -> None:
    attempt, credential = await started(talk, method)
    async with talk.session.get(URL(credential["url"], encoded=True), allow_redirects=False) as answer:
        assert answer.status == 302
        assert "/alipay/cashier/" in answer.headers["location"]
    assert (await talk.ask(Call.QUERY, attempt)).fact is Fact.ABSENT


async def test_the_same_again_is_paid_once(talk: Talk) -> None:
    attempt, first = await started(talk)
    talk.sandbox.advance(60)
    again = await talk.read(Call.PREPAY, attempt)
    assert again.credential is not None
    talk.sandbox.pay_for(first)
    after = await talk.read(Call.PREPAY, attempt)
    assert [(e.fact, e.fault, e.words[:21]) for e in after.evidence] == [
        (Fact.SILENT, Fault.NONE, "ACQ.TRADE_HAS_SUCCESS")
    ]


async def test_a_trade_that_is_there_is_closed_and_stays_closed(talk: Talk) -> None:
    attempt, credential = await started(talk, "page")
    log_in(talk, credential)
    assert (await talk.ask(Call.QUERY, attempt)).fact is Fact.PENDING
    closed = await talk.ask(Call.CLOSE, attempt)
    assert (closed.fact, closed.reason) == (Fact.OVER, Reason.CLOSED)
    assert (await talk.ask(Call.QUERY, attempt)).fact is Fact.OVER
    assert (await talk.ask(Call.CLOSE, attempt)).fact is Fact.SILENT


async def test_what_nobody_paid_in_time(talk: Talk) -> None:
    attempt, credential = await started(talk, "wap")
    log_in(talk, credential)
    talk.sandbox.advance(1_801)
    await talk.sandbox.settle()
    found = await talk.ask(Call.QUERY, attempt)
    assert (found.fact, found.reason) == (Fact.OVER, Reason.CLOSED)
    notice = talk.heard(0)  # closing is told of wap trades
    assert isinstance(notice, Notice)
    assert [(e.fact, e.returned_minor) for e in notice.evidence] == [(Fact.OVER, None)]


async def test_another_amount_under_the_same_number_is_no_refusal(talk: Talk) -> None:
    attempt = await paid(talk)
    talk.bodies.clear()
    found = await talk.ask(Call.PREPAY, msgspec.structs.replace(attempt, minor=1))
    assert (found.fact, found.fault) == (Fact.SILENT, Fault.NONE)


async def test_a_body_that_is_refused(talk: Talk) -> None:
    attempt, _ = await started(talk)
    stored = json.loads(talk.body(attempt))
    content = json.loads(stored["biz_content"]) | {"out_trade_no": "PC202603010009", "total_amount": "0.00"}
    other = order("PC202603010009")
    talk.bodies[other.no] = json.dumps({**stored, "biz_content": json.dumps(content)}).encode()
    found = await talk.ask(Call.PREPAY, other)
    assert (found.fact, found.reason) == (Fact.OVER, Reason.REFUSED)


# -- cancel ----------------------------------------------------------------------------------------------------------


async def test_a_cancel_of_what_is_not_there_is_unpaid_and_is_paid(talk: Talk) -> None:
    attempt, credential = await started(talk, "page")
    assert (await talk.ask(Call.CANCEL, attempt)).fact is Fact.ABSENT
    log_in(talk, credential)
    cancelled = await talk.ask(Call.CANCEL, attempt)
    assert (cancelled.fact, cancelled.reason) == (Fact.OVER, Reason.CLOSED)


async def test_a_cancel_of_what_is_paid_sends_it_back(talk: Talk) -> None:
    attempt = await paid(talk)
    cancelled = await talk.ask(Call.CANCEL, attempt)
    assert (cancelled.fact, cancelled.minor, cancelled.returned_minor) == (Fact.MOVED, 8888, 8888)
    found = await talk.ask(Call.QUERY, attempt)
    assert (found.fact, found.minor, found.returned_minor) == (Fact.MOVED, 8888, 8888)


# -- refunds ---------------------------------------------------------------------------------------------------------


async def gone(talk: Talk, attempt: Attempt) -> Evidence:
    assert (await talk.ask(Call.REFUND, attempt)).fact is Fact.PENDING
    talk.sandbox.advance(10)
    await talk.sandbox.settle()
    return await talk.ask(Call.QUERY_REFUND, attempt)


@pytest.mark.parametrize("method", METHODS)
async def test_refunds_in_part_and_then_the_rest(talk: Talk, method: str) -> None:
    attempt = await paid(talk, method)
    first, rest = refund(), refund("RF202603020002", minor=8000)
    for back, all_of_it in ((first, 888), (rest, 8888)):
        assert (await talk.ask(Call.QUERY_REFUND, back)).fact is Fact.ABSENT
        done = await gone(talk, back)
        assert (done.fact, done.minor, done.currency, done.of) == (Fact.MOVED, back.minor, "CNY", NO)
        again = await talk.ask(Call.REFUND, back)
        assert (again.fact, again.words) == (Fact.SILENT, "fund_change=N")
        found = await talk.ask(Call.QUERY, attempt)
        assert (found.fact, found.minor) == (Fact.MOVED, 8888)
        assert found.returned_minor == (8888 if all_of_it == 8888 else None)
        heard = [notice for index in range(len(talk.receiver.got)) if isinstance(notice := talk.heard(index), Notice)]
        told_of = [notice for notice in heard if back.no in notice.numbers]
        assert bool(told_of) is (back is first or method in {"wap", "app"})  # of others, closing is not told
        for notice in told_of:
            whole, part = notice.evidence
            assert (whole.fact, whole.minor, whole.returned_minor) == (Fact.MOVED, 8888, all_of_it)
            assert (part.number, part.of, part.fact, part.minor) == (back.no, NO, Fact.PENDING, None)
            assert part.direction is Direction.OUT
    assert [row.amount for row in talk.sandbox.books(NO)[0].refunds] == [888, 8000]
    more = await talk.ask(Call.REFUND, refund("RF202603020003", minor=1))
    assert (more.fact, more.reason) == (Fact.OVER, Reason.REFUSED)


async def test_another_amount_under_the_same_refund_number_is_no_refusal(talk: Talk) -> None:
    await paid(talk)
    await gone(talk, refund())
    talk.bodies.clear()
    found = await talk.ask(Call.REFUND, refund(minor=887))
    assert (found.fact, found.fault) == (Fact.SILENT, Fault.NONE)
    assert found.words.startswith("ACQ.DISCORDANT_REPEAT_REQUEST")


async def test_more_than_is_left_is_refused(talk: Talk) -> None:
    await paid(talk)
    found = await talk.ask(Call.REFUND, refund(minor=8889))
    assert (found.fact, found.reason) == (Fact.OVER, Reason.REFUSED)


async def test_a_refund_without_money_is_tried_again_later(talk: Talk) -> None:
    await paid(talk)
    talk.sandbox.faults.replace({"once": [{"fault": "not_enough"}]})
    found = await talk.ask(Call.REFUND, refund())
    assert (found.fact, found.fault) == (Fact.SILENT, Fault.BALANCE)
    assert (await talk.ask(Call.QUERY_REFUND, refund())).fact is Fact.ABSENT
    assert (await gone(talk, refund())).fact is Fact.MOVED


async def test_what_somebody_gave_back_in_the_console(talk: Talk) -> None:
    attempt = await paid(talk, "wap")
    talk.sandbox.refund(NO, 8888, "alipay")
    await talk.sandbox.settle()
    found = await talk.ask(Call.QUERY, attempt)
    assert (found.fact, found.returned_minor) == (Fact.MOVED, 8888)
    notice = talk.heard(1)
    assert isinstance(notice, Notice)
    assert (notice.evidence[0].fact, notice.evidence[0].returned_minor) == (Fact.MOVED, 8888)


# -- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ({"fault": "drop_after"}, Fault.NONE),
        ({"fault": "http_500_after"}, Fault.NONE),
        ({"fault": "http_502_after"}, Fault.NONE),
        ({"fault": "http_429_after"}, Fault.MOMENT),
        ({"fault": "system_error_after"}, Fault.NONE),
        ({"fault": "system_error_after", "how": "gateway"}, Fault.NONE),
        ({"fault": "garbage"}, Fault.NONE),
        ({"fault": "truncated"}, Fault.NONE),
        ({"fault": "signtest_response"}, Fault.NONE),
        ({"fault": "forged_200"}, Fault.NONE),
        ({"fault": "forged_200", "how": "other"}, Fault.NONE),
        ({"fault": "refused_401"}, Fault.ACCOUNT),
        ({"fault": "refused_403"}, Fault.ACCOUNT),
        ({"fault": "http_429"}, Fault.MOMENT),
    ],
)
async def test_whatever_goes_wrong_is_silence(talk: Talk, rule: dict[str, Any], fault: Fault) -> None:
    """A refund whose answer is not understood: a question tells, or the same number again; and it goes out once."""
    await paid(talk)
    talk.sandbox.faults.replace({"once": [{"call": "refund", **rule}]})
    found = await talk.ask(Call.REFUND, refund())
    assert (found.fact, found.fault) == (Fact.SILENT, fault)
    again = await talk.ask(Call.REFUND, refund())
    assert again.fact in {Fact.PENDING, Fact.SILENT}
    talk.sandbox.advance(10)
    assert (await talk.ask(Call.QUERY_REFUND, refund())).fact is Fact.MOVED
    assert [row.amount for row in talk.sandbox.books(NO)[0].refunds] == [888]


async def test_notifications_that_are_not_believed(talk: Talk) -> None:
    talk.receiver.status = 503
    _, credential = await started(talk)
    talk.sandbox.faults.replace({"once": [{"fault": "notify_forged"}]})
    talk.sandbox.pay_for(credential)
    await talk.sandbox.settle()
    assert isinstance(talk.heard(0), Refused)
    talk.sandbox.advance(300)
    await talk.sandbox.settle()
    assert isinstance(talk.heard(1), Notice)


async def test_a_wrong_amount_in_a_valid_notification_is_told_as_it_stands(talk: Talk) -> None:
    _, credential = await started(talk)
    talk.sandbox.faults.replace({"once": [{"fault": "notify_wrong_amount", "amount": 1}]})
    talk.sandbox.pay_for(credential)
    await talk.sandbox.settle()
    notice = talk.heard(0)
    assert isinstance(notice, Notice)
    assert notice.evidence[0].minor == 1


async def test_another_app_of_the_sandbox_is_not_ours(talk: Talk) -> None:
    other = talk.sandbox.add_merchant(channel="alipay")
    stranger = msgspec.structs.replace(talk.account, id="other", **other["account"])
    await paid(talk)
    got = talk.receiver.got[0]
    found = talk.channel.read_notification({}, got.body, stranger, now_ms=talk.now_ms)
    assert isinstance(found, Notice)
    assert "app_id" in found.evidence[0].wrong
    assert "seller_id" in found.evidence[0].wrong


# -- certificates ----------------------------------------------------------------------------------------------------


@pytest.fixture
async def certified(sandbox: Sandbox, receiver: Receiver) -> AsyncIterator[Talk]:
    async with aiohttp.ClientSession() as session:
        yield Talk(sandbox, session, receiver, Alipay(), account_of(sandbox, certified=True))


async def fetched(talk: Talk) -> Any:
    """The account's settings after the vendor's certificate was fetched."""
    request = talk.channel.build_keys(talk.account, now_ms=talk.now_ms, nonce=NONCE)
    assert request is not None
    return talk.channel.read_keys(await talk.send(request), talk.account, now_ms=talk.now_ms)


async def test_a_certificate_that_was_issued_anew_is_believed(certified: Talk) -> None:
    attempt = await paid(certified)
    certified.sandbox.alipay.renew()
    found = await certified.read(Call.QUERY, attempt)
    assert (found.evidence[0].fact, found.refresh) == (Fact.MOVED, False)  # it is the same key
    assert await fetched(certified) == certified.account.settings


async def test_a_certificate_of_another_key_is_fetched(certified: Talk) -> None:
    """The account holds one of the vendor's company, whose key signs nothing any more."""
    ring = certified.sandbox.alipay.desk.ring
    subject = x509.load_pem_x509_certificate(ring.certs[ring.alipay_cert_sn].encode()).subject
    old = certify(ring.file, subject, TESTED.key.public_key(), certified.sandbox.clock.now())
    settings = {**certified.account.settings, "alipay_cert": old}
    certified.account = msgspec.structs.replace(certified.account, settings=settings)
    attempt = order(NO, "page")
    found = await certified.read(Call.QUERY, attempt)
    assert (found.evidence[0].fact, found.refresh) == (Fact.SILENT, True)
    settings = await fetched(certified)
    certified.account = msgspec.structs.replace(certified.account, settings=settings, revision=2)
    again = await certified.read(Call.QUERY, attempt)
    assert (again.evidence[0].fact, again.refresh) == (Fact.ABSENT, False)
