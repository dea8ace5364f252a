"""Exit codes: the families of errors, mapped once.

====  ========================================================================================================
0     done
1     refused, or it failed; also: a check of ``doctor`` or a story of ``demo`` failed, ``drill`` was not green
2     the command line or a value in it is wrong
3     there is no such thing
4     it clashes with what is already there
5     not available now: repeat later (the database, the channel, too much to do)
6     the settings, the master key or the database (its settings, rights or file) must be mended first
130   interrupted (Ctrl-C)
====  ========================================================================================================
"""

from __future__ import annotations

from typing import Final

from oncepay.domain import errors

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
ABSENT: Final = 3
CONFLICT: Final = 4
UNAVAILABLE: Final = 5
SETTINGS: Final = 6
INTERRUPTED: Final = 130

FAMILIES: Final[dict[type[BaseException], int]] = {
    errors.OncepayError: FAILED,
    errors.Invalid: USAGE,
    errors.Absent: ABSENT,
    errors.Unauthorized: FAILED,
    errors.Conflict: CONFLICT,
    errors.Busy: UNAVAILABLE,
    errors.Unavailable: UNAVAILABLE,
    errors.ChannelRefused: FAILED,
    errors.ChannelSilent: UNAVAILABLE,
}


def code_of(error: BaseException) -> int:
    """The exit code of an error: of its nearest family."""
    families = {**FAMILIES, **_of_the_start()}
    return next((families[family] for family in type(error).__mro__ if family in families), FAILED)


def sentence(error: BaseException) -> str:
    """One line for people."""
    return " ".join(_words(error).split())


def _words(error: BaseException) -> str:
    if isinstance(error, errors.OncepayError):
        return error.detail
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if code_of(error) != FAILED:
        return str(error)
    return f"{type(error).__name__}: {error} (--debug shows where)"


def _of_the_start() -> dict[type[BaseException], int]:
    """What is said before anything starts; imported late, since it lives next to heavy things."""
    from oncepay.config import ConfigInvalid
    from oncepay.engine.vault import VaultRefused
    from oncepay.store.refusals import StartRefused

    return {ConfigInvalid: SETTINGS, VaultRefused: SETTINGS, StartRefused: SETTINGS}
