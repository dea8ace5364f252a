"""The state diagrams of the documentation, drawn from the tables that the core and its judge go by, so that they cannot
say anything else: ``python -m oncepay.testing.explore.diagrams docs/concepts.md`` draws them into a page."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

from oncepay.domain.attempt import TRANSITIONS, Fact, Status, learn
from oncepay.domain.payment import PaymentStatus
from oncepay.testing.explore.judge import GRAPH

BLOCK: Final = re.compile(r"<!-- drawn: (\w+) -->\n.*?<!-- end -->", re.DOTALL)


def attempt() -> str:
    """How an attempt learns: the facts that raise its status. All others leave it where it is."""
    lines = [f"[*] --> {Status.CREATED}"]
    for status in TRANSITIONS:
        facts: dict[Status, list[str]] = {}
        for fact in Fact:
            learned = learn(status, fact)
            if learned.news or learned.contradiction:
                facts.setdefault(learned.status, []).append(fact + (" (a case)" if learned.contradiction else ""))
        lines += [f"{status} --> {after}: {', '.join(said)}" for after, said in facts.items()]
    return _mermaid(lines)


def payment() -> str:
    """Where a payment may go; the explorer holds every change to it."""
    lines = [f"[*] --> {PaymentStatus.OPEN}"]
    return _mermaid(lines + [f"{before} --> {after}: {by}" for (before, after), by in GRAPH.items()])


def _mermaid(lines: list[str]) -> str:
    return "\n".join(["```mermaid", "stateDiagram-v2", *(f"    {line}" for line in lines), "```"])


DRAWN: Final = {"attempt": attempt, "payment": payment}


def drawn(page: str) -> str:
    """A page with its diagrams as they are now. Raises KeyError for one that nobody can draw."""
    return BLOCK.sub(lambda block: f"<!-- drawn: {block[1]} -->\n{DRAWN[block[1]]()}\n<!-- end -->", page)


def main(paths: list[str]) -> None:
    """Draw them into the pages; print them when there is none."""
    for path in map(Path, paths):
        path.write_text(drawn(path.read_text("utf-8")), "utf-8")
    if not paths:
        sys.stdout.write("\n\n".join(draw() for draw in DRAWN.values()) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
