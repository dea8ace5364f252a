"""The demonstration as a person runs it; and its judge, which must not be easily pleased."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import msgspec
import pytest

from oncepay.cli.demo.books import Books, Deed
from oncepay.cli.demo.check import Promise, complaints
from oncepay.cli.demo.stories import STORIES
from oncepay.client import Payment
from oncepay.client.guards.milestones import unmet
from tests.wire.cli import get, running, wait

ENDED = f"{len(STORIES)} stories, {len(STORIES)} as promised"


@pytest.mark.parametrize("silent", [(), ("--silent",)], ids=["", "notifications switched off"])
def test_every_story_ends_as_promised(silent: tuple[str, ...]) -> None:
    environ = {**os.environ, "ONCEPAY_NONSENSE": "the demo takes no settings from outside"}
    played = subprocess.run(
        [sys.executable, "-m", "oncepay", "demo", "--once", *silent],
        env=environ, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert played.returncode == 0, played.stdout + played.stderr
    assert played.stdout.splitlines()[-1] == ENDED, played.stdout
    assert [played.stdout.count(f"✓ {story.title}  ") for story in STORIES] == [1] * len(STORIES)


def test_it_stays_up_until_it_is_interrupted(tmp_path: Path) -> None:
    with running(
        "demo", "--story", "abandoned", "--home", str(tmp_path / "home"), settings={}, log=tmp_path / "log"
    ) as demo:
        said = demo.wait_for("1 stories, 1 as promised")
        urls = re.findall(r"http://\S+", said)
        assert len(urls) == 4
        assert [get(url) for url in urls] == [200] * 4
        buy_and_pay(urls[0])
        demo.tell(signal.SIGINT)
        assert demo.ends() == 0
        assert [get(url) for url in urls] == [0] * 4


CARELESS = """
import sys
from oncepay.cli import main
from oncepay.client.guards import inbox
careful = inbox.unmet
inbox.unmet = lambda payment, done: careful(payment, "")  # acts on what stands there, not on what is new
main(sys.argv[1:])
"""


def test_a_story_with_a_careless_shop_does_not_end_as_promised(tmp_path: Path) -> None:
    arguments = ("demo", "--once", "--story", "parts", "--home", str(tmp_path / "home"))
    with running(*arguments, settings={}, log=tmp_path / "log", program=CARELESS) as demo:
        assert demo.ends(60) == 1
        assert demo.said().splitlines()[-1] == "1 stories, 0 as promised"
        assert "what the shop did" in demo.said()


def buy_and_pay(shop: str) -> None:
    """As a person does: buy, see the code, pay at the cashier, see that it was shipped."""
    with urllib.request.urlopen(shop) as front:
        (click,) = re.findall(r'name="click" value="(\w+)"', front.read().decode())
    with urllib.request.urlopen(f"{shop}/buy", data=f"click={click}".encode()) as bought:
        page, order_url = bought.read().decode(), bought.url
    with urllib.request.urlopen(f"{shop}/buy", data=f"click={click}".encode()) as again:
        assert again.url == order_url, "a double click is one order"
    assert "<svg" in page
    (cashier,) = re.findall(r'href="(\S+/cashier/\S+)"', page)
    with urllib.request.urlopen(f"{cashier}/pay", data=b"") as paid:
        assert paid.status == 200

    def shipped() -> bool:
        with urllib.request.urlopen(order_url) as looked:
            return "shipped" in looked.read().decode()

    wait(shipped, "the parcel")
    with urllib.request.urlopen(f"{order_url}/timeline") as told:
        assert "evidence.taken" in told.read().decode()


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        arguments = ("demo", "--once", "--port-base", str(port), "--home", str(tmp_path / "home"))
        with running(*arguments, settings={}, log=tmp_path / "log") as demo:
            assert demo.ends(20) == 1
            assert "cannot start" in demo.said()
            assert f"cannot listen on 127.0.0.1:{port}" in demo.said()
            assert "Traceback" not in demo.said()


# -- the judge -----------------------------------------------------------------------------------------------------


def snapshot(version: int, **more: Any) -> dict[str, Any]:
    """A payment as the centre tells it."""
    return {
        "id": "pay_1", "order_no": "A-1", "version": version, "status": "open", "closing": False, "minor": 8800,
        "currency": "CNY", "subject": "Tea", "created_ms": 0, "deadline_ms": 1, "kept_minor": 0, "paid": None,
        "closed": None, "refunds": [], **more,
    }  # fmt: skip


MOVED = {"attempt": "att_1", "channel": "c", "method": "m", "trade_no": "t", "minor": 8800, "paid_ms": 1}
PAID = snapshot(1, status="paid", kept_minor=8800, paid=MOVED)
BACK = {
    "refund_no": "r1", "minor": 800, "status": "done", "origin": "app", "why": "", "created_ms": 2, "settled_ms": 3
}  # fmt: skip
REFUNDED = snapshot(3, status="paid", kept_minor=8000, paid=MOVED, refunds=[BACK])
ROW = {"number": "N00", "state": "SUCCESS", "paid": 8800, "refunded": 0, "refunds": []}
RETURNED = {"number": "R", "amount": 1, "status": "SUCCESS"}
PROMISE = Promise(status="paid", charged=8800, deeds=("shipped",))


def told(payment: dict[str, Any]) -> Payment:
    """As the client reads it."""
    return msgspec.convert(payment, Payment)


@pytest.fixture
def books(tmp_path: Path) -> Books:
    books = Books(tmp_path / "shop.db", lambda: 0)
    books.add("click", "A-1", "Tea", 8800)
    return books


def test_a_shop_that_acts_on_repeats_does_not_please_the_judge(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    books.take(told(PAID))
    books.take(told(PAID))
    assert complaints(PROMISE, [ROW], PAID, books.order("A-1")) == []
    monkeypatch.setattr("oncepay.client.guards.inbox.unmet", lambda payment, _: unmet(payment, ""))
    again = {**PAID, "version": 2}
    books.take(told(again))
    assert complaints(PROMISE, [ROW], again, books.order("A-1")) == [
        "what the shop did: ['shipped', 'shipped'], not ['shipped']",
        "the channel holds 8800, the centre keeps 8800, the shop has 17600",
    ]


@pytest.mark.parametrize(
    ("rows", "payment", "says"),
    [
        ([], PAID, "the channel has 0 orders"),
        ([ROW, {**ROW, "number": "N01"}], PAID, "the channel's charges: 17600, not 8800"),
        ([{**ROW, "refunded": 1}], PAID, "what the channel returned: 1, not 0"),
        ([{**ROW, "refunds": [RETURNED]}], PAID, "refunds at the channel: 1, not 0"),
        ([{**ROW, "refunds": [{**RETURNED, "status": "PROCESSING"}]}], PAID, "is not carried out: ['PROCESSING']"),
        ([ROW], {**PAID, "status": "open"}, "the centre's status: open, not paid"),
        ([ROW], {**PAID, "closing": True}, "still closing"),
        ([ROW], {**PAID, "kept_minor": 8799}, "the channel holds 8800, the centre keeps 8799, the shop has 8800"),
        ([ROW], {**PAID, "version": 2}, "the shop's version: 1, not 2"),
        ([ROW], {**PAID, "refunds": [{**BACK, "status": "open"}]}, "refund r1 still open"),
    ],
)
def test_what_the_judge_sees(books: Books, rows: list[Any], payment: dict[str, Any], says: str) -> None:
    books.take(told(PAID))
    found = complaints(PROMISE, rows, payment, books.order("A-1"))
    assert any(says in complaint for complaint in found), found


def test_an_order_that_can_still_be_paid_is_not_closed() -> None:
    row = {**ROW, "state": "NOTPAY", "paid": 0}
    found = complaints(Promise(status="closed"), [row], snapshot(1, status="closed"), None)
    assert "the channel's order N00 is still to be paid" in found
    assert "the shop does not know the order" in found


# -- the shop ------------------------------------------------------------------------------------------------------


def test_the_shop_acts_on_the_difference_whatever_it_missed(books: Books) -> None:
    assert books.take(told(REFUNDED)) == (Deed("shipped", 8800), Deed("refunded r1", -800))
    assert books.take(told(PAID)) == ()
    order = books.order("A-1")
    assert order is not None
    assert (order.cash, order.version, order.told) == (8000, 3, 2)


def test_late_money_that_went_back_never_was_the_shops(books: Books) -> None:
    closed = snapshot(1, status="closed", closed={"closed_ms": 1, "why": "expired"})
    surplus = {**BACK, "origin": "surplus", "minor": 8800}
    assert books.take(told(closed)) == (Deed("cancelled", 0),)
    assert books.take(told({**closed, "version": 2, "refunds": [surplus]})) == (Deed("late money went back", 0),)


def test_the_shop_knows_its_own_orders_and_clicks(books: Books) -> None:
    assert books.add("click", "A-2", "Tea", 8800) == "A-1"
    assert books.add("another", "A-2", "Tea", 8800) == "A-2"
    with pytest.raises(KeyError, match="A-9"):
        books.take(told({**PAID, "order_no": "A-9"}))
