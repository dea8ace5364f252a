"""Every fault that makes sense at Alipay does there what its line in the menu says."""

import asyncio
from typing import Any

import aiohttp
import pytest

from oncepay.sandbox.main import Sandbox
from oncepay.sandbox.vendor import Refused
from tests.sandbox.alipay_merchant import AliMerchant

NUMBER = "FAULT_01"


def once(sandbox: Sandbox, fault: str, **params: Any) -> None:
    sandbox.faults.replace({"once": [{"fault": fault, **params}]})


async def made(ali: AliMerchant) -> bool:
    """Whether a trade or a code of the number is known."""
    async with ali.session.get(ali.block["gateway_url"].replace("gateway.do", "")) as answer:
        return NUMBER in await answer.text()


@pytest.mark.parametrize(("fault", "effect"), [("drop_before", False), ("drop_after", True)])
async def test_the_connection_is_dropped(sandbox: Sandbox, ali: AliMerchant, fault: str, effect: bool) -> None:
    once(sandbox, fault, call="prepay", channel="alipay")
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await ali.precreate(NUMBER)
    assert await made(ali) is effect
    assert (await ali.precreate(NUMBER)).code == "10000"


@pytest.mark.parametrize(
    ("fault", "params", "code"),
    [
        ("system_error", {}, "ACQ.SYSTEM_ERROR"),
        ("system_error", {"how": "gateway"}, "aop.unknow-error"),
        ("http_429", {}, "isv.app-call-limited"),
    ],
)
async def test_the_vendors_own_errors_before_or_after_the_effect(
    sandbox: Sandbox, ali: AliMerchant, fault: str, params: dict[str, str], code: str
) -> None:
    for name, effect in ((fault, False), (f"{fault}_after", True)):
        once(sandbox, name, **params)
        reply = await ali.precreate(NUMBER)
        assert (reply.status, reply.code, reply.genuine) == (200, code, True)
        assert await made(ali) is effect
    ali.certified = True
    once(sandbox, fault, **params)
    assert (await ali.precreate(NUMBER)).cert_sn == ali.block["alipay_cert_sn"]


async def test_a_refunds_answer_is_lost_and_the_money_moved(sandbox: Sandbox, ali: AliMerchant) -> None:
    await ali.precreate(NUMBER)
    sandbox.pay(NUMBER)
    once(sandbox, "system_error_after", call="refund", number="R1")
    assert (await ali.refund(NUMBER, "R1", "2.34")).code == "ACQ.SYSTEM_ERROR"
    assert (await ali.query_refund(NUMBER, "R1"))["refund_status"] == "REFUND_SUCCESS"
    assert (await ali.refund(NUMBER, "R1", "2.34"))["fund_change"] == "N"


@pytest.mark.parametrize(("fault", "status"), [("http_500", 500), ("http_502", 502), ("http_503", 503)])
async def test_an_http_error_is_a_page_of_nobodys(sandbox: Sandbox, ali: AliMerchant, fault: str, status: int) -> None:
    params = ali.params("alipay.trade.precreate", ali.order(NUMBER))
    for name, effect in ((fault, False), (f"{fault}_after", True)):
        once(sandbox, name)
        async with ali.session.post(ali.block["gateway_url"], data=params) as answer:
            assert (answer.status, (await answer.read()).startswith(b"<html>")) == (status, True)
        assert await made(ali) is effect


async def test_an_account_is_refused_until_it_is_mended(sandbox: Sandbox, ali: AliMerchant) -> None:
    for fault, code, signed in (
        ("refused_401", "isv.invalid-signature", False),
        ("refused_403", "isv.insufficient-isv-permissions", True),
    ):
        sandbox.faults.replace({"on": {fault: {"call": "query"}}})
        for _ in range(3):
            reply = await ali.query(NUMBER)
            assert (reply.code, reply.genuine) == (code, signed)
        assert (await ali.precreate(NUMBER)).code == "10000"
        sandbox.faults.clear()
        assert (await ali.query(NUMBER)).code == "ACQ.TRADE_NOT_EXIST"


@pytest.mark.parametrize(
    ("fault", "params", "signed"),
    [
        ("forged_200", {}, False),
        ("forged_200", {"how": "unsigned"}, False),
        ("forged_200", {"how": "other"}, True),
        ("signtest_response", {}, True),
    ],
)
async def test_answers_not_to_be_believed(
    sandbox: Sandbox, ali: AliMerchant, fault: str, params: dict[str, str], signed: bool
) -> None:
    once(sandbox, fault, **params)
    reply = await ali.precreate(NUMBER)
    assert (reply.code, reply.sign is not None, reply.genuine) == ("10000", signed, False)
    assert (await ali.precreate(NUMBER)).genuine


async def test_answers_slow_dripping_cut_or_garbage(sandbox: Sandbox, ali: AliMerchant) -> None:
    for fault, seconds in (("slow", 30), ("slow_drip", 1)):
        once(sandbox, fault, seconds=seconds)
        with pytest.raises(TimeoutError):
            await ali.call("trade.precreate", ali.order(NUMBER), timeout_s=1.0)
    for fault in ("garbage", "truncated"):
        once(sandbox, fault)
        with pytest.raises((aiohttp.ClientError, ValueError)):
            await ali.precreate(NUMBER)
    once(sandbox, "slow", seconds=0.01)
    assert (await ali.precreate(NUMBER)).genuine
    once(sandbox, "slow_drip", seconds=0)
    assert (await ali.precreate(NUMBER)).genuine


async def test_queries_may_lag_behind_the_payment(sandbox: Sandbox, ali: AliMerchant) -> None:
    await ali.precreate(NUMBER)
    once(sandbox, "late_pay", queries=2)
    sandbox.pay(NUMBER)
    states = [(await ali.query(NUMBER))["trade_status"] for _ in range(3)]
    assert states == ["WAIT_BUYER_PAY", "WAIT_BUYER_PAY", "TRADE_SUCCESS"]


@pytest.mark.parametrize("known", [True, False])
async def test_a_payment_may_win_the_race_against_a_close(sandbox: Sandbox, ali: AliMerchant, known: bool) -> None:
    """Of a trade that waits, or of a page that was open with nobody logged in yet."""
    async with ali.session.get(ali.page(NUMBER)) as answer:
        if known:
            async with ali.session.post(f"{answer.url}/login"):
                pass
    once(sandbox, "paid_during_close")
    assert (await ali.close(NUMBER)).code == "ACQ.TRADE_STATUS_ERROR"
    assert (await ali.query(NUMBER))["trade_status"] == "TRADE_SUCCESS"


@pytest.mark.parametrize("how", ["closed", "expired", "never a trade"])
async def test_a_payment_may_come_too_late(sandbox: Sandbox, ali: AliMerchant, how: str) -> None:
    url = ali.page(NUMBER, timeout_express="1m")
    async with ali.session.get(url) as answer:
        if how != "never a trade":
            async with ali.session.post(f"{answer.url}/login"):
                pass
    if how == "closed":
        await ali.close(NUMBER)
    else:
        sandbox.advance(61)
    with pytest.raises(Refused):
        sandbox.pay(NUMBER)
    for key in (NUMBER, url):
        once(sandbox, "pay_after_close")
        if key == NUMBER:
            assert sandbox.pay(key)["state"] == "TRADE_SUCCESS"
        else:
            with pytest.raises(Refused, match="TRADE_HAS_SUCCESS"):
                sandbox.pay(key)
    assert (await ali.query(NUMBER))["trade_status"] == "TRADE_SUCCESS"
    assert sandbox.books(NUMBER)[0].closed_at is None


async def test_a_stale_page_opens_for_whoever_pays_too_late(sandbox: Sandbox, ali: AliMerchant) -> None:
    url = ali.page(NUMBER, timeout_express="1m")
    async with ali.session.get(url):
        pass
    sandbox.advance(61)
    once(sandbox, "pay_after_close")
    assert sandbox.pay(url)["state"] == "TRADE_SUCCESS"


@pytest.mark.parametrize(
    ("fault", "status", "word"),
    [
        ("http_502", 502, "502"),
        ("http_502_after", 502, "502"),
        ("system_error", 200, "ACQ.SYSTEM_ERROR"),
        ("refused_401", 200, "isv.invalid-signature"),
        ("system_error_after", 200, "ACQ.SYSTEM_ERROR"),
    ],
)
async def test_pages_suffer_too(sandbox: Sandbox, ali: AliMerchant, fault: str, status: int, word: str) -> None:
    once(sandbox, fault, call="open", number=NUMBER)
    async with ali.session.get(ali.page(NUMBER)) as answer:
        assert (answer.status, word in (await answer.read()).decode("gbk")) == (status, True)
    async with ali.session.get(ali.page(NUMBER)) as answer:
        assert "Log in" in await answer.text()


@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "garbage"])
async def test_a_page_may_break(sandbox: Sandbox, ali: AliMerchant, fault: str) -> None:
    sandbox.faults.replace({"on": {fault: {"call": "open"}}})  # a client may try a GET again by itself
    with pytest.raises(aiohttp.ClientError):
        await ali.session.get(ali.page(NUMBER), allow_redirects=False)


async def test_codes_and_pages_may_be_paid_by_themselves(sandbox: Sandbox, ali: AliMerchant) -> None:
    sandbox.switches.autopay_s = 3
    await ali.precreate(NUMBER)
    async with ali.session.get(ali.page("FAULT_02")):
        pass
    async with ali.session.get(ali.page("FAULT_03")) as answer, ali.session.post(f"{answer.url}/cancel") as left:
        assert "left by the payer" in await left.text()
    sandbox.switches.autopay_rate = 0
    await ali.precreate("FAULT_04")
    sandbox.advance(4)
    await asyncio.sleep(0)
    assert [row.number for row in sandbox.books() if row.paid] == [NUMBER, "FAULT_02"]
