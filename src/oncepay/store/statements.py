"""SQL lives in ``.sql`` files: each statement with its name, its purpose, and what would go wrong otherwise.

A file holds statements, each headed by ``-- name: the_name`` and a comment of at least one line. Parameters are
``:name`` in the files, so a statement can be pasted into a shell; a driver that only knows numbers asks ``numbered``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

SQL: Final = files("oncepay.store").joinpath("sql")

_HEAD = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_PARAMETER = re.compile(r"(?<![:\w]):([a-z]\w*)")  # not the second colon of a cast


@cache
def load(place: str) -> Mapping[str, str]:
    """The statements below ``sql/<place>`` (a folder, or one file), by name. Raises ValueError for one that has no
    purpose or a name that was used before."""
    found: dict[str, str] = {}
    for file in _files(SQL.joinpath(place)):
        for name, text in parse(file.read_text(encoding="utf-8")):
            if name in found:
                raise ValueError(f"{place}: two statements are called {name}")
            found[name] = text
    return found


def parse(text: str) -> Iterator[tuple[str, str]]:
    """The named statements of one file."""
    parts = _HEAD.split(text)
    if parts[0].strip():
        raise ValueError("text before the first name")
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        lines = body.strip().splitlines()
        if not lines or not lines[0].startswith("-- "):
            raise ValueError(f"{name} does not say what it is for")
        while lines and lines[0].startswith("--"):
            del lines[0]
        yield name, "\n".join(lines).rstrip().removesuffix(";")


def numbered(text: str) -> tuple[str, tuple[str, ...]]:
    """The text with ``$1``, ``$2`` ... for its parameters, and their names in that order.

    >>> numbered("UPDATE payment SET due_ms = :due_ms::bigint WHERE id = :id AND due_ms < :due_ms")
    ('UPDATE payment SET due_ms = $1::bigint WHERE id = $2 AND due_ms < $1', ('due_ms', 'id'))
    """
    names: list[str] = []

    def number(found: re.Match[str]) -> str:
        if found[1] not in names:
            names.append(found[1])
        return f"${names.index(found[1]) + 1}"

    return _PARAMETER.sub(number, text), tuple(names)


def _files(place: Traversable) -> list[Traversable]:
    if place.is_file():
        return [place]
    return sorted((file for file in place.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
