"""Every fault does what its line in the menu says; the menu refuses what it does not know."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from oncepay.sandbox.faults import MENU, FaultInvalid, Faults
from oncepay.sandbox.main import Sandbox
from tests.sandbox.merchant import Merchant, verifies

NUMBER = "FAULT001"


def once(sandbox: Sandbox, fault: str, **params: Any) -> None:
    sandbox.faults.replace({"once": [{"fault": fault, **params}]})


@pytest.mark.parametrize(("fault", "made"), [("drop_before", False), ("drop_after", True)])
async def test_the_connection_is_dropped(sandbox: Sandbox, merchant: Merchant, fault: str, made: bool) -> None:
    once(sandbox, fault, call="prepay")
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await merchant.prepay(NUMBER)
    assert bool(sandbox.books(NUMBER)) is made
    assert (await merchant.prepay(NUMBER)).status == 200


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("http_500", 500, "SYSTEM_ERROR"),
        ("system_error", 500, "SYSTEM_ERROR"),
        ("http_502", 502, None),
        ("http_503", 503, "SERVICE_UNAVAILABLE"),
        ("http_429", 429, "FREQUENCY_LIMITED"),
    ],
)
async def test_an_error_before_or_after_the_effect(
    sandbox: Sandbox, merchant: Merchant, fault: str, status: int, code: str | None
) -> None:
    for name, effect in ((fault, False), (f"{fault}_after", True)):
        once(sandbox, name)
        reply = await merchant.prepay(NUMBER)
        assert (reply.status, reply.signed) == (status, status == 429)
        assert reply.body.startswith(b"<html>") if code is None else reply.code == code
        assert bool(sandbox.books(NUMBER)) is effect
    sandbox.switches.sign_5xx = True
    once(sandbox, "http_500")
    assert (await merchant.prepay(NUMBER)).genuine


async def test_a_rule_may_keep_to_one_channel(sandbox: Sandbox, merchant: Merchant) -> None:
    once(sandbox, "http_500", channel="elsewhere")
    assert (await merchant.prepay(NUMBER)).status == 200
    once(sandbox, "http_500", channel="wechat")
    assert (await merchant.prepay(NUMBER)).status == 500


async def test_an_account_is_refused_until_it_is_mended(sandbox: Sandbox, merchant: Merchant) -> None:
    await merchant.prepay(NUMBER)
    sandbox.pay(NUMBER)
    for fault, status, code in (("refused_401", 401, "SIGN_ERROR"), ("refused_403", 403, "NO_AUTH")):
        sandbox.faults.replace({"on": {fault: {"call": "refund"}}})
        for _ in range(3):
            reply = await merchant.refund(NUMBER, "R1", 1)
            assert (reply.status, reply.code, reply.signed) == (status, code, status == 403)
        assert (await merchant.query(NUMBER)).status == 200
    sandbox.faults.clear()
    assert (await merchant.refund(NUMBER, "R1", 1)).status == 200


async def test_a_slow_answer_outlasts_the_client(sandbox: Sandbox, merchant: Merchant) -> None:
    once(sandbox, "slow", seconds=30)
    with pytest.raises(TimeoutError):
        await merchant.call("POST", "/v3/pay/transactions/native", merchant.order(NUMBER), timeout_s=1.0)
    assert sandbox.books(NUMBER)
    once(sandbox, "slow", seconds=0.01)
    assert (await merchant.prepay(NUMBER)).genuine


async def test_a_dripping_answer_comes_whole_in_the_end(sandbox: Sandbox, merchant: Merchant) -> None:
    once(sandbox, "slow_drip", seconds=0.0005)
    assert (await merchant.prepay(NUMBER)).genuine
    assert (await merchant.query(NUMBER)).genuine  # the connection goes on


@pytest.mark.parametrize(
    ("fault", "error"), [("garbage", aiohttp.ClientError), ("truncated", aiohttp.ClientPayloadError)]
)
async def test_an_answer_that_cannot_be_read(
    sandbox: Sandbox, merchant: Merchant, fault: str, error: type[Exception]
) -> None:
    once(sandbox, fault)
    with pytest.raises(error):
        await merchant.prepay(NUMBER)
    assert sandbox.books(NUMBER)


async def test_answers_that_must_not_be_trusted(sandbox: Sandbox, merchant: Merchant) -> None:
    now = sandbox.clock.now()
    for params, signed, genuine, age_s in (
        ({"fault": "signtest_response"}, True, False, 0),
        ({"fault": "forged_200"}, False, False, 0),
        ({"fault": "forged_200", "how": "other"}, True, False, 0),
        ({"fault": "stale_200"}, True, True, 600),
    ):
        sandbox.faults.replace({"once": [params]})
        reply = await merchant.prepay(NUMBER)
        assert (reply.status, reply.signed, reply.genuine) == (200, signed, genuine), params
        if signed:
            assert int(reply.headers["Wechatpay-Timestamp"]) == pytest.approx(now - age_s, abs=5)
    assert (await merchant.prepay(NUMBER)).genuine


async def test_a_rotated_certificate_signs_from_now_on(sandbox: Sandbox, merchant: Merchant) -> None:
    old = merchant.block["platform_serial_no"]
    once(sandbox, "cert_rotate")
    reply = await merchant.prepay(NUMBER)
    serial = reply.headers["Wechatpay-Serial"]
    assert serial != old
    fresh = sandbox.config["wechat"]
    assert fresh["platform_serial_no"] == serial
    message = f"{reply.headers['Wechatpay-Timestamp']}\n{reply.headers['Wechatpay-Nonce']}\n".encode()
    assert verifies(
        fresh["platform_certificate_pem"], message + reply.body + b"\n", reply.headers["Wechatpay-Signature"]
    )
    listed = (await merchant.call("GET", "/v3/certificates")).json["data"]
    assert [item["serial_no"] for item in listed] == [old, serial]
    merchant.serial = old  # who still asks for the old one gets it
    assert (await merchant.query(NUMBER)).headers["Wechatpay-Serial"] == old


async def test_a_fault_may_be_aimed_at_one_call_and_one_number(sandbox: Sandbox, merchant: Merchant) -> None:
    once(sandbox, "http_500", call="query", number="FAULT002", times=2)
    for number, statuses in (("FAULT001", [404]), ("FAULT002", [500, 500, 404])):
        assert [(await merchant.query(number)).status for _ in statuses] == statuses
    once(sandbox, "http_500", number="FAULT003")
    assert (await merchant.prepay("FAULT001")).status == 200
    assert (await merchant.prepay("FAULT003")).status == 500


async def test_rates_are_seeded(sandbox: Sandbox) -> None:
    import random

    def struck(seed: int) -> list[bool]:
        faults = Faults(random.Random(seed))
        faults.replace({"rates": {"drop_after": 0.3}})
        return [faults.strike("drop_after", "query") is not None for _ in range(200)]

    assert struck(1) == struck(1) != struck(2)
    assert 30 < sum(struck(1)) < 90


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ([], "faults are"),
        ({"rate": {}}, "faults are"),
        ({"rates": {"drop": 0.1}}, "no fault 'drop'; there are"),
        ({"rates": {"drop_after": 1.1}}, "not between 0 and 1"),
        ({"rates": {"drop_after": "often"}}, "float"),
        ({"once": {"fault": "slow"}}, "is a list"),
        ({"once": [{"fault": "slow", "call": "prepaid"}]}, "no call 'prepaid'"),
        ({"once": [{"fault": "slow", "second": 1}]}, "second"),
        ({"once": [{}]}, "fault"),
        ({"on": ["slow"]}, "keyed by fault"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(wanted: Any, text: str) -> None:
    import random

    faults = Faults(random.Random(1))
    faults.replace({"once": [{"fault": "slow"}]})
    before = faults.shown()
    with pytest.raises(FaultInvalid, match=text):
        faults.replace(wanted)
    assert faults.shown() == before


async def test_faults_over_http(sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
    url = f"{sandbox.base_url}/sandbox/faults"
    async with session.put(url, json={"rates": {"drop_after": 0.1}, "on": {"notify_none": True}}) as answer:
        assert (answer.status, list((await answer.json())["rates"])) == (200, ["drop_after"])
    async with session.post(url, json={"once": [{"fault": "slow", "seconds": 1}, "http_500"]}) as answer:
        shown = await answer.json()
        assert [rule["fault"] for rule in shown["once"]] == ["slow", "http_500"]
        assert list(shown["on"]) == ["notify_none"]
    async with session.put(url, json={"rates": {}}) as answer:
        shown = await answer.json()
        assert (shown["rates"], len(shown["once"]), list(shown["on"])) == ({}, 2, ["notify_none"])
    async with session.put(url, json={"once": [{"fault": "nothing"}]}) as answer:
        assert (answer.status, (await answer.json())["error"]) == (400, "fault_invalid")
    async with session.put(url, data=b"{") as answer:
        assert answer.status == 400
    async with session.delete(url) as answer:
        shown = await answer.json()
        assert (shown["rates"], shown["once"], shown["on"], set(shown["menu"])) == ({}, [], {}, set(MENU))


async def test_many_at_once_are_answered_each(sandbox: Sandbox, merchant: Merchant) -> None:
    sandbox.faults.replace({"rates": {"drop_after": 0.3, "http_502_after": 0.2}})

    async def one(number: str) -> None:
        while True:
            try:
                if (await merchant.prepay(number)).status == 200:
                    return
            except aiohttp.ServerDisconnectedError:
                pass

    await asyncio.gather(*[one(f"MANY{n:04d}") for n in range(60)])
    assert len(sandbox.books()) == 60
    assert json.loads(json.dumps(sandbox.faults.struck))["drop_after"] > 0
