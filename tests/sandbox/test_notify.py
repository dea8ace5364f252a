"""Notifications: the schedule, same bytes and new signatures, and everything that goes wrong."""

import json
from typing import Any

import pytest

from oncepay.sandbox.main import Sandbox
from oncepay.sandbox.wechat.notify import GAPS_S
from tests.sandbox.merchant import Merchant, Receiver


async def pay(sandbox: Sandbox, merchant: Merchant, receiver: Receiver, number: str = "NOTIFY01") -> None:
    await merchant.prepay(number, notify_url=receiver.url)
    sandbox.pay(number)
    await sandbox.settle()


async def later(sandbox: Sandbox, seconds: float) -> None:
    sandbox.advance(seconds)
    await sandbox.settle()


async def test_what_is_not_taken_comes_again_on_the_vendors_schedule(
    sandbox: Sandbox, merchant: Merchant, receiver: Receiver
) -> None:
    receiver.status = 500
    await pay(sandbox, merchant, receiver)
    for count, gap in enumerate(GAPS_S, start=1):
        await later(sandbox, gap - 2)
        assert len(receiver.got) == count
        await later(sandbox, 2)
        assert len(receiver.got) == count + 1
    await later(sandbox, 10 * 86400)
    assert len(receiver.got) == 16
    assert len({got.body for got in receiver.got}) == 1
    assert len({got.headers["Wechatpay-Signature"] for got in receiver.got}) == 16
    assert all(merchant.judge(got.headers, got.body) == (True, True) for got in receiver.got)


@pytest.mark.parametrize("status", [200, 204])
async def test_what_is_taken_does_not_come_again(
    sandbox: Sandbox, merchant: Merchant, receiver: Receiver, status: int
) -> None:
    receiver.status = status
    await pay(sandbox, merchant, receiver)
    await later(sandbox, 86400)
    assert len(receiver.got) == 1


@pytest.mark.parametrize("status", [201, 302, 400, 401, 500])
async def test_every_other_answer_is_a_refusal(
    sandbox: Sandbox, merchant: Merchant, receiver: Receiver, status: int
) -> None:
    receiver.status = status
    await pay(sandbox, merchant, receiver)
    receiver.status = 204
    await later(sandbox, 15)
    await later(sandbox, 86400)
    assert len(receiver.got) == 2


async def test_a_receiver_that_is_down_hears_it_later(sandbox: Sandbox, merchant: Merchant) -> None:
    async with Receiver() as receiver:
        url = receiver.url
    await merchant.prepay("NOTIFY02", notify_url=url)
    sandbox.pay("NOTIFY02")
    await sandbox.settle()
    [notice] = sandbox.wechat.desk.notifier.recent
    assert (notice.tries, notice.taken, notice.last_status) == (1, False, None)


async def test_the_headers_are_the_vendors(sandbox: Sandbox, merchant: Merchant, receiver: Receiver) -> None:
    await pay(sandbox, merchant, receiver)
    headers = receiver.got[0].headers
    assert (headers["User-Agent"], headers["Content-Type"], headers["Accept"]) == (
        "Mozilla/4.0",
        "application/json",
        "*/*",
    )
    assert len(headers["Wechatpay-Nonce"]) == 32
    assert list(receiver.got[0].json) == ["id", "create_time", "resource_type", "event_type", "summary", "resource"]


async def strike(sandbox: Sandbox, merchant: Merchant, receiver: Receiver, fault: str, **params: Any) -> None:
    sandbox.faults.replace({"once": [{"fault": fault, **params}]})
    await pay(sandbox, merchant, receiver)


async def test_a_lost_notification_never_comes(sandbox: Sandbox, merchant: Merchant, receiver: Receiver) -> None:
    await strike(sandbox, merchant, receiver, "notify_none")
    await later(sandbox, 86400)
    assert receiver.got == []


async def test_a_lost_delivery_comes_on_schedule(sandbox: Sandbox, merchant: Merchant, receiver: Receiver) -> None:
    await strike(sandbox, merchant, receiver, "notify_lost")
    assert receiver.got == []
    await later(sandbox, 15)
    assert len(receiver.got) == 1


async def test_a_late_one_comes_late(sandbox: Sandbox, merchant: Merchant, receiver: Receiver) -> None:
    await strike(sandbox, merchant, receiver, "notify_late", seconds=3600)
    await later(sandbox, 3590)
    assert receiver.got == []
    await later(sandbox, 11)
    assert len(receiver.got) == 1


async def test_a_doubled_one_comes_twice(sandbox: Sandbox, merchant: Merchant, receiver: Receiver) -> None:
    await strike(sandbox, merchant, receiver, "notify_duplicate")
    assert len(receiver.got) == 2
    assert receiver.got[0].body == receiver.got[1].body
    assert merchant.judge(receiver.got[1].headers, receiver.got[1].body) == (True, True)


async def test_a_refund_is_told_before_its_payment(sandbox: Sandbox, merchant: Merchant, receiver: Receiver) -> None:
    await strike(sandbox, merchant, receiver, "notify_reordered", seconds=600)
    await merchant.refund("NOTIFY01", "R1", 1, notify_url=receiver.url)
    await later(sandbox, 10)
    told = [got.json["event_type"] for got in receiver.got]
    await later(sandbox, 86400)
    assert len(receiver.got) == 2  # and not once more when its time has come
    assert told == ["REFUND.SUCCESS", "TRANSACTION.SUCCESS"]


async def test_a_held_one_is_let_go_after_a_while(sandbox: Sandbox, merchant: Merchant, receiver: Receiver) -> None:
    await strike(sandbox, merchant, receiver, "notify_reordered")
    assert receiver.got == []
    await later(sandbox, 60)
    assert len(receiver.got) == 1


@pytest.mark.parametrize("fault", ["notify_forged", "signtest_notify"])
async def test_a_wrong_signature_is_followed_by_a_right_one(
    sandbox: Sandbox, merchant: Merchant, receiver: Receiver, fault: str
) -> None:
    receiver.status = 401
    await strike(sandbox, merchant, receiver, fault)
    receiver.status = 204
    await later(sandbox, 15)
    assert [merchant.judge(got.headers, got.body) for got in receiver.got] == [(True, False), (True, True)]
    probe = receiver.got[0].headers["Wechatpay-Signature"].startswith("WECHATPAY/SIGNTEST/")
    assert probe is (fault == "signtest_notify")


async def test_a_wrong_amount_is_validly_signed(sandbox: Sandbox, merchant: Merchant, receiver: Receiver) -> None:
    await strike(sandbox, merchant, receiver, "notify_wrong_amount", amount=1)
    [got] = receiver.got
    assert merchant.judge(got.headers, got.body) == (True, True)
    assert merchant.open(got.body)["amount"]["total"] == 1
    assert (await merchant.query("NOTIFY01")).json["amount"]["total"] == 1234


async def test_both_kinds_of_keys_may_sign(sandbox: Sandbox, merchant: Merchant, receiver: Receiver) -> None:
    await strike(sandbox, merchant, receiver, "pubkey_mix")
    await pay(sandbox, merchant, receiver, "NOTIFY02")
    serials = [got.headers["Wechatpay-Serial"] for got in receiver.got]
    assert serials == [merchant.block["public_key_id"], merchant.block["platform_serial_no"]]
    assert all(merchant.judge(got.headers, got.body) == (True, True) for got in receiver.got)


async def test_version_two_xml_may_arrive(sandbox: Sandbox, merchant: Merchant, receiver: Receiver) -> None:
    await pay(sandbox, merchant, receiver)
    sandbox.faults.replace({"once": [{"fault": "notify_xml"}]})
    await merchant.refund("NOTIFY01", "R1", 1, notify_url=receiver.url)
    await later(sandbox, 10)
    got = receiver.got[1]
    assert (got.headers["Content-Type"], got.body[:5]) == ("text/xml", b"<xml>")
    assert "Wechatpay-Signature" not in got.headers
    assert b"<req_info>" in got.body


async def test_a_script_may_send_one_forged_one_now(sandbox: Sandbox, merchant: Merchant, receiver: Receiver) -> None:
    receiver.status = 401
    await merchant.prepay("NOTIFY03", notify_url=receiver.url)
    async with merchant.session.post(
        f"{sandbox.base_url}/sandbox/notify", json={"number": "NOTIFY03", "forged": True}
    ) as answer:
        assert (await answer.json())["status"] == 401
    [got] = receiver.got
    assert merchant.judge(got.headers, got.body) == (True, False)
    assert merchant.open(got.body)["trade_state"] == "SUCCESS"
    assert (await merchant.query("NOTIFY03")).json["trade_state"] == "NOTPAY"
    assert json.loads(got.body)["event_type"] == "TRANSACTION.SUCCESS"
