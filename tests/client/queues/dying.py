"""A process of a shop that reads a queue and dies as if the power went, at a moment that the test chooses:

    python -m tests.client.queues.dying FOLDER URL CLAIM_S NOW_MS WHEN

when: ``inside`` the transaction, after the app's own write, or ``after`` its commit, before the broker hears of it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from oncepay.client.around import Around
from oncepay.client.guards import Inbox, Milestone
from oncepay.client.guards.milestones import WORDS
from oncepay.client.queues import Consumer
from oncepay.client.queues.places import Got
from tests.client.guards.apps import WRITE_DEED
from tests.client.guards.books import Where, open_books
from tests.client.guards.dying import die
from tests.client.queues.brokers import SECRET


class DiesAfter(Consumer[Any]):
    """Once the database has it."""

    def hear(self, got: list[Got]) -> list[Got]:
        super().hear(got)
        die()
        return []


def main(arguments: list[str]) -> None:
    folder, url, claim_s, now_ms, when = arguments
    with open_books("sqlite3", Where(Path(folder), lambda: "", lambda: "")) as books:
        inbox: Inbox[Any] = Inbox(books.begin)

        @inbox.on(*WORDS)
        def write_down(within: Any, milestone: Milestone) -> None:
            books.write(within, WRITE_DEED, milestone.payment.order_no, milestone.key, milestone.payment.minor)
            if when == "inside":
                die()

        kind = Consumer[Any] if when == "inside" else DiesAfter
        around = Around(now_ms=lambda: int(now_ms))
        kind(url, SECRET, inbox, claim_s=float(claim_s), around=around).run()


if __name__ == "__main__":
    main(sys.argv[1:])
