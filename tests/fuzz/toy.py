"""A reader with a fault that nobody meets by chance: eight characters, each of which alone leads one step further."""

from __future__ import annotations

from typing import Final

DEPTH: Final = 8


class Planted(Exception):
    """The fault."""


def read(data: bytes) -> int:
    """Of each byte only four bits count, each its own. Raises Planted."""
    if len(data) < DEPTH or data[0] & 15 != 3:
        return 0
    if data[1] & 15 != 14:
        return 1
    if data[2] & 15 != 1:
        return 2
    if data[3] & 15 != 9:
        return 3
    if data[4] & 15 != 7:
        return 4
    if data[5] & 15 != 12:
        return 5
    if data[6] & 15 != 2:
        return 6
    if data[7] & 15 != 11:
        return 7
    raise Planted("planted")
