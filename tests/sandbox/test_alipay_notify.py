"""Alipay's notifications: what they say, when they come again, and what counts as taken."""

from typing import Any

import pytest

from oncepay.sandbox.alipay import trades
from oncepay.sandbox.main import Sandbox
from tests.sandbox.alipay_merchant import AliMerchant
from tests.sandbox.merchant import Receiver


@pytest.fixture
async def told(sandbox: Sandbox, ali: AliMerchant, receiver: Receiver) -> AliMerchant:
    """The merchant, with the receiver as its notify address; nothing is answered right yet."""
    ali.notify_url = receiver.url
    return ali


async def delivered(sandbox: Sandbox, seconds: float = 0) -> None:
    sandbox.advance(seconds)
    await sandbox.settle()


async def test_a_payment_is_told_as_a_form(sandbox: Sandbox, told: AliMerchant, receiver: Receiver) -> None:
    receiver.answer = "success"
    sandbox.pay(told.page("NOTE_001", passback_params="app%3Ashop", body="more"))
    await delivered(sandbox)
    [got] = receiver.got
    assert got.headers["Content-Type"] == "application/x-www-form-urlencoded; charset=UTF-8"
    note = told.told(got)
    assert (note["trade_status"], note["total_amount"], note["receipt_amount"]) == ("TRADE_SUCCESS", "12.34", "12.34")
    assert (note["app_id"], note["seller_id"]) == (told.block["app_id"], told.block["seller_id"])
    assert (note["passback_params"], note["body"], note["subject"]) == ("app%3Ashop", "more", "测试 商品")
    assert len(note["trade_no"]) == 28
    assert note["fund_bill_list"] == '[{"amount":"12.34","fundChannel":"ALIPAYACCOUNT"}]'
    assert "refund_fee" not in note


async def test_it_comes_eight_times_with_one_id(sandbox: Sandbox, told: AliMerchant, receiver: Receiver) -> None:
    """A signature and a time of its own each; everything else stays."""
    sandbox.pay(told.page("NOTE_001"))
    await delivered(sandbox)
    for count, gap_s in enumerate((240, 600, 600, 3600, 7200, 21600, 54000), 2):
        await delivered(sandbox, gap_s - 1)
        assert len(receiver.got) == count - 1
        await delivered(sandbox, 2)
        assert len(receiver.got) == count
    await delivered(sandbox, 10 * 86400)
    notes = [told.told(got) for got in receiver.got]
    assert len(notes) == 8
    assert len({note.pop("notify_time") for note in notes}) == 8
    assert len({note.pop("sign") for note in notes}) == 8
    assert all(note == notes[0] for note in notes)


@pytest.mark.parametrize(
    ("status", "answer", "taken"),
    [
        (200, "success", True),
        (200, "SUCCESS", False),
        (200, "success\n", False),
        (200, '"success"', False),
        (200, "", False),
        (200, "fail", False),
        (201, "success", False),
        (500, "success", False),
        (302, "success", False),
    ],
)
async def test_only_the_seven_characters_are_an_answer(
    sandbox: Sandbox, told: AliMerchant, receiver: Receiver, *, status: int, answer: str, taken: bool
) -> None:
    receiver.status, receiver.answer = status, answer
    sandbox.pay(told.page("NOTE_001"))
    await delivered(sandbox)
    await delivered(sandbox, 240)
    assert len(receiver.got) == (1 if taken else 2)
    [notice] = sandbox.alipay.notices()
    assert (notice.taken, notice.last_status) == (taken, status)


@pytest.mark.parametrize(
    ("rule", "method", "closed"),
    [
        ("wap_app", "wap", True),
        ("wap_app", "app", True),
        ("wap_app", "page", False),
        ("none", "wap", False),
        ("all", "page", True),
    ],
)
async def test_where_an_end_is_told(
    sandbox: Sandbox, told: AliMerchant, receiver: Receiver, *, rule: Any, method: str, closed: bool
) -> None:
    """Closed unpaid, refunded in full, finished: sources differ on who hears of it."""
    receiver.answer = "success"
    sandbox.switches.alipay.closed_notices = rule
    offer = sandbox.alipay.opened(told.page("NOTE_001", method=method, timeout_express="1m"))
    trades.log_in(sandbox.alipay.desk, offer)
    await delivered(sandbox, 61)
    sandbox.pay(told.page("NOTE_002", method=method))
    await told.refund("NOTE_002", "R1", "12.34")
    sandbox.pay(told.page("NOTE_003", method=method))
    await delivered(sandbox, 400 * 86400)
    notes = [told.told(got) for got in receiver.got]
    ends = [note for note in notes if note["trade_status"] != "TRADE_SUCCESS"]
    assert len(notes) - len(ends) == 2
    if not closed:
        assert ends == []
        return
    unpaid, refunded, finished = ends
    assert (unpaid["trade_status"], "gmt_close" in unpaid) == ("TRADE_CLOSED", True)
    assert {"gmt_payment", "gmt_refund", "refund_fee"}.isdisjoint(unpaid)
    assert (refunded["trade_status"], refunded["refund_fee"]) == ("TRADE_CLOSED", "12.34")
    assert (finished["trade_status"], "gmt_payment" in finished) == ("TRADE_FINISHED", True)


async def test_a_trade_in_gbk_is_told_in_gbk(sandbox: Sandbox, told: AliMerchant, receiver: Receiver) -> None:
    receiver.answer, told.charset = "success", "gbk"
    await told.precreate("NOTE_001", subject="面包")
    sandbox.pay("NOTE_001")
    await delivered(sandbox)
    assert receiver.got[0].headers["Content-Type"].endswith("charset=GBK")
    assert b"subject=%C3%E6%B0%FC" in receiver.got[0].body
    assert told.told(receiver.got[0])["subject"] == "面包"


async def test_without_an_address_nothing_is_told(sandbox: Sandbox, ali: AliMerchant) -> None:
    sandbox.pay(ali.page("NOTE_001"))
    await sandbox.settle()
    assert list(sandbox.alipay.notices()) == []


async def test_one_more_delivery_true_forged_or_wrong(sandbox: Sandbox, told: AliMerchant, receiver: Receiver) -> None:
    receiver.answer = "success"
    url = f"{sandbox.base_url}/sandbox/notify"
    async with told.session.post(url, json={"number": "NOTE_001"}) as answer:
        assert answer.status == 404
    sandbox.alipay.opened(told.page("NOTE_001"))
    for wanted, genuine, amount in (
        ({"forged": True}, False, "12.34"),
        ({"amount": 1}, True, "0.01"),
        ({}, True, "12.34"),
    ):
        async with told.session.post(url, json={"number": "NOTE_001", **wanted}) as answer:
            assert (await answer.json())["status"] == 200
        note, held = told.heard(receiver.got.pop().body)
        assert (held, note["total_amount"], note["out_trade_no"]) == (genuine, amount, "NOTE_001"), wanted
        assert "gmt_payment" in note


@pytest.mark.parametrize("seconds", [None, 30])
async def test_notifications_that_are_lost_late_doubled_forged_or_wrong(
    sandbox: Sandbox, told: AliMerchant, receiver: Receiver, seconds: int | None
) -> None:
    receiver.answer = "success"
    late: dict[str, Any] = {"fault": "notify_late"} | ({} if seconds is None else {"seconds": seconds})
    after_s = seconds or 60
    plays: list[tuple[Any, list[tuple[float, int]]]] = [
        ("notify_none", [(0, 0), (86400, 0)]),
        ("notify_lost", [(0, 0), (240, 1)]),
        (late, [(0, 0), (after_s - 1, 0), (2, 1)]),
        ("notify_duplicate", [(0, 2), (86400, 2)]),
        ("notify_reordered", [(0, 0), (60, 1)]),
    ]
    for number, (fault, steps) in enumerate(plays):
        sandbox.faults.replace({"once": [fault]})
        sandbox.pay(told.page(f"NOTE_1{number}"))
        for wait_s, count in steps:
            await delivered(sandbox, wait_s)
            assert len(receiver.got) == count, fault
        receiver.got.clear()
    sandbox.faults.replace({"once": ["notify_forged"]})
    receiver.answer = ""
    sandbox.pay(told.page("NOTE_2"))
    await delivered(sandbox)
    assert told.heard(receiver.got[0].body)[1] is False
    await delivered(sandbox, 240)
    assert told.heard(receiver.got[1].body)[1] is True
    sandbox.faults.replace({"once": [{"fault": "notify_wrong_amount", "amount": 5}]})
    sandbox.pay(told.page("NOTE_3"))
    await delivered(sandbox)
    assert told.told(receiver.got[-1])["total_amount"] == "0.05"


async def test_a_refunds_notice_may_overtake_the_payments(
    sandbox: Sandbox, told: AliMerchant, receiver: Receiver
) -> None:
    receiver.answer = "success"
    sandbox.faults.replace({"once": ["notify_reordered"]})
    sandbox.pay(told.page("NOTE_001"))
    await told.refund("NOTE_001", "R1", "1.00")
    await delivered(sandbox)
    await receiver.has(2)
    first, second = (told.told(got) for got in receiver.got)
    assert ("refund_fee" in first, "refund_fee" in second) == (True, False)
