"""The small worlds, by name."""

from __future__ import annotations

from typing import Final

from oncepay.testing.explore.walk import Failure, Found, explore
from oncepay.testing.explore.world import Small

PAY2: Final = ("payer", "payer")

WORLDS: Final = {
    # closing
    "closing": Small(may=("close", "lost", "crash", "payer")),
    "closing, with processes that stand still": Small(may=("close", "stall", "stall", "lost", "payer")),
    "closing, with answers that lag": Small(may=("close", "lag", "lag", "payer", "crash")),
    "closing, and what is paid goes back": Small(may=("close and refund", "crash", "lost", "payer"), late="accept"),
    "closing, and paid at the same moment": Small(may=("close", "raced", "lost", "crash", "payer")),
    "closing, paid at that moment, they stand still": Small(may=("close", "raced", "stall", "lost", "payer")),
    "closing and a person": Small(may=("close", "person asks", "person closes", "stall", "lost", "payer")),
    "closing a page": Small(may=("close", "lag", "lost", "crash", "payer"), ways=("page",)),
    "closing a form that cannot be closed": Small(may=("close", "lag", "lost", "crash", "payer"), ways=("form",)),
    "closing a page, paid at the same moment": Small(may=("close", "raced", "lost", "crash", "payer"), ways=("page",)),
    "closing where the word is not final": Small(may=("close", "unclosed", "lost", "crash", "payer"), ways=("soft",)),
    "closing and opening again": Small(may=("close", "reopen", "start 2", "lost", *PAY2)),
    "closing and opening again, late money": Small(may=("close", "reopen", "start 2", "payer", "late payer", "crash")),
    "closing and opening again, late money accepted": Small(
        may=("close", "reopen", "start 2", *PAY2, "late payer"), late="accept"
    ),
    "closing and opening again, a close that raced": Small(
        may=("close", "raced", "reopen", "start 2", "lost", "payer")
    ),
    "closing and opening again, a page": Small(may=("close", "reopen", "start 2", *PAY2), ways=("page", "call")),
    "another amount": Small(may=("start 2", "amend", "lost", *PAY2), late="accept"),
    "another amount, late money": Small(may=("close", "reopen", "amend", "start 2", "payer", "late payer")),
    # late money
    "late money": Small(may=("close", "crash", "crash", "payer", "late payer")),
    "late money accepted": Small(may=("close", "crash", *PAY2, "late payer"), late="accept"),
    "late money, in the statement only": Small(may=("close", "lost", "lost", "payer", "late payer", "statement")),
    "late money and a second attempt": Small(may=("start 2", "crash", *PAY2, "late payer")),
    # two attempts
    "two attempts": Small(may=("start 2", "lost", "crash", *PAY2)),
    "two attempts, patient": Small(may=("start 2", "lost", "lost", "crash", *PAY2), unclosable="wait"),
    "two attempts, processes stand still": Small(may=("start 2", "stall", "lost", *PAY2)),
    "two attempts, patient, they stand still": Small(may=("start 2", "stall", "lost", *PAY2), unclosable="wait"),
    "two attempts, slow workers": Small(may=("start 2", "slow", *PAY2)),
    "two attempts, repeats and refusals": Small(may=("start 2", "double", "refusal", *PAY2)),
    "two attempts and a lie": Small(may=("start 2", "liar", "liar", "crash", *PAY2)),
    "two attempts and a person who closes": Small(may=("start 2", "person closes", "person asks", *PAY2)),
    "two attempts where the word is not final": Small(
        may=("start 2", "unclosed", "lost", *PAY2), ways=("soft", "soft"), unclosable="wait"
    ),
    "a page": Small(may=("start 2", "lost", "crash", *PAY2), ways=("page", "call")),
    "a page, patient": Small(may=("start 2", "lost", "crash", *PAY2), ways=("page", "call"), unclosable="wait"),
    "a page, an answer lags": Small(may=("start 2", "lag", "crash", *PAY2), ways=("page", "call"), unclosable="wait"),
    "a page, nobody works for a day": Small(may=("start 2", "outage", "crash", *PAY2), ways=("page", "call")),
    "a page, slow workers": Small(may=("start 2", "slow", "lost", *PAY2), ways=("page", "call"), unclosable="wait"),
    "a page, processes stand still": Small(may=("start 2", "stall", *PAY2), ways=("page", "call")),
    "a page, answers that bear their time come late": Small(
        may=("signed", "stall", "stall", "lost", "payer"), ways=("page",)
    ),
    "a page, answers that bear no time come late": Small(may=("dated", "stall", "stall", "payer"), ways=("page",)),
    "two pages": Small(may=("start 2", "lost", *PAY2), ways=("page", "page")),
    "two pages, patient": Small(may=("start 2", "lost", *PAY2), ways=("page", "page"), unclosable="wait"),
    "a form that cannot be closed": Small(may=("start 2", "lost", "crash", *PAY2), ways=("form", "call")),
    "a form, patient": Small(may=("start 2", "lost", "crash", *PAY2), ways=("form", "call"), unclosable="wait"),
    "a code told once": Small(may=("start 2", "lost", "crash", *PAY2), ways=("once", "call"), unclosable="wait"),
    "a code told once, they stand still": Small(
        may=("start 2", "stall", "stall", *PAY2), ways=("once", "call"), unclosable="wait"
    ),
    "a code told once, refusals": Small(
        may=("start 2", "refusal", "stall", "lost", "payer"), ways=("once", "call"), unclosable="wait"
    ),
    "codes that are made anew": Small(may=("start 2", "stall", "lost", "payer"), ways=("anew", "call")),
    # three attempts
    "three attempts": Small(may=("start 2", "start 3", *PAY2), ways=("call", "call", "call")),
    "three attempts, patient": Small(
        may=("start 2", "start 3", "lost", *PAY2), ways=("call", "page", "form"), unclosable="wait"
    ),
    "three attempts, one told once": Small(
        may=("start 2", "start 3", "lost", *PAY2), ways=("once", "once", "call"), unclosable="wait"
    ),
    # refunds
    "a refund": Small(may=("refund 50", "lost", "lost", "crash", "crash", "payer")),
    "refunds race": Small(may=("refund 50", "refund 60", "read", "lost", "crash", "payer")),
    "refunds race with a close": Small(may=("refund 50", "close", "read", "lost", "crash", "payer")),
    "refunds, processes stand still": Small(may=("refund 50", "refund 60", "stall", "stall", "payer")),
    "refunds, slow workers": Small(may=("refund 50", "refund 60", "slow", "lost", "payer")),
    "refunds refused": Small(may=("refund 50", "refund 60", "refusal", "refusal", "stall", "payer")),
    "refunds that do not go out": Small(may=("refund 50", "undone", "undone", "turned away", "lost", "payer")),
    "refunds that the channel tells of": Small(may=("refund 50", "news", "undone", "lost", "double", "payer")),
    "refunds of a channel that refuses repeats": Small(
        may=("refund 50", "refund 60", "refusal", "lost", "lost", "payer"), ways=("form",)
    ),
    "refunds and a person": Small(may=("refund 50", "undone", "refusal", "lost", "person retries", "payer")),
    "refunds and the vendor's console": Small(may=("refund 50", "console", "lost", "crash", "payer")),
    "refunds, the console, processes stand still": Small(may=("refund 50", "console", "stall", "undone", "payer")),
    "a refund and a day without work": Small(may=("refund 50", "outage", "outage", "undone", "lost", "payer")),
    "a refund and surplus": Small(may=("start 2", "refund 60", *PAY2), ways=("call", "call")),
    "a refund, surplus, and lost answers": Small(may=("start 2", "refund 60", "lost", *PAY2)),
    "surplus that does not go out": Small(may=("start 2", "undone", "refusal", *PAY2)),
}
# Small enough for every run of the tests, and of each kind one.
QUICK: Final = (
    "closing",
    "closing, with answers that lag",
    "closing, and paid at the same moment",
    "closing a page",
    "closing a form that cannot be closed",
    "closing where the word is not final",
    "late money",
    "late money accepted",
    "late money, in the statement only",
    "a page, patient",
    "a code told once",
    "refunds race",
    "refunds that do not go out",
    "refunds of a channel that refuses repeats",
    "refunds and a person",
    "refunds and the vendor's console",
)


def walked(name: str) -> tuple[str, Found | str]:
    """A world's name, and what was seen in it, or the story of what went wrong. (Here, where a process of its own finds
    it.)"""
    try:
        return name, explore(WORLDS[name])
    except Failure as failure:
        return name, str(failure)
