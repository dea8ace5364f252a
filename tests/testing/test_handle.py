"""What the handle of the plugin promises beside what a project sees first: order, threads, time, isolation."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path

import pytest
import standardwebhooks

from oncepay.client import Attempt, PaymentStarted, verify
from oncepay.testing import Oncepay, Unpayable, WrongThread, open_oncepay
from oncepay.testing.ground import Ground

NATIVE = Attempt(channel="wechat", method="native")


class App:
    """Takes whatever it is told."""

    def __init__(self) -> None:
        self.heard: list[tuple[dict[str, str], bytes]] = []
        self.threads: list[int] = []

    def webhook(self, headers: dict[str, str], body: bytes) -> int:
        self.heard.append((headers, body))
        self.threads.append(threading.get_ident())
        return 204


def asked(oncepay: Oncepay, order_no: str = "A-1", attempt: Attempt = NATIVE) -> PaymentStarted:
    return oncepay.client().payments.create(
        order_no=order_no, minor=8800, currency="CNY", subject="Tea", attempt=attempt
    )


# -- time --------------------------------------------------------------------------------------------------------


def test_time_stands_still_but_for_the_test(oncepay: Oncepay) -> None:
    before_ms = oncepay.now_ms()
    oncepay.pay(asked(oncepay))
    assert oncepay.now_ms() == before_ms
    oncepay.advance(86_400)
    assert oncepay.now_ms() - before_ms in {86_400_000, 86_400_001}
    assert oncepay.now() == oncepay.now_ms() / 1000
    with pytest.raises(ValueError, match="time does not go back"):
        oncepay.advance(-1)


def test_things_happen_when_they_fall_due_and_not_when_time_has_passed(oncepay: Oncepay) -> None:
    """A notification that comes after 5 s is taken in then, though the test goes on by an hour at once."""
    start_ms = oncepay.now_ms()
    oncepay.fault("notify_late", seconds=5)
    payment = asked(oncepay)
    oncepay.pay(payment)
    assert oncepay.told(payment) == []
    oncepay.advance(3_600)
    (event,) = oncepay.events(payment)
    assert 5_000 <= event.created_ms - start_ms < 5_100


def test_retries_of_a_webhook_are_the_same_in_every_run(tmp_path: Path) -> None:
    def times(folder: Path) -> list[int]:
        folder.mkdir()
        found: list[int] = []
        with open_oncepay(folder) as oncepay:
            start_ms = oncepay.now_ms()

            def down(headers: dict[str, str], body: bytes) -> int:
                found.append(oncepay.now_ms() - start_ms)
                return 503

            oncepay.forward(down)
            oncepay.pay(asked(oncepay))
            oncepay.advance(120)
        return found

    first = times(tmp_path / "1")
    assert len(first) == 5
    assert times(tmp_path / "2") == first


def test_a_pause_inside_a_request_moves_the_clock_instead_of_taking_time(oncepay: Oncepay) -> None:
    before_ms = oncepay.now_ms()
    oncepay.fault("drop_after", call="prepay", times=2)
    payment = asked(oncepay)
    assert payment.attempt is not None
    assert payment.attempt.credential is not None, "it was sent again within the request"
    assert oncepay.struck("drop_after") == 2
    assert 0 < oncepay.now_ms() - before_ms < 20_000


# -- being told --------------------------------------------------------------------------------------------------


def test_nothing_is_told_between_two_verbs(oncepay: Oncepay) -> None:
    app = App()
    oncepay.forward(app.webhook)
    payment = asked(oncepay)
    oncepay.client().payments.close(payment.id)
    waiting = list(oncepay.client().deliveries.each())
    assert [delivery.tries for delivery in waiting] == [0] * 4, "two events, two endpoints"
    assert all(delivery.due_ms == oncepay.now_ms() for delivery in waiting), "none is under way"
    assert app.heard == []
    oncepay.settle()
    assert len(app.heard) == 2
    oncepay.expect(payment, "closing", "closed")


def test_a_handler_runs_in_the_thread_of_the_test(oncepay: Oncepay) -> None:
    app = App()
    oncepay.forward(app.webhook)
    oncepay.pay(asked(oncepay))
    assert app.threads == [threading.get_ident()]


def test_what_a_handler_gets_is_signed_for_its_endpoint_alone(oncepay: Oncepay) -> None:
    app = App()
    secret = oncepay.forward(app.webhook)
    oncepay.pay(asked(oncepay))
    ((headers, body),) = app.heard
    assert verify(secret, headers, body, oncepay.now()).changes == ("paid",)
    assert standardwebhooks.Webhook(secret).verify(body, headers)["version"] == 1
    assert secret != oncepay.webhook_secret


def test_a_handler_that_raises_fails_the_test_and_is_told_again(oncepay: Oncepay) -> None:
    heard: list[bytes] = []

    def webhook(headers: dict[str, str], body: bytes) -> int:
        heard.append(body)
        if len(heard) == 1:
            raise KeyError("a fault of the app")
        return 204

    oncepay.forward(webhook)
    with pytest.raises(KeyError, match="a fault of the app"):
        oncepay.pay(asked(oncepay))
    oncepay.advance(30)
    assert heard == [heard[0]] * 2
    oncepay.expect("A-1", "paid")


def test_a_handler_may_call_the_centre(oncepay: Oncepay) -> None:
    def webhook(headers: dict[str, str], body: bytes) -> int:
        oncepay.client().refunds.create(payment.id, refund_no="R-1", minor=8800)
        return 204

    oncepay.forward(webhook)
    payment = asked(oncepay)
    oncepay.pay(payment)
    oncepay.advance(60)
    assert oncepay.told(payment)[0] == "paid"
    assert oncepay.told(payment)[-1] == "refund.done"
    assert oncepay.kept(payment) == 0


def test_a_coroutine_is_a_handler_without_a_loop_of_the_test(oncepay: Oncepay) -> None:
    heard: list[bytes] = []

    async def webhook(headers: dict[str, str], body: bytes) -> int:
        await asyncio.sleep(0)
        heard.append(body)
        return 204

    oncepay.forward(webhook)
    oncepay.pay(asked(oncepay))
    assert len(heard) == 1


async def test_the_handle_works_inside_of_a_loop(oncepay: Oncepay) -> None:
    async with oncepay.async_client() as client:
        payment = await client.payments.create(
            order_no="A-1", minor=8800, currency="CNY", subject="Tea", attempt=NATIVE
        )
        oncepay.pay(payment)
        assert (await client.payments.get(payment.id)).status == "paid"


async def test_a_coroutine_of_the_loop_that_a_verb_blocks_is_refused(oncepay: Oncepay) -> None:
    heard: list[asyncio.AbstractEventLoop] = []

    async def webhook(headers: dict[str, str], body: bytes) -> int:
        heard.append(asyncio.get_running_loop())
        return 204

    oncepay.forward(webhook)
    payment = asked(oncepay)
    with pytest.raises(WrongThread, match=r"await asyncio\.to_thread"):
        oncepay.pay(payment)
    await asyncio.to_thread(oncepay.advance, 30)
    assert heard == [asyncio.get_running_loop()]


def test_a_server_beside_the_test_is_told(oncepay: Oncepay) -> None:
    """Any server will do; the centre's own answers 404 below its own paths, so this one is never taken."""
    oncepay.endpoint(f"{oncepay.base_url}/nobody")
    oncepay.pay(asked(oncepay))
    last = {delivery.status: delivery.last for delivery in oncepay.client().deliveries.each()}
    assert last == {"done": "HTTP 204", "due": "HTTP 404"}


# -- the rest ----------------------------------------------------------------------------------------------------


def test_who_cannot_pay_is_told_why(oncepay: Oncepay) -> None:
    payment = asked(oncepay)
    oncepay.client().payments.close(payment.id)
    with pytest.raises(Unpayable) as refused:
        oncepay.pay(payment)
    assert refused.value.code == "closed"


def test_policies_are_the_apps(oncepay: Oncepay) -> None:
    oncepay.policies(late="accept")
    oncepay.fault("pay_after_close", always=True)
    payment = asked(oncepay)
    oncepay.client().payments.close(payment.id)
    oncepay.pay(payment)
    oncepay.expect(payment, "closing", "closed", "paid", kept_minor=8800)
    oncepay.no_faults()


def test_keys_that_were_changed_stay_with_their_centre(oncepay_ground: Ground) -> None:
    serials = []
    for _ in range(2):
        oncepay = Oncepay(oncepay_ground)
        try:
            serials.append(_serial(oncepay))
            oncepay.fault("cert_rotate")
            oncepay.pay(asked(oncepay))
            oncepay.advance(300)
            oncepay.expect("A-1", "paid")
            assert _serial(oncepay) != serials[-1]
        finally:
            oncepay.close()
    assert serials[0] == serials[1]


def _serial(oncepay: Oncepay) -> str:
    document = json.loads((oncepay.database.parent / "sandbox.json").read_text())
    return str(document["wechat"]["platform_serial_no"])


def test_what_goes_on_in_the_background_is_waited_for(oncepay: Oncepay) -> None:
    """The notification is signed with a new key: it is refused, and the key is fetched before the verb returns."""
    oncepay.fault("cert_rotate", call="prepay")
    oncepay.fault("slow", call="certificates", seconds=0.3)
    oncepay.pay(asked(oncepay))
    assert oncepay.struck("cert_rotate") == 1
    assert oncepay._inside.engine.directory.account("wechat").revision == 2


def test_it_is_found_in_the_database_afterwards(tmp_path: Path) -> None:
    with open_oncepay(tmp_path) as oncepay:
        oncepay.pay(asked(oncepay))
        database = oncepay.database
    assert database.is_relative_to(tmp_path)
    assert database.exists()
    assert not [thread for thread in threading.enumerate() if thread.name == "oncepay" and not thread.daemon]
