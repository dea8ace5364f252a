"""The small worlds, by name."""

from __future__ import annotations

from typing import Final

from oncepay.testing.explore.world import Small

WORLDS: Final = {
    "two attempts": Small(may=("start 2", "lost", "crash", "payer", "payer")),
    "two attempts, patient": Small(may=("start 2", "lost", "crash", "payer", "payer"), unclosable="wait"),
    "closing": Small(may=("close", "lost", "crash", "payer")),
    "late money": Small(may=("close", "crash", "crash", "payer", "late payer")),
    "late money accepted": Small(may=("close", "crash", "payer", "payer", "late payer"), late="accept"),
    "a page": Small(may=("start 2", "lost", "crash", "payer", "payer"), ways=("page", "call")),
    "a page, patient": Small(
        may=("start 2", "lost", "crash", "payer", "payer"), ways=("page", "call"), unclosable="wait"
    ),
    "a form that cannot be closed": Small(may=("start 2", "lost", "crash", "payer", "payer"), ways=("form", "call")),
    "a form, closing": Small(may=("close", "lost", "crash", "payer"), ways=("form",)),
    "a code told once": Small(
        may=("start 2", "lost", "crash", "payer", "payer"), ways=("once", "call"), unclosable="wait"
    ),
    "a refund": Small(may=("refund 60", "lost", "lost", "crash", "crash", "payer")),
}
