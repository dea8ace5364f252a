"""What stands below a failed assertion: a payment from all sides, so that nobody has to look for it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from oncepay.domain.ids import ID_LENGTH
from oncepay.domain.payment import Payment
from oncepay.domain.snapshot import snapshot
from oncepay.engine.story import explain, timeline
from oncepay.testing.together import Together

LINES_MAX: Final = 40  # of the story; the latest are kept
QUIET: Final = frozenset({"at_ms", "what", "attempt", "event", "trade_no", "endpoint", "due_ms"})


async def report(together: Together, payment: Payment, told: Sequence[str], own: str) -> str:
    """The payment as the centre has it, as the app was told, as the channels have it; what happened, what comes.
    ``own``: the endpoint at which the test itself is told, of which nothing need be said."""
    seen = snapshot(payment)
    why = explain(together.engine, payment)
    entries = [e for e in await timeline(together.engine, payment) if e.get("endpoint", "") != own]
    lines = [
        f"order {payment.order_no}, pay_{payment.id}, at {_clock(together.now_ms)}",
        f"  the centre: {seen['status']}, {seen['kept_minor']} of {payment.minor} {payment.currency} kept",
        f"  the app was told: {', '.join(told) or 'nothing'}",
        *_channels(together, payment),
        "what happened",
        *_story(entries),
        "why",
        *(f"  {sentence}" for sentence in why["why"]),
        "what comes by itself",
        *([f"  in {s['in_s']:g} s {s['what']}: {s['why']}" for s in why["next"]] or ["  nothing any more"]),
        *_faults(together),
    ]
    return "\n".join(lines)


def _clock(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%H:%M:%S")


def _channels(together: Together, payment: Payment) -> list[str]:
    return [
        f"  {row.channel} {row.number[ID_LENGTH:]} ({row.method}): {row.state}, {row.paid} paid, {row.refunded} back"
        for row in together.rows(payment)
    ] or ["  the channels: no order of it"]


def _story(entries: list[dict[str, Any]]) -> list[str]:
    shown = [f"  {_clock(entry['at_ms'])} {entry['what']}{_rest(entry)}" for entry in entries]
    left_out = len(shown) - LINES_MAX
    return [f"  ({left_out} earlier)", *shown[-LINES_MAX:]] if left_out > 0 else shown


def _rest(entry: dict[str, Any]) -> str:
    words = [entry["attempt"].removeprefix("att_")[ID_LENGTH:] if "attempt" in entry else ""]
    for name, value in entry.items():
        if name not in QUIET and value not in ("", None, []):
            words.append(f"{name}={', '.join(value) if isinstance(value, list) else value}")
    return "".join(f" {word}" for word in words if word)


def _faults(together: Together) -> list[str]:
    shown = together.sandbox.faults.shown()
    waiting = [f"  {rule['fault']}: still to strike" for rule in shown["once"]]
    waiting += [f"  {fault}: in force" for fault in (*shown["rates"], *shown["on"])]
    struck = [f"  {fault}: struck {times} times" for fault, times in shown["struck"].items()]
    return ["faults", *struck, *waiting] if struck or waiting else []
