"""What an operator would look at: the shop's orders by its own books, and their timelines as the centre tells them."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any, Final

from flask import Flask, abort, render_template
from werkzeug.serving import WSGIRequestHandler, make_server

from oncepay.cli.demo.shop import HOST, Shop
from oncepay.client import Client

UNHEARD: Final = "The centre has not heard of this order: nobody has chosen how to pay it."


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing: the terminal is the demonstration's."""


class Desk:
    """Pages on a free port, from a thread. Entering it gives their address."""

    def __init__(self, shop: Shop) -> None:
        self._server = make_server(HOST, 0, _app(shop), threaded=True, request_handler=_Quiet)
        self._serving = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> str:
        self._serving.start()
        return f"http://{HOST}:{self._server.server_port}"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._serving.join()
        self._server.server_close()


def _app(shop: Shop) -> Flask:
    app = Flask(__name__, template_folder="pages", static_folder=None)
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    app.add_template_filter(lambda fen: f"{'-' if fen < 0 else ''}{abs(fen) // 100}.{abs(fen) % 100:02d}", "yuan")
    app.add_template_filter(lambda ms: f"{datetime.fromtimestamp(ms / 1000, UTC):%H:%M:%S}.{ms % 1000:03d}", "time")
    app.add_template_filter(_rest, "rest")

    @app.get("/")
    def front() -> str:
        return render_template("front.html", shop_url=shop.url, orders=shop.books.orders())

    @app.get("/orders/<order_no>")
    def timeline(order_no: str) -> str:
        with Client(shop.centre_url, shop.key) as client:
            payment = client.payments.of_order(order_no) or abort(404, UNHEARD)
            told = client.payments.timeline(payment.id)
        return render_template("timeline.html", payment=payment, told=told)

    return app


def _rest(entry: dict[str, Any]) -> str:
    """What belongs to an entry of the timeline, in one line."""
    shown = {
        name: value for name, value in entry.items() if name not in {"at_ms", "what"} and value not in (None, "", [])
    }
    return " · ".join(
        f"{name} {value if not isinstance(value, list) else ', '.join(value)}" for name, value in shown.items()
    )
