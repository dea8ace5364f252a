"""What the centre proves itself with, shipped so that its users can, too.

Names are looked up when they are used: pytest loads the plugin of this package into every run of everybody who has it
installed, and that must cost nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oncepay.testing.conformance import About, ChannelBroken, ChannelKit, Complaint, Said, Seal, exercise_channel
    from oncepay.testing.handle import Oncepay, Unpayable, WrongThread, open_oncepay

__all__ = [
    "About",
    "ChannelBroken",
    "ChannelKit",
    "Complaint",
    "Oncepay",
    "Said",
    "Seal",
    "Unpayable",
    "WrongThread",
    "exercise_channel",
    "open_oncepay",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room = "handle" if name in {"Oncepay", "Unpayable", "WrongThread", "open_oncepay"} else "conformance"
    return getattr(import_module(f"{__name__}.{room}"), name)
