"""The guards' SQL in the words of each database and each driver: the only place that knows how they differ.

Statements stand in ``sql/statements.sql``, named, with ``:name`` for parameters; tables in
``sql/tables.<dialect>.sql``.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Final, Literal, NamedTuple

Dialect = Literal["postgresql", "sqlite", "mysql"]  # MariaDB counts as mysql
Style = Literal["qmark", "format", "named", "dollar"]  # ?, %s, :name, $1

_SQL: Final = files("oncepay.client.guards").joinpath("sql")
_NAMED: Final = re.compile(r"^-- name: (\w+)\n(?:-- [^\n]*\n)+(.*?);$", re.MULTILINE | re.DOTALL)
_PARAMETER: Final = re.compile(r":([a-z]\w*)")
_COMMENT: Final = re.compile(r"^--.*\n", re.MULTILINE)

_ON_CONFLICT: Final = {"if_absent": "ON CONFLICT DO NOTHING", "or_update": "ON CONFLICT (order_no) DO UPDATE SET"}
_WORDS: Final[dict[Dialect, dict[str, str]]] = {
    "postgresql": {**_ON_CONFLICT, "locked": "FOR UPDATE", "greater": "GREATEST"},
    "sqlite": {**_ON_CONFLICT, "locked": "", "greater": "MAX"},  # it has one writer at a time, who holds all
    # INSERT IGNORE would share its lock of a row that is there, and two who then want to change it block each other.
    "mysql": {
        "if_absent": "ON DUPLICATE KEY UPDATE repeats = repeats + 1",
        "or_update": "ON DUPLICATE KEY UPDATE",
        "locked": "FOR UPDATE",
        "greater": "GREATEST",
    },
}


class Text(NamedTuple):
    """A statement as a driver takes it. ``names``: of its parameters, in the order in which it wants them."""

    sql: str
    names: tuple[str, ...]


@cache
def text_of(name: str, dialect: Dialect, style: Style) -> Text:
    """The statement of that name."""
    sql = _statements()[name].format_map(_WORDS[dialect]).rstrip()
    names = tuple(_PARAMETER.findall(sql))
    if style == "named":
        return Text(sql, tuple(dict.fromkeys(names)))
    if style == "dollar":
        names = tuple(dict.fromkeys(names))
        return Text(_PARAMETER.sub(lambda found: f"${names.index(found[1]) + 1}", sql), names)
    return Text(_PARAMETER.sub("?" if style == "qmark" else "%s", sql), names)


def tables(dialect: Dialect) -> str:
    """The statements that make the guards' tables, for your migrations. Running them again changes nothing."""
    return _SQL.joinpath(f"tables.{dialect}.sql").read_text("utf-8")


@cache
def table_statements(dialect: Dialect) -> tuple[str, ...]:
    """The same, one by one and without comments."""
    return tuple(text.strip() for text in _COMMENT.sub("", tables(dialect)).split(";") if text.strip())


@cache
def _statements() -> dict[str, str]:
    return dict(_NAMED.findall(_SQL.joinpath("statements.sql").read_text("utf-8")))
