"""What a planted bug is, and how it is told whether it was caught."""

from __future__ import annotations

from typing import NamedTuple

from oncepay.testing.edits import Plant

ASSERTED = ("AssertionError", "Failed")  # "Failed": pytest's own, where what should have been raised was not


class Bug(NamedTuple):
    """``name``: what the centre does with it. ``breaks``: the promise, in the words of docs/promises.md. ``test``: which
    of our tests must fail then. ``fails``: with what."""

    name: str
    breaks: str
    test: str
    plant: Plant
    fails: tuple[str, ...] = ASSERTED


class Found(NamedTuple):
    """How a bug was caught. ``test``: the one that failed, "" if none did. ``error``: of which type. ``words``: what it
    said, its first line."""

    bug: Bug
    test: str = ""
    error: str = ""
    words: str = ""

    @property
    def caught(self) -> bool:
        """By its test, for what it looks for: not by an error of the bug's own."""
        return bool(self.test) and self.error in self.bug.fails
