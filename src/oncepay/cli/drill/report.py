"""What a drill leaves: a page of Markdown, a page of HTML with charts, and the one line for programs."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from oncepay.cli.drill.run import Told

SHOWN_MAX: Final = 20
WIDTH: Final = 960
HEIGHT: Final = 180  # a row for each of the colours
COLOURS: Final = {
    "kill": "#c0392b", "stop": "#8e44ad", "drop connections": "#2980b9", "cut a commit": "#16a085",
    "fill disk": "#d35400", "wipe": "#27ae60", "jump clock": "#7f8c8d", "shut": "#b7950b", "ended by itself": "#000",
}  # fmt: skip


def summary(told: Told) -> dict[str, Any]:
    """For programs."""
    money = told.audit.get("money", {}).get("CNY", {})
    return {
        "green": told.green,
        "seconds": told.seconds,
        "seed": told.seed,
        "orders": told.seen["orders"],
        "kills": sum(told.kills.values()),
        "kills_by": told.kills,
        "deeds": dict(Counter(deed.what for deed in told.deeds)),
        "unknown_commits": {**msgspec.structs.asdict(told.commits), "unasked": told.commits.unasked},
        "wrong": len(told.wrong),
        "findings": len(told.audit["findings"]),
        "came_minor": money.get("came", 0),
        "kept_minor": money.get("kept", 0),
        "skipped": told.skipped,
        "goals": told.goals,
    }


def markdown(told: Told) -> str:
    """The report."""
    return "\n".join(_lines(told)) + "\n"


def _lines(told: Told) -> Iterable[str]:
    yield f"# A drill of {told.seconds / 60:g} minutes, seed {told.seed}: {'green' if told.green else 'RED'}"
    yield ""
    yield f"{told.seen['orders']} orders. At the end the channels' books, the API, the shop's books and `oncepay audit`"
    yield "agree to the fen." if not told.wrong and not told.audit["findings"] else "DO NOT AGREE."
    yield ""
    yield from _table("goal", [(name, "reached" if reached else "MISSED") for name, reached in told.goals.items()])
    yield from _table("killed with -9", [*sorted(told.kills.items()), ("all", sum(told.kills.values()))])
    did = Counter(f"{deed.what}: {deed.whom}" for deed in told.deeds if deed.what != "kill")
    yield from _table("done besides", sorted(did.items()))
    yield from _table("commits whose answer was lost", _of_commits(told))
    yield from _table("what happened", sorted(told.seen.items()))
    yield from _table("audit", [(rule, count or "holds") for rule, count in told.audit.get("rules", {}).items()])
    yield from (f"Skipped: {why}" for why in told.skipped)
    yield from (f"WRONG {text}" for text in told.wrong[:SHOWN_MAX])
    yield from (f"FOUND {finding}" for finding in told.audit["findings"][:SHOWN_MAX])


def _of_commits(told: Told) -> list[tuple[str, object]]:
    commits = told.commits
    return [
        ("commits without an answer", commits.commits),
        ("changes in them", commits.changes),
        ("asked by key, and it was stored", commits.stored),
        ("asked by key, not stored, decided again", commits.decided_again),
        ("not answered in time: the caller was told that it is unknown, and repeats by its key", commits.told_unknown),
        ("its process was killed while it asked: due for another", commits.unasked),
    ]


def _table(name: str, rows: Sequence[tuple[object, object]]) -> Iterable[str]:
    if rows:
        yield f"| {name} | |"
        yield "| --- | ---: |"
        yield from (f"| {what} | {value} |" for what, value in rows)
        yield ""


# -- the page ------------------------------------------------------------------------------------------------------


def page(told: Told) -> str:
    """The same with charts, in one file that needs nothing else."""
    end = max((sample.at_s for sample in told.samples), default=1.0)
    doubt = [(s.at_s, float(max(0, s.taken - s.heard))) for s in told.samples]
    before = 0
    pace = []
    for sample in told.samples:
        pace.append((sample.at_s, float(sample.heard - before)))
        before = sample.heard
    alive = [(s.at_s, float(s.alive)) for s in told.samples]
    charts = [
        ("Payments taken by a channel of which the shop has not heard yet", _line(doubt, end)),
        ("Payments of which the shop heard, each second", _line(pace, end)),
        ("Processes alive", _line(alive, end)),
        ("What the monkey did", _marks(told, end)),
    ]
    body = "".join(f"<h2>{html.escape(title)}</h2>{chart}" for title, chart in charts)
    legend = " ".join(f'<span style="color:{colour}">&#9632; {name}</span>' for name, colour in COLOURS.items())
    return (
        "<!doctype html><meta charset=utf-8><title>A drill</title><style>body{font:15px/1.5 sans-serif;margin:2em auto;"
        f"max-width:{WIDTH}px}}svg{{background:#f7f7f7}}pre{{white-space:pre-wrap}}</style>"
        f"<h1>{'Green' if told.green else 'RED'}</h1>{body}<p>{legend}</p><pre>{html.escape(markdown(told))}</pre>"
    )


def _line(points: Sequence[tuple[float, float]], end: float) -> str:
    top = max((value for _, value in points), default=0.0) or 1.0
    path = " ".join(f"{at / end * WIDTH:.1f},{HEIGHT - value / top * (HEIGHT - 16):.1f}" for at, value in points)
    drawn = f'<polyline fill="none" stroke="#2c3e50" points="{path}"/><text x="4" y="12">{top:g}</text>'
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}">{drawn}</svg>'


def _marks(told: Told, end: float) -> str:
    rows = list(COLOURS)
    drawn = "".join(
        f'<rect x="{deed.at_s / end * WIDTH:.1f}" y="{8 + 18 * rows.index(deed.what)}" height="12" '
        f'width="{max(2.0, deed.lasted_s / end * WIDTH):.1f}" fill="{COLOURS[deed.what]}"/>'
        for deed in told.deeds
        if deed.what in COLOURS
    )
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}">{drawn}</svg>'
