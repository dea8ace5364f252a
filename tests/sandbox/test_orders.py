"""The rules of an order: numbers used again, expiry, closing, seven days, late money."""

from typing import Any

import pytest

from oncepay.sandbox.clock import rfc3339
from oncepay.sandbox.main import Sandbox
from oncepay.sandbox.vendor import Refused
from tests.sandbox.merchant import Merchant


async def state(merchant: Merchant, number: str) -> str:
    return str((await merchant.query(number)).json["trade_state"])


async def test_the_same_prepay_again_gives_a_fresh_code_and_kills_the_old(sandbox: Sandbox, merchant: Merchant) -> None:
    first = (await merchant.prepay("ORDER001")).json["code_url"]
    second = (await merchant.prepay("ORDER001")).json["code_url"]
    assert first != second
    with pytest.raises(Refused, match="no order"):
        sandbox.pay(first)
    sandbox.pay(second)


async def test_a_changed_prepay_is_refused(sandbox: Sandbox, merchant: Merchant) -> None:
    await merchant.prepay("ORDER002")
    for changed in ({"total": 1}, {"description": "other"}, {"attach": "x"}, {"product": "app"}):
        reply = await merchant.prepay("ORDER002", **changed)
        assert (reply.status, reply.code) == (400, "INVALID_REQUEST"), changed
        assert "201 商户订单号重复" in reply.json["message"]
        assert reply.headers["Request-ID"].endswith("-268498688")
    sandbox.switches.reuse = "documented"
    reply = await merchant.prepay("ORDER002", 1)
    assert (reply.status, reply.code) == (403, "OUT_TRADE_NO_USED")


async def test_time_expire_is_a_parameter_too_unless_switched(sandbox: Sandbox, merchant: Merchant) -> None:
    soon, later = (rfc3339(sandbox.clock.now() + s) for s in (600, 900))
    await merchant.prepay("ORDER003", time_expire=soon)
    assert (await merchant.prepay("ORDER003", time_expire=later)).code == "INVALID_REQUEST"
    sandbox.switches.expire_may_change = True
    assert (await merchant.prepay("ORDER003", time_expire=later)).status == 200


async def test_a_paid_number_is_burnt(sandbox: Sandbox, merchant: Merchant) -> None:
    await merchant.prepay("ORDER004")
    sandbox.pay("ORDER004")
    for reply in (await merchant.prepay("ORDER004"), await merchant.close("ORDER004")):
        assert (reply.status, reply.code, reply.genuine) == (400, "ORDERPAID", True)
    sandbox.switches.paid_code, sandbox.switches.paid_status = "ORDER_PAID", 403
    assert (await merchant.close("ORDER004")).code == "ORDER_PAID"
    with pytest.raises(Refused) as refused:
        sandbox.pay("ORDER004")
    assert refused.value.code == "already_paid"


async def test_what_expired_cannot_be_paid_but_is_not_closed(sandbox: Sandbox, merchant: Merchant) -> None:
    await merchant.prepay("ORDER005", time_expire=rfc3339(sandbox.clock.now() + 300))
    sandbox.advance(301)
    with pytest.raises(Refused) as refused:
        sandbox.pay("ORDER005")
    assert refused.value.code == "expired"
    assert await state(merchant, "ORDER005") == "NOTPAY"
    sandbox.switches.expired_shows = "CLOSED"
    assert await state(merchant, "ORDER005") == "CLOSED"


async def test_time_expire_is_moved_into_its_bounds(sandbox: Sandbox, merchant: Merchant) -> None:
    now = sandbox.clock.now()
    for number, asked_s, least, most in (("ORDER006", 5, 59, 61), ("ORDER007", 30 * 86400, 604799, 604801)):
        await merchant.prepay(number, time_expire=rfc3339(now + asked_s))
        order = sandbox.wechat.desk.books.find(number)
        assert order is not None
        assert least <= order.expires - order.created <= most


@pytest.mark.parametrize(("product", "life_s"), [("native", 7200), ("h5", 300)])
async def test_a_credential_has_a_life_of_its_own(
    sandbox: Sandbox, merchant: Merchant, product: str, life_s: int
) -> None:
    scene: dict[str, Any] = (
        {"scene_info": {"payer_client_ip": "127.0.0.1", "h5_info": {"type": "Wap"}}} if product == "h5" else {}
    )
    await merchant.prepay("ORDER008", product=product, **scene)
    sandbox.advance(life_s + 1)
    with pytest.raises(Refused) as refused:
        sandbox.pay("ORDER008")
    assert refused.value.code == "credential_expired"
    await merchant.prepay("ORDER008", product=product, **scene)
    assert sandbox.pay("ORDER008")["state"] == "SUCCESS"


async def test_what_is_unpaid_after_seven_days_is_closed(sandbox: Sandbox, merchant: Merchant) -> None:
    await merchant.prepay("ORDER009")
    sandbox.advance(7 * 86400 - 5)
    assert await state(merchant, "ORDER009") == "NOTPAY"
    sandbox.advance(6)
    assert await state(merchant, "ORDER009") == "CLOSED"
    assert (await merchant.prepay("ORDER009")).code == "ORDER_CLOSED"
    assert sandbox.books("ORDER009")[0].closed_at is not None


async def test_closing_may_demand_an_age(sandbox: Sandbox, merchant: Merchant) -> None:
    sandbox.switches.close_min_age_s = 300
    await merchant.prepay("ORDER010")
    assert (await merchant.close("ORDER010")).code == "INVALID_REQUEST"
    sandbox.advance(300)
    assert (await merchant.close("ORDER010")).status == 204


async def test_the_payment_lands_between_query_and_close(sandbox: Sandbox, merchant: Merchant) -> None:
    sandbox.faults.replace({"once": [{"fault": "paid_during_close", "number": "ORDER011"}]})
    await merchant.prepay("ORDER011")
    assert await state(merchant, "ORDER011") == "NOTPAY"
    assert (await merchant.close("ORDER011")).code == "ORDERPAID"
    assert await state(merchant, "ORDER011") == "SUCCESS"


async def test_late_money_comes_although_the_order_was_closed(sandbox: Sandbox, merchant: Merchant) -> None:
    await merchant.prepay("ORDER012")
    await merchant.close("ORDER012")
    with pytest.raises(Refused) as refused:
        sandbox.pay("ORDER012")
    assert refused.value.code == "closed"
    sandbox.faults.replace({"once": [{"fault": "pay_after_close", "number": "ORDER012"}]})
    sandbox.pay("ORDER012")
    assert await state(merchant, "ORDER012") == "SUCCESS"


async def test_a_query_may_lag_behind_the_payment(sandbox: Sandbox, merchant: Merchant) -> None:
    sandbox.faults.replace({"once": [{"fault": "late_pay", "queries": 2}]})
    await merchant.prepay("ORDER013")
    sandbox.pay("ORDER013")
    states = [await state(merchant, "ORDER013") for _ in range(3)]
    assert states == ["NOTPAY", "NOTPAY", "SUCCESS"]
    assert sandbox.books("ORDER013")[0].paid == 1234


async def test_the_payer_is_named_by_jsapi_or_by_the_script(sandbox: Sandbox, merchant: Merchant) -> None:
    made = await merchant.prepay("ORDER014", product="jsapi", payer={"openid": "oJSAPI"})
    sandbox.pay(made.json["prepay_id"])
    await merchant.prepay("ORDER015", product="app")
    sandbox.pay("ORDER015", "oSCRIPT")
    for number, openid, trade_type in (("ORDER014", "oJSAPI", "JSAPI"), ("ORDER015", "oSCRIPT", "APP")):
        found = (await merchant.query(number)).json
        assert (found["payer"]["openid"], found["trade_type"]) == (openid, trade_type)


async def test_orders_may_be_paid_by_themselves(sandbox: Sandbox, merchant: Merchant) -> None:
    sandbox.switches.autopay_s = 5
    await merchant.prepay("ORDER016")
    sandbox.advance(5)
    assert await state(merchant, "ORDER016") == "SUCCESS"
    sandbox.switches.autopay_rate = 0.0
    await merchant.prepay("ORDER017")
    sandbox.advance(60)
    assert await state(merchant, "ORDER017") == "NOTPAY"
