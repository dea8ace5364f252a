"""Putting one function in the place of another, wherever it was imported: for stand-ins and for planted bugs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


def places_of(original: Callable[..., Any]) -> list[tuple[ModuleType, str]]:
    """Every module of ours that knows a function, and by which name. Raises LookupError when none does: then to patch
    it would prove nothing."""
    places = [
        (module, name)
        for where, module in list(sys.modules.items())
        if where == "oncepay" or where.startswith("oncepay.")
        for name, value in list(vars(module).items())
        if value is original
    ]
    if not places:
        raise LookupError(f"no module knows {original!r}")
    return places


@contextmanager
def instead(
    original: Callable[..., Any], other: Callable[..., Any], places: list[tuple[ModuleType, str]] | None = None
) -> Iterator[None]:
    """While it lasts, every module of ours calls ``other`` for ``original``, by whatever name. ``places``: those, when
    they are known. Raises LookupError."""
    places = places or places_of(original)
    for module, name in places:
        setattr(module, name, other)
    try:
        yield
    finally:
        for module, name in places:
            setattr(module, name, original)


@contextmanager
def attribute(owner: Any, name: str, other: Any) -> Iterator[None]:
    """The same for one attribute of a class, a module or an object."""
    original = getattr(owner, name)
    setattr(owner, name, other)
    try:
        yield
    finally:
        setattr(owner, name, original)
