"""What the guards do in a database, written once: a script asks for statements and is told what came of them. A link
carries it out, waiting for each statement or awaiting it.

A script is a generator, so it does not know what kind of connection it runs on, and neither opens nor ends the
transaction that it runs in: that is the app's.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Final, NamedTuple, TypeVar

T = TypeVar("T")

TRIES_MAX: Final = 3  # when others take away what is looked for

Value = int | str
Row = Sequence[Any]


class Do(NamedTuple):
    """One statement. ``reads``: answer its rows, else how many rows it changed."""

    statement: str
    values: dict[str, Value]
    reads: bool


Script = Generator[Do, Any, T]


def change(statement: str, **values: Value) -> Script[int]:
    """Carry out a statement that writes; how many rows it changed. A row that was there counts as 2 on MySQL."""
    count: int = yield Do(statement, values, reads=False)
    return count


def rows(statement: str, **values: Value) -> Script[list[Row]]:
    """Carry out a statement that reads; its rows."""
    found: list[Row] = yield Do(statement, values, reads=True)
    return found
