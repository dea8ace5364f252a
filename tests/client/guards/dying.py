"""A process of a shop that dies as if the power went, at a moment that the test chooses:

    python -m tests.client.guards.dying KIND FOLDER URL REDIS WHAT WHEN

what: ``take`` an event in, or ``submit`` an order. when: ``inside`` the transaction, after the app's own write, or
``after`` the commit, before anybody is answered.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import redis

from oncepay.client.guards import Inbox, Milestone, SubmissionGuard
from oncepay.client.guards.milestones import WORDS
from oncepay.client.guards.redis_door import RedisDoor
from tests.client.guards.apps import WRITE_DEED, WRITE_ORDER
from tests.client.guards.books import Books, Where, open_books
from tests.client.guards.payments import Story, event_of

CART = {"buyer": 7}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def take(books: Books, when: str) -> None:
    inbox: Inbox[Any] = Inbox(books.begin)

    @inbox.on(*WORDS)
    def write_down(within: Any, milestone: Milestone) -> None:
        books.write(within, WRITE_DEED, milestone.payment.order_no, milestone.key, milestone.payment.minor)
        if when == "inside":
            die()

    inbox.take(event_of(Story().pay()))
    die()


def submit(books: Books, when: str, redis_url: str) -> None:
    door = RedisDoor(redis.Redis.from_url(redis_url), when_down="refuse", making_s=0.5) if redis_url else None

    def create(within: Any) -> None:
        books.write(within, WRITE_ORDER, "A-1")
        if when == "inside":
            die()

    SubmissionGuard(books.begin, door=door).once(CART, "A-1", create)
    die()


def main(arguments: list[str]) -> None:
    kind, folder, url, redis_url, what, when = arguments
    with open_books(kind, Where(Path(folder), lambda: url, lambda: url)) as books:
        if what == "take":
            take(books, when)
        else:
            submit(books, when, redis_url)


if __name__ == "__main__":
    main(sys.argv[1:])
