"""A shop on Flask and sqlite3, with a page to pay on: it takes orders, has them paid, and does once what follows.

    python shop.py                                              makes the tables
    flask --app shop run                                        serves
    python -m oncepay.client.guards watch shop:watch --loop     asks the centre for what never came
    python -m oncepay.client.queues shop:consumer               takes news from a queue, if there is one

README.md says with which settings.
"""

import os
import secrets
import sqlite3
import time
from contextlib import closing
from typing import Any, Final

from flask import Flask, abort, redirect, render_template_string, request, url_for
from werkzeug.wrappers import Response

from oncepay.client import Attempt, CallFailed, ChannelRefused, Client, Conflict, EventRefused, verify
from oncepay.client.guards import Inbox, Milestone, SubmissionGuard, Watch, link_of, transactions
from oncepay.client.queues import Consumer

PRICES: Final = {"tea": 8800, "cup": 4200}  # in minor units, and ours: never the browser's
WAYS: Final = {"wechat": "native", "alipay": "page", "unionpay": "front"}  # a code to scan, a page, a form to send

# The journal holds what followed from a payment, once each. The packers ship what stands there, the accountants add up
# minor. SQLite keeps its rollback journal: the write-ahead log of versions before 3.51.3 may lose commits.
TABLES: Final = """
CREATE TABLE IF NOT EXISTS orders (
  order_no TEXT PRIMARY KEY, buyer TEXT NOT NULL, item TEXT NOT NULL, quantity INTEGER NOT NULL, minor INTEGER NOT NULL,
  status TEXT NOT NULL DEFAULT 'open');
CREATE TABLE IF NOT EXISTS journal (
  id INTEGER PRIMARY KEY, order_no TEXT NOT NULL REFERENCES orders, what TEXT NOT NULL, minor INTEGER NOT NULL);
"""


def connect() -> sqlite3.Connection:
    db = sqlite3.connect(os.environ["SHOP_DATABASE"], timeout=10)
    db.row_factory = sqlite3.Row
    return db


begin = transactions.dbapi(connect)
client = Client(os.environ["SHOP_CENTRE_URL"], os.environ["SHOP_CENTRE_KEY"])
SECRETS: Final = os.environ["SHOP_WEBHOOK_SECRET"].split()  # two of them while one is being rotated
guard = SubmissionGuard(begin)
inbox = Inbox(begin)


def enter(db: sqlite3.Connection, order_no: str, status: str, what: str, minor: int = 0) -> None:
    if db.execute("UPDATE orders SET status = ? WHERE order_no = ?", (status, order_no)).rowcount != 1:
        raise LookupError(order_no)  # not ours: the news come again, and stand in inbox.poisoned()
    db.execute("INSERT INTO journal (order_no, what, minor) VALUES (?, ?, ?)", (order_no, what, minor))


# Each is run once for each payment or refund, in the transaction that remembers it.
@inbox.on("paid")
def ship(db: sqlite3.Connection, milestone: Milestone) -> None:
    enter(db, milestone.payment.order_no, "paid", "ship", milestone.payment.minor)


@inbox.on("closed")
def cancel(db: sqlite3.Connection, milestone: Milestone) -> None:
    enter(db, milestone.payment.order_no, "closed", "cancel")


@inbox.on("refund.done", "refund.outside")
def book_refund(db: sqlite3.Connection, milestone: Milestone) -> None:
    payment, refund = milestone.payment, milestone.refund
    assert refund is not None
    enter(db, payment.order_no, payment.status, f"refund {refund.refund_no}", -refund.minor)


inbox.ignore("refund.failed", "surplus.refunded")  # the money stayed with us; the money never was ours
inbox.check()


def never_asked(db: sqlite3.Connection, order_no: str) -> None:
    """The centre has not heard of it in ten minutes: the buyer left before paying, or we died."""
    enter(db, order_no, "closed", "cancel")


watch = Watch(client, inbox, absent=never_asked)


def consumer() -> Consumer[sqlite3.Connection]:
    return Consumer(os.environ["SHOP_QUEUE_URL"], SECRETS, inbox)


app = Flask(__name__)
PAGE: Final = """<!doctype html><title>Tea and cups</title>
{% if order %}
  <p>Order {{ order.order_no }}: {{ order.quantity }} {{ order.item }} for {{ order.minor | yuan }}, {{ order.status }}
  {% if given.code_url %}<p>Scan <code>{{ given.code_url }}</code>
  {% elif given.url %}<p><a href="{{ given.url }}">Go there and pay</a>
  {% elif given %}<form method=post action="{{ given.action }}"><button>Go there and pay</button>
    {% for name, value in given.fields.items() %}<input type=hidden name="{{ name }}" value="{{ value }}">{% endfor %}
  </form>{% endif %}{% if given %}<p><a href="{{ url_for("show", order_no=order.order_no) }}">I have paid</a>{% endif %}
  {% if order.status == "open" %}<form method=post action="{{ url_for("pay", order_no=order.order_no) }}">
    {% for way in ways %}<button name=way value="{{ way }}">Pay by {{ way }}</button>{% endfor %}</form>{% endif %}
{% else %}
  <form method=post action="{{ url_for("submit") }}">Your name <input name=buyer required>
  {% for item in prices %}<button name=item value="{{ item }}">Buy {{ item }}</button>{% endfor %}</form>
{% endif %}"""


@app.template_filter()
def yuan(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02d}"


def page(order: sqlite3.Row | None = None, given: dict[str, Any] | None = None) -> str:
    return render_template_string(PAGE, order=order, given=given or {}, prices=PRICES, ways=WAYS)


def find(db: sqlite3.Connection, order_no: str) -> sqlite3.Row:
    found: sqlite3.Row | None = db.execute("SELECT * FROM orders WHERE order_no = ?", (order_no,)).fetchone()
    return found or abort(404)


@app.get("/")
def front() -> str:
    return page()


@app.post("/orders")
def submit() -> Response:
    """Take an order. Twice the same within ten minutes, by whatever road, is a double click: one order."""
    buyer, item = request.form["buyer"], request.form["item"]
    quantity = request.form.get("quantity", 1, int)
    if item not in PRICES or not 1 <= quantity <= 10:
        abort(422)
    order_no = f"S-{secrets.token_hex(8)}"

    def create(db: sqlite3.Connection) -> None:
        values = (order_no, buyer, item, quantity, PRICES[item] * quantity)
        db.execute("INSERT INTO orders (order_no, buyer, item, quantity, minor) VALUES (?, ?, ?, ?, ?)", values)
        watch.register(db, order_no)  # it comes to an end even if nobody ever pays

    submission = guard.once({"buyer": buyer, "item": item, "quantity": quantity}, order_no, create)
    return redirect(url_for("show", order_no=submission.order_no), 303)


@app.get("/orders/<order_no>")
def show(order_no: str) -> str:
    with closing(connect()) as db:
        return page(find(db, order_no))


@app.post("/orders/<order_no>/pay")
def pay(order_no: str) -> str:
    """What to pay by. Safe to repeat: it is the same payment, and a code that works. Another way takes its place."""
    way = request.form.get("way", "wechat")
    method = WAYS.get(way) or abort(422)
    with begin() as db:
        order = find(db, order_no)
        if order["status"] != "open":
            return page(order)
        watch.register(db, order_no)
    # Outside the transaction: nobody waits for our lock while we wait for the network.
    payment = client.payments.create(
        order_no=order_no,
        minor=order["minor"],
        currency="CNY",
        subject=f"{order['quantity']} {order['item']}",
        attempt=Attempt(channel=way, method=method),
        return_url=url_for("show", order_no=order_no, _external=True),
    )
    return page(order, payment.attempt.credential if payment.attempt else None)


@app.errorhandler(CallFailed)
def no_answer(error: CallFailed) -> tuple[str, int]:
    """Of most failures nobody knows yet what they mean, which is no failure: the buyer asks again."""
    if isinstance(error, ChannelRefused):
        return "Please choose another way to pay.", 409
    if isinstance(error, Conflict):
        return "It is paid or closed already: look at your order.", 409
    return "One moment, please: reload this page.", 503


@app.post("/webhook")
def webhook() -> tuple[str, int]:
    """What the centre tells. Answered after the commit; whatever is raised is a 500, and the centre tells again."""
    try:
        event = verify(SECRETS, dict(request.headers), request.get_data(), time.time())
    except EventRefused as error:
        return str(error), 400
    inbox.take(event)
    return "", 204


if __name__ == "__main__":
    with begin() as db:
        link_of(db).make_tables()
        for statement in TABLES.split(";"):
            db.execute(statement)
