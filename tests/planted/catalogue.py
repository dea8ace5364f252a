"""All of them, by the room of the house in which they are planted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.planted import core, doors, loop, postgres, store
from tests.planted.bug import Bug

ROOMS: Final[Mapping[str, tuple[Bug, ...]]] = {
    "core": core.BUGS,
    "loop": loop.BUGS,
    "doors": doors.BUGS,
    "store": store.BUGS,
    "postgres": postgres.BUGS,
}
