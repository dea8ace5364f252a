"""Two independent readings of the same documents: our channel talks to the sandbox over loopback, and they agree."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest

from oncepay.domain.attempt import Attempt, Call, Fact, Reason
from oncepay.domain.change import Fault
from oncepay.ports import Notice, Refused
from oncepay.sandbox.main import Sandbox
from tests.channels.talk import NONCE, Talk
from tests.channels.wechat_kit import CHANNEL, NO, account, order, refund
from tests.sandbox.merchant import Receiver
from tests.sandbox.vectors import vector_keys

PAYERS = {"jsapi": {"openid": "oTEST-0000000000000000000001"}, "h5": {"client_ip": "203.0.113.7"}}


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(seed=1, keys=vector_keys()) as sandbox:
        yield sandbox


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


@pytest.fixture
async def talk(sandbox: Sandbox, receiver: Receiver) -> AsyncIterator[Talk]:
    async with aiohttp.ClientSession() as session:
        to = account(base_urls=[sandbox.base_url])
        yield Talk(sandbox, session, receiver, CHANNEL, to, payers=PAYERS, paying=order())


def live(talk: Talk, no: str = NO, method: str = "native") -> Attempt:
    """An attempt by the sandbox's clock."""
    return msgspec.structs.replace(order(no, method), created_ms=talk.now_ms, expires_ms=talk.now_ms + 1_800_000)


@pytest.mark.parametrize("method", ["native", "jsapi", "h5", "app"])
async def test_a_payment_from_prepay_to_paid(talk: Talk, sandbox: Sandbox, receiver: Receiver, method: str) -> None:
    attempt = live(talk, method=method)
    absent = await talk.ask(Call.QUERY, attempt)
    assert absent.fact is Fact.ABSENT
    first, again = await talk.read(Call.PREPAY, attempt), await talk.read(Call.PREPAY, attempt)
    assert first.credential is not None
    assert again.credential is not None
    assert first.evidence[0].fact is again.evidence[0].fact is Fact.PENDING
    assert (await talk.ask(Call.QUERY, attempt)).fact is Fact.PENDING

    paid = sandbox.pay(NO)
    await sandbox.settle()
    moved = await talk.ask(Call.QUERY, attempt)
    assert (moved.fact, moved.minor, moved.currency) == (Fact.MOVED, 1234, "CNY")
    assert moved.trade_no == paid["transaction_id"]
    assert abs(moved.channel_ms - talk.now_ms) < 60_000
    closed = await talk.ask(Call.CLOSE, attempt)
    assert (closed.fact, closed.fault) == (Fact.SILENT, Fault.NONE)
    assert closed.words.startswith("ORDERPAID")
    prepaid = await talk.ask(Call.PREPAY, attempt)
    assert (prepaid.fact, prepaid.fault) == (Fact.SILENT, Fault.NONE)

    notice = talk.heard(0)
    assert isinstance(notice, Notice)
    assert (notice.numbers, notice.echo) == ((NO,), "pc:7")
    (told,) = notice.evidence
    same = ("number", "fact", "minor", "currency", "trade_no", "channel_ms", "channel_day", "wrong")
    assert {name: getattr(told, name) for name in same} == {name: getattr(moved, name) for name in same}


async def test_a_close_is_over_and_stays_over(talk: Talk) -> None:
    attempt = live(talk)
    assert (await talk.ask(Call.CLOSE, attempt)).fact is Fact.ABSENT
    await talk.read(Call.PREPAY, attempt)
    for _ in range(2):
        closed = await talk.ask(Call.CLOSE, attempt)
        assert (closed.fact, closed.reason) == (Fact.OVER, Reason.CLOSED)
    assert (await talk.ask(Call.QUERY, attempt)).fact is Fact.OVER
    assert (await talk.ask(Call.PREPAY, attempt)).fact is Fact.SILENT


async def test_a_number_that_is_used_for_something_else_is_no_refusal(talk: Talk) -> None:
    attempt = live(talk)
    await talk.read(Call.PREPAY, attempt)
    talk.bodies.clear()
    other = msgspec.structs.replace(attempt, minor=1)
    found = await talk.ask(Call.PREPAY, other)
    assert (found.fact, found.fault) == (Fact.SILENT, Fault.NONE)
    assert "商户订单号重复" in found.words


async def test_a_body_that_is_refused(talk: Talk) -> None:
    attempt = live(talk, no="AB")
    found = await talk.ask(Call.PREPAY, attempt)
    assert (found.fact, found.reason) == (Fact.OVER, Reason.REFUSED)
    assert found.words.startswith("PARAM_ERROR")


@pytest.mark.parametrize(
    ("fault", "fact", "attention"),
    [("", Fact.MOVED, ""), ("refund_closed", Fact.OVER, ""), ("refund_abnormal", Fact.PENDING, "refund_abnormal")],
)
async def test_a_refund(talk: Talk, receiver: Receiver, fault: str, fact: Fact, attention: str) -> None:
    sandbox = talk.sandbox
    attempt, back = live(talk), refund()
    await talk.read(Call.PREPAY, attempt)
    sandbox.pay(NO)
    await sandbox.settle()
    assert (await talk.ask(Call.QUERY_REFUND, back)).fact is Fact.ABSENT
    if fault:
        sandbox.faults.replace({"once": [{"fault": fault}]})
    assert (await talk.ask(Call.REFUND, back)).fact is Fact.PENDING
    refunded = await talk.ask(Call.QUERY, attempt)
    assert (refunded.fact, refunded.refunded, refunded.minor) == (Fact.MOVED, True, 1234)
    sandbox.advance(10)
    await sandbox.settle()
    ended, again = await talk.ask(Call.QUERY_REFUND, back), await talk.ask(Call.REFUND, back)
    assert (ended.fact, ended.attention, ended.minor, ended.of) == (fact, attention, 234, NO)
    assert (again.fact, again.attention, again.trade_no) == (fact, attention, ended.trade_no)
    notice = talk.heard(1)
    assert isinstance(notice, Notice)
    assert notice.numbers == (NO, back.no)
    assert (notice.evidence[0].fact, notice.evidence[0].attention) == (fact, attention)
    assert notice.evidence[0].trade_no == ended.trade_no


async def test_a_refund_without_money_is_tried_again_later(talk: Talk, sandbox: Sandbox) -> None:
    await talk.read(Call.PREPAY, live(talk))
    sandbox.pay(NO)
    sandbox.faults.replace({"once": [{"fault": "not_enough"}]})
    found = await talk.ask(Call.REFUND, refund())
    assert (found.fact, found.fault) == (Fact.SILENT, Fault.BALANCE)
    assert (await talk.ask(Call.QUERY_REFUND, refund())).fact is Fact.ABSENT
    assert (await talk.ask(Call.REFUND, refund())).fact is Fact.PENDING


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ({"fault": "drop_after"}, Fault.NONE),
        ({"fault": "http_500_after"}, Fault.NONE),
        ({"fault": "http_502_after"}, Fault.NONE),
        ({"fault": "http_429_after"}, Fault.MOMENT),
        ({"fault": "garbage"}, Fault.NONE),
        ({"fault": "truncated"}, Fault.NONE),
        ({"fault": "signtest_response"}, Fault.NONE),
        ({"fault": "forged_200"}, Fault.NONE),
        ({"fault": "forged_200", "how": "other"}, Fault.NONE),
        ({"fault": "stale_200"}, Fault.NONE),
        ({"fault": "refused_401"}, Fault.ACCOUNT),
        ({"fault": "refused_403"}, Fault.ACCOUNT),
        ({"fault": "http_429"}, Fault.MOMENT),
    ],
)
async def test_whatever_goes_wrong_is_silence(talk: Talk, sandbox: Sandbox, rule: dict[str, Any], fault: Fault) -> None:
    sandbox.faults.replace({"once": [rule]})
    found = await talk.read(Call.PREPAY, live(talk))
    assert [(e.fact, e.fault) for e in found.evidence] == [(Fact.SILENT, fault)]
    assert found.credential is None
    sandbox.faults.clear()
    assert (await talk.read(Call.PREPAY, live(talk))).credential is not None


@pytest.mark.parametrize("fault", ["signtest_notify", "notify_forged", "pubkey_mix"])
async def test_notifications_of_all_kinds(talk: Talk, sandbox: Sandbox, receiver: Receiver, fault: str) -> None:
    receiver.status = 503
    sandbox.faults.replace({"once": [{"fault": fault}]})
    await talk.read(Call.PREPAY, live(talk))
    sandbox.pay(NO)
    await sandbox.settle()
    found = talk.heard(0)
    if fault == "pubkey_mix":
        assert isinstance(found, Notice)
        return
    assert isinstance(found, Refused)
    assert found.probe is (fault == "signtest_notify")
    sandbox.advance(15)
    await sandbox.settle()
    assert isinstance(talk.heard(1), Notice)


async def test_an_old_message_in_xml_is_refused_by_name(talk: Talk, sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.faults.replace({"once": [{"fault": "notify_xml"}]})
    await talk.read(Call.PREPAY, live(talk))
    sandbox.pay(NO)
    await sandbox.settle()
    found = talk.heard(0)
    assert isinstance(found, Refused)
    assert "XML" in found.why


async def test_a_rotated_certificate_is_fetched_when_it_is_named(talk: Talk, sandbox: Sandbox) -> None:
    talk.account = account(base_urls=[sandbox.base_url], use="platform")
    attempt = live(talk)
    await talk.read(Call.PREPAY, attempt)
    sandbox.wechat.rotate()
    unknown = await talk.read(Call.QUERY, attempt)
    assert (unknown.evidence[0].fact, unknown.refresh) == (Fact.SILENT, True)

    request = CHANNEL.build_keys(talk.account, now_ms=talk.now_ms, nonce=NONCE)
    assert request is not None
    settings = CHANNEL.read_keys(await talk.send(request), talk.account, now_ms=talk.now_ms)
    assert settings is not None
    assert len(settings["platform_certificates"]) == 2
    talk.account = msgspec.structs.replace(talk.account, settings=settings, revision=2)
    CHANNEL.check_account(talk.account)
    assert (await talk.ask(Call.QUERY, attempt)).fact is Fact.PENDING


async def test_a_new_merchant_has_no_certificates(talk: Talk, sandbox: Sandbox) -> None:
    sandbox.switches.platform_certificates = False
    request = CHANNEL.build_keys(talk.account, now_ms=talk.now_ms, nonce=NONCE)
    assert request is not None
    assert CHANNEL.read_keys(await talk.send(request), talk.account, now_ms=talk.now_ms) is None


async def test_a_credential_is_what_the_payer_pays_with(talk: Talk, sandbox: Sandbox) -> None:
    found = await talk.read(Call.PREPAY, live(talk))
    assert found.credential is not None
    assert sandbox.pay(json.loads(found.credential.body)["code_url"])["number"] == NO
