"""``oncepay audit``: whether the money of an installation is as was promised."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from oncepay.cli import exits
from oncepay.cli.common import as_json, opened, run
from oncepay.cli.output import money, print_json, print_table

if TYPE_CHECKING:
    from oncepay.engine.audit import BookRow, Report, Wanted

SHOWN_MAX: Final = 50
COLUMNS: Final = frozenset({"number", "paid", "refunded"})
DAY: Final = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])
SAYS: Final = {
    "work": "somebody does what is due",
    "order": "an order has one payment",
    "money": "kept = what came in - what went back; other money goes back whole",
    "paid": "paid by an attempt of what was owed; closed when nothing can pay",
    "ceiling": "of no attempt more goes back than came in",
    "refunds": "a refund goes out once, and is done when it did",
    "attempts": "numbers are the payment's own, each once",
    "evidence": "what succeeded was said to, and what moved is counted",
    "versions": "versions without gaps, each with its event; the last tells what is",
    "deliveries": "each event is on its way, has arrived, or is parked",
    "overdue": "nothing waits for long",
    "books": "the channel's books say the same, by number",
}


@click.command(short_help="Hold all payments against what was promised.")
@click.option("--books", "books", type=click.Path(exists=True, dir_okay=False), help="A channel's rows: JSON or CSV.")
@click.option("--partial", is_flag=True, help="The books do not name everything: only what they name is compared.")
@click.option("--since", type=DAY, help="Only payments created from this day on (UTC).")
@click.option("--until", type=DAY, help="Only payments created before this day (UTC).")
@click.option("--late", default=600, show_default=True, type=click.IntRange(1), help="Seconds something may be due.")
@as_json
def audit(
    *, books: str | None, partial: bool, since: datetime | None, until: datetime | None, late: int, as_json: bool
) -> None:
    """Hold every payment against what must always hold. It only reads; the centre may run or not.

    FILE of --books: rows with number, paid and refunded in minor units, as JSON (a list, or {"orders": [...]} as the
    sandbox has it at /sandbox/books) or as CSV with these columns. Exit code 1 when something does not hold.
    """
    from oncepay.engine.audit import Wanted

    if since is not None and until is not None and since >= until:
        raise click.BadParameter("nothing is made from --since on and before it", param_hint="--until")
    wanted = Wanted(
        since_ms=_ms(since),
        until_ms=_ms(until),
        late_ms=late * 1000,
        books=None if books is None else {row.number: row for row in read_books(Path(books))},
        complete=not partial,
    )
    report = run(_examine(wanted))
    if as_json:
        print_json(_shown(report))
    else:
        _print(report)
    if report.findings:
        raise SystemExit(exits.FAILED)


async def _examine(wanted: Wanted) -> Report:
    from oncepay.engine.audit import audit as examine

    async with opened() as engine:
        return await examine(engine.ledger, wanted, engine.clock.now_ms())


def read_books(path: Path) -> Iterator[BookRow]:
    """The rows of a file. Raises BadParameter."""
    import msgspec

    from oncepay.engine.audit import BookRow

    try:
        text = path.read_text(encoding="utf-8-sig")
        if text.lstrip()[:1] in {"[", "{"}:
            found = json.loads(text)
            rows = found["orders"] if isinstance(found, dict) else found
        else:
            reader = csv.DictReader(text.splitlines())
            rows = list(reader)
            _check_columns(reader.fieldnames or (), rows)
        _check_names(rows)
        # Spreadsheets say numbers as text, and each number stands there once.
        read = [msgspec.convert(row, BookRow, strict=False) for row in rows]
    except RecursionError:
        raise click.BadParameter(f"{path}: it is nested too deeply", param_hint="--books") from None
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise click.BadParameter(f"{path}: {error}", param_hint="--books") from None
    doubled = {row.number for row in read}
    if len(doubled) != len(read):
        raise click.BadParameter(f"{path}: a number stands there twice", param_hint="--books")
    yield from read


def _check_columns(names: Sequence[str], rows: list[dict[str, Any]]) -> None:
    """A column that is not read may be the one that says what went back. Raises ValueError."""
    if not {"number", "paid"} <= set(names):
        raise ValueError("no columns number and paid")
    unknown = [name for name in names if name not in COLUMNS]
    if unknown:
        raise ValueError(f"column {unknown[0]!r} is none of number, paid and refunded; leave it out or rename it")
    if any(None in row for row in rows):
        raise ValueError("a row has more cells than there are columns")


def _check_names(rows: list[Any]) -> None:
    """JSON may say more than is read, but not the same by another spelling. Raises ValueError."""
    for row in rows:
        for name in row if isinstance(row, dict) else ():
            if name not in COLUMNS and name.strip().lower() in COLUMNS:
                raise ValueError(f"{name!r} is to be written {name.strip().lower()!r}")


def _ms(day: datetime | None) -> int:
    return 0 if day is None else int(day.replace(tzinfo=UTC).timestamp() * 1000)


def _shown(report: Report) -> dict[str, Any]:
    import msgspec

    return {
        "payments": report.payments,
        "money": {name: {**msgspec.structs.asdict(m), "kept": m.kept} for name, m in report.money.items()},
        "books": report.books,
        "rules": {name: report.broken()[name] for name in _rules(report)},
        "findings": report.findings,
    }


def _rules(report: Report) -> list[str]:
    from oncepay.engine.audit import ALL

    return [name for name in ALL if name != "books" or report.books is not None]


def _print(report: Report) -> None:
    broken = report.broken()
    rows = [(name, SAYS[name], broken[name] or "ok") for name in _rules(report)]
    print_table(("rule", "what must hold", "broken"), rows, empty="")
    click.echo()
    sums = [
        (name, *(money(minor, name) for minor in (m.came, m.back, m.going_back, m.kept)))
        for name, m in sorted(report.money.items())
    ]
    print_table(("", "came in", "back", "of that on its way", "kept"), sums, empty="No money has moved.")
    click.echo()
    if report.findings:
        found = [(f.rule, f.payment or "-", f.order_no, f.text) for f in report.findings[:SHOWN_MAX]]
        print_table(("broken", "payment", "order", "found"), found, empty="")
        click.echo()
    click.echo(_verdict(report))


def _verdict(report: Report) -> str:
    total = sum(report.payments.values())
    what = ", ".join(f"{count} {status}" for status, count in sorted(report.payments.items()))
    looked = f"{total} payments ({what})" if total else "no payments"
    if report.books is not None:
        looked += f", {report.books} numbers of the books"
    more = len(report.findings) - SHOWN_MAX
    if not report.findings:
        return f"Looked at {looked}: all holds."
    return f"Looked at {looked}: {len(report.findings)} findings" + (f", {more} not shown." if more > 0 else ".")
