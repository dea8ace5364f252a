"""Somebody else's text, as it may be shown to people: in a terminal or a log it is only ever words."""

from __future__ import annotations

import unicodedata
from typing import Final

# Controls move the cursor and write over what stands there; line separators begin lines that look like ours; marks of
# direction turn the order of letters and amounts around. (Blanks of other widths are words' own.)
_ACTING: Final = frozenset({"Cc", "Cf", "Zl", "Zp"})


def shown(text: str) -> str:
    """The text with whatever acts in it written out.

    >>> shown("茶杯\\u3000é 88.00"), shown("Tea\\x1b[1A\\npaid")
    ('茶杯\\u3000é 88.00', 'Tea\\\\x1b[1A\\\\npaid')
    """
    if text.isprintable():
        return text
    return "".join(c.encode("unicode_escape").decode() if unicodedata.category(c) in _ACTING else c for c in text)
