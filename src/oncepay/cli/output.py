"""Printing data: JSON for programs, tables for people. What apps and channels wrote is printed as words only: it must
not forge a line of ours in an operator's terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import click
import msgspec

from oncepay.domain.texts import shown

PLAIN_WIDTH: Final = 10_000  # a pipe has no edge at which to cut


def print_json(data: object) -> None:
    """One JSON document, readable."""
    click.echo(msgspec.json.format(msgspec.json.encode(data), indent=2).decode())


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """A table, or a sentence when there is nothing to show."""
    if not rows:
        click.echo(empty)
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if cell is None else shown(str(cell))) for cell in row))
    if sys.stdout.isatty():
        Console(highlight=False).print(table)
        return
    console = Console(width=PLAIN_WIDTH, highlight=False)
    with console.capture() as text_of:
        console.print(table)
    for line in text_of.get().splitlines():
        click.echo(line.rstrip())


def print_fields(fields: Sequence[tuple[str, object]]) -> None:
    """Names and values, one a line."""
    width = max(len(name) for name, _ in fields)
    for name, value in fields:
        click.echo(f"{name.ljust(width)}  {'' if value is None else shown(str(value))}")


def when(at_ms: int | None) -> str:
    """A time for people, UTC.

    >>> when(1_800_000_000_123)
    '2027-01-15 08:00:00.123'
    >>> when(0)
    '-'
    """
    if not at_ms:
        return "-"
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.") + f"{at_ms % 1000:03d}"


def span(seconds: float) -> str:
    """A length of time for people.

    >>> [span(s) for s in (-3, 0.4, 59, 61, 3600, 90_000)]
    ['now', 'now', '59 s', '1 min 1 s', '1 h', '1 d 1 h']
    """
    if seconds < 1:
        return "now"
    left, words = int(seconds), []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            words.append(f"{count} {unit}")
    return " ".join(words[:2])


def money(minor: int, currency: str) -> str:
    """Minor units as people write them.

    >>> money(8800, "CNY"), money(500, "JPY")
    ('88.00 CNY', '500 JPY')
    """
    from oncepay.domain.money import decimal_text

    return f"{decimal_text(minor, currency)} {currency}"
