"""Ways to plant a bug: other words in a function or in a statement, another value. Each is taken back in the end, and
each raises LookupError when what it replaces is no longer there: a bug that changes nothing proves nothing."""

from __future__ import annotations
import __future__

import ast
import gc
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import CodeType, FunctionType
from typing import Any
from unittest.mock import patch

from oncepay.store import statements

Plant = Callable[[], AbstractContextManager[object]]


def edit(function: Any, *words: str) -> Plant:
    """The function with other words: old, new, old, new. Each old one stands in it exactly once. Whoever has the
    function already, by whatever name, runs the other one too: its code is exchanged, not its name."""

    @contextmanager
    def plant() -> Iterator[None]:
        target = _function(function)
        text = textwrap.dedent("".join(inspect.getsourcelines(target)[0]))
        for old, new in zip(words[::2], words[1::2], strict=True):
            text = _replaced(text, old, new, target.__qualname__)
        was = target.__code__
        target.__code__ = _compiled(text, target)
        try:
            yield
        finally:
            target.__code__ = was

    return plant


def sql(place: str, name: str, old: str, new: str) -> Plant:
    """A statement below ``sql/<place>`` with other words."""

    def plant() -> AbstractContextManager[object]:
        stack = ExitStack()
        for loaded in {place, place.partition("/")[0]}:  # each is read once and remembered
            texts: Any = statements.load(loaded)
            stack.enter_context(patch.dict(texts, {name: _replaced(texts[name], old, new, name)}))
        return stack

    return plant


def put(name: str, value: object) -> Plant:
    """Another value in the place of the one that a dotted name stands for."""
    return lambda: patch(name, value)


def both(*plants: Plant) -> Plant:
    """All of them at once."""

    @contextmanager
    def plant() -> Iterator[None]:
        with ExitStack() as stack:
            for one in plants:
                stack.enter_context(one())
            yield

    return plant


def entry(table: Any, key: Any, value: object) -> Plant:
    """Another value under a key of a table."""

    def plant() -> AbstractContextManager[object]:
        if key not in table:
            raise LookupError(f"there is no {key!r}")
        return patch.dict(table, {key: value})

    return plant


def _function(given: Any) -> FunctionType:
    found: Any = inspect.unwrap(given)
    return getattr(found, "__func__", found)  # type: ignore[no-any-return]


def _replaced(text: str, old: str, new: str, where: str) -> str:
    """However the old words are broken into lines."""
    found = list(re.finditer(r"\s+".join(map(re.escape, old.split())), text))
    if len(found) != 1:
        raise LookupError(f"{old!r} stands {len(found)} times in {where}")
    return text[: found[0].start()] + new + text[found[0].end() :]


@contextmanager
def _no_collection() -> Iterator[None]:
    """What a bug left behind may not be collected now: CPython 3.11 cannot read a program while it reads another, which
    the end of a coroutine may do ("AST constructor recursion depth mismatch")."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@_no_collection()
def _compiled(text: str, target: FunctionType) -> CodeType:
    """The code of the function that the text defines, as if it stood where the old one does. Names of a function around
    it become arguments of one around the new, so that it finds what they hold."""
    tree = ast.parse(text)
    ast.increment_lineno(tree, target.__code__.co_firstlineno - 1)
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef)
    definition.decorator_list.clear()
    if target.__code__.co_freevars:
        around = ast.parse(f"def around({', '.join(target.__code__.co_freevars)}): pass").body[0]
        assert isinstance(around, ast.FunctionDef)
        around.body = [definition]
        tree.body = [around]
    flags = __future__.annotations.compiler_flag
    code = compile(ast.fix_missing_locations(tree), target.__code__.co_filename, "exec", flags, dont_inherit=True)
    return next(_codes(code, target.__name__))


def _codes(code: CodeType, name: str) -> Iterator[CodeType]:
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            if inner.co_name == name:
                yield inner
            yield from _codes(inner, name)
