"""What takes a UnionPay payment back: refunds that fit and that do not, voids until 23:00, outcomes told either way."""

from datetime import datetime, timedelta

import pytest

from oncepay.sandbox.main import Sandbox
from oncepay.sandbox.vendor import Refused
from tests.sandbox.merchant import Receiver
from tests.sandbox.unionpay import BEIJING, Shop, problem, told

NUMBER = "PC20260301000001"
REFUND = "RF20260302000001"


async def later(sandbox: Sandbox, seconds: float) -> None:
    sandbox.advance(seconds)
    await sandbox.settle()


async def paid(sandbox: Sandbox, shop: Shop, number: str = NUMBER) -> str:
    """A payment of 88.88; its queryId."""
    return str(sandbox.pay_for({"form": shop.form(number)})["transaction_id"])


async def test_accepted_is_not_done(sandbox: Sandbox, shop: Shop, receiver: Receiver) -> None:
    query_id = await paid(sandbox, shop)
    fields = shop.takes_back("04", REFUND, query_id, 888, reqReserved="cmVm")
    answer = await shop.call("back_url", fields)
    assert (answer.code, answer.fields["txnAmt"], answer.fields["origQryId"]) == ("00", "888", query_id)
    waiting = await shop.query(REFUND, fields["txnTime"])
    assert (waiting.original, waiting.fields["queryId"]) == ("05", answer.fields["queryId"])
    assert sandbox.books(NUMBER)[0].refunded == 0
    await later(sandbox, 2)
    done = await shop.query(REFUND, fields["txnTime"])
    assert (done.original, done.fields["txnType"], done.fields["settleAmt"], done.problem) == ("00", "04", "888", "")
    notice = told(receiver)[-1]
    assert (notice["orderId"], notice["respCode"], notice["reqReserved"]) == (REFUND, "00", "cmVm")
    assert problem(shop.block, notice, shop.clock()) == ""
    [row] = sandbox.books(NUMBER)
    assert (row.state, row.paid, row.refunded) == ("REFUND", 8888, 888)
    assert [(r.number, r.status, r.refund_id) for r in row.refunds] == [(REFUND, "SUCCESS", answer.fields["queryId"])]
    assert sandbox.books(REFUND) == [row]


async def test_refunds_end_where_the_money_ends(sandbox: Sandbox, shop: Shop) -> None:
    query_id = await paid(sandbox, shop)
    assert (await shop.refund("RF000001", query_id, 8889)).code == "36"
    assert (await shop.refund("RF000002", query_id, 8000)).code == "00"
    assert (await shop.refund("RF000003", query_id, 889)).code == "36"  # the first one is still under way
    assert (await shop.refund("RF000003", query_id, 888)).code == "00"  # what was refused left no record
    assert (await shop.refund("RF000004", query_id, 1)).code == "45"
    assert (await shop.refund("RF000005", "3" * 21, 1)).code == "35"
    await later(sandbox, 2)
    assert sandbox.books(NUMBER)[0].refunded == 8888


async def test_a_number_is_used_once(sandbox: Sandbox, shop: Shop) -> None:
    query_id = await paid(sandbox, shop)
    fields = shop.takes_back("04", REFUND, query_id, 100)
    assert [(await shop.call("back_url", fields)).code for _ in range(2)] == ["00", "12"]
    assert (await shop.refund(REFUND, query_id, 100, txnTime=shop.time(-5))).code == "12"
    assert (await shop.refund(NUMBER, query_id, 100)).code == "12"  # the payment's own
    assert (await shop.qr(REFUND)).code == "12"
    await later(sandbox, 2)
    assert sandbox.books(NUMBER)[0].refunded == 100
    sandbox.advance(86400)
    assert (await shop.call("back_url", fields)).code == "12"  # known before its time is looked at


async def test_a_failed_refund_is_told_and_gives_the_money_free(
    sandbox: Sandbox, shop: Shop, receiver: Receiver
) -> None:
    query_id = await paid(sandbox, shop)
    sandbox.faults.replace({"once": [{"fault": "refund_closed", "how": "61"}]})
    at = shop.time()
    assert (await shop.refund(REFUND, query_id, 8888)).code == "00"
    await later(sandbox, 2)
    assert told(receiver)[-1]["respCode"] == "61"
    answer = await shop.query(REFUND, at)
    assert (answer.code, answer.original, answer.fields["settleAmt"]) == ("00", "61", "0")
    [row] = sandbox.books(NUMBER)
    assert (row.refunded, row.refunds[0].status) == (0, "FAILED")
    assert (await shop.refund(REFUND, query_id, 8888)).code == "12"
    assert (await shop.refund("RF20260302000002", query_id, 8888)).code == "00"


async def test_a_refund_may_take_its_time(sandbox: Sandbox, shop: Shop) -> None:
    query_id = await paid(sandbox, shop)
    sandbox.faults.replace({"once": [{"fault": "refund_late"}]})
    at = shop.time()
    await shop.refund(REFUND, query_id, 1)
    sandbox.advance(3599)
    assert (await shop.query(REFUND, at)).original == "05"
    sandbox.advance(1)
    assert (await shop.query(REFUND, at)).original == "00"


async def test_an_empty_balance_refuses_without_a_record(sandbox: Sandbox, shop: Shop) -> None:
    query_id = await paid(sandbox, shop)
    sandbox.faults.replace({"once": [{"fault": "not_enough"}]})
    assert [(await shop.refund(REFUND, query_id, 1)).code for _ in range(2)] == ["64", "00"]
    sandbox.switches.balance_fen = -8834  # 88.35 came in after the fee, 0.01 went back
    assert (await shop.refund("RF000002", query_id, 2)).code == "64"


async def test_a_failed_refund_leaves_the_balance_as_it_was(sandbox: Sandbox, shop: Shop) -> None:
    query_id = await paid(sandbox, shop)
    sandbox.switches.balance_fen = -4000
    sandbox.faults.replace({"once": [{"fault": "refund_closed"}]})
    assert [(await shop.refund(f"RF00000{n}", query_id, 4500)).code for n in range(2)] == ["00", "36"]
    await later(sandbox, 2)
    assert (await shop.refund("RF000002", query_id, 4500)).code == "00"


async def test_refunds_have_their_window(sandbox: Sandbox, shop: Shop) -> None:
    query_id = await paid(sandbox, shop)
    sandbox.advance(334 * 86400 - 60)
    assert (await shop.refund("RF000001", query_id, 1)).code == "00"
    sandbox.advance(86400)
    assert (await shop.refund("RF000002", query_id, 1)).code == "35"


async def test_refunds_may_have_to_wait_for_each_other(sandbox: Sandbox, shop: Shop) -> None:
    query_id = await paid(sandbox, shop)
    sandbox.switches.refund_gap_s = 60
    codes = [(await shop.refund(f"RF00000{n}", query_id, 1)).code for n in range(2)]
    sandbox.advance(60)
    assert [*codes, (await shop.refund("RF000001", query_id, 1)).code] == ["00", "37", "00"]


async def test_a_refund_is_of_its_merchants_own_payment(sandbox: Sandbox, shop: Shop) -> None:
    query_id = await paid(sandbox, shop)
    other = Shop(sandbox.add_merchant(channel="unionpay"), shop.session, shop.clock, shop.notify_url)
    assert (await other.refund(REFUND, query_id, 1)).code == "35"
    assert (await other.query(NUMBER, shop.time())).code == "34"
    assert (await shop.refund(REFUND, query_id, 1, bizType="000000")).code == "36"


def until(now: float, hour: int, minute: int) -> float:
    """Seconds to the next time of that hour and minute in Beijing."""
    moment = datetime.fromtimestamp(now, BEIJING)
    found = moment.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return (found + timedelta(days=found <= moment) - moment).total_seconds()


async def test_a_void_is_for_the_settlement_day(sandbox: Sandbox, shop: Shop, receiver: Receiver) -> None:
    sandbox.advance(until(shop.clock(), 22, 50))
    early = await paid(sandbox, shop)
    sandbox.advance(15 * 60)  # 23:05: the next settlement day
    late = await paid(sandbox, shop, "PC20260301000002")
    assert (await shop.void("VD000001", early)).code == "35"
    sandbox.advance(until(shop.clock(), 22, 55))
    assert (await shop.void("VD000002", late, 8887)).code == "36"
    at = shop.time()
    assert (await shop.void("VD000003", late)).code == "00"
    assert (await shop.void("VD000004", late)).code == "45"
    assert (await shop.refund(REFUND, late, 1)).code == "45"
    await later(sandbox, 2)
    assert (told(receiver)[-1]["txnType"], told(receiver)[-1]["respCode"]) == ("31", "00")
    assert (await shop.query("VD000003", at)).original == "00"
    [row] = sandbox.books("PC20260301000002")
    assert (row.state, row.paid, row.refunded) == ("VOIDED", 8888, 8888)


async def test_what_is_partly_refunded_is_not_voided(sandbox: Sandbox, shop: Shop) -> None:
    query_id = await paid(sandbox, shop)
    await shop.refund(REFUND, query_id, 1)
    assert (await shop.void("VD000001", query_id)).code == "45"


async def test_the_console_refunds_without_a_word(sandbox: Sandbox, shop: Shop, receiver: Receiver) -> None:
    query_id = await paid(sandbox, shop)
    await sandbox.settle()
    sandbox.refund(NUMBER, 8000)
    await later(sandbox, 2)
    assert len(told(receiver)) == 1  # only the payment
    assert sandbox.books(NUMBER)[0].refunded == 8000
    assert (await shop.refund(REFUND, query_id, 889)).code == "36"
    with pytest.raises(Refused, match="888 fen"):
        sandbox.refund(NUMBER, 889)
    await shop.qr("PC20260301000002")
    with pytest.raises(Refused, match="not paid"):
        sandbox.refund("PC20260301000002", 1)
