"""What commands share: settings, the loop, a centre to work on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from oncepay.config import Config
    from oncepay.engine.core import Engine

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., Any])


def as_json(command: Command) -> Command:
    """Give a command ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def settings(**changed: Any) -> Config:
    """The settings from the environment, some of them changed by the command line. Raises ConfigInvalid."""
    from oncepay.config import from_env

    environ = dict(os.environ)
    environ.update({f"ONCEPAY_{name.upper()}": str(value) for name, value in changed.items() if value is not None})
    return from_env(environ)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end, on uvloop where there is one."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)


@asynccontextmanager
async def opened(config: Config | None = None) -> AsyncIterator[Engine]:
    """An engine on the database of the settings, without loops of its own. The database must be migrated: a command
    that looks at something changes no tables."""
    import msgspec

    from oncepay.assembly import assemble, set_up_logging

    config = config or settings()
    set_up_logging(msgspec.structs.replace(config, log_level="WARNING"))
    centre = await assemble(config, migrate=False)
    try:
        yield centre.engine
    finally:
        await centre.stop(0)


def pairs(given: tuple[str, ...], option: str) -> dict[str, str]:
    """``name=value`` each. Raises BadParameter."""
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint=option)
        if name in found:
            raise click.BadParameter(f"{name} is given twice", param_hint=option)
        found[name] = value
    return found


def contents(given: Mapping[str, str], option: str) -> dict[str, str]:
    """The texts of files, by name, without a line feed at the end. Raises BadParameter."""
    found = {}
    for name, path in given.items():
        try:
            found[name] = Path(path).read_text(encoding="utf-8").rstrip("\n")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "is not text"
            raise click.BadParameter(f"{name}: {path}: {why}", param_hint=option) from None
    return found
