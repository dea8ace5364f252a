"""The example shops are what is said of them: short, and quoted word for word."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
SHOPS: Final = sorted((ROOT / "examples").glob("shop_*"))
LINES_MAX: Final = 200


def programs(shop: Path) -> list[str]:
    """What a person wrote of a shop: all but its migrations, which Django writes."""
    return [path.read_text("utf-8") for path in shop.rglob("*.py") if path.parent.name != "migrations"]


def test_there_are_three() -> None:
    assert [shop.name for shop in SHOPS] == ["shop_django", "shop_fastapi", "shop_flask"]


@pytest.mark.parametrize("shop", SHOPS, ids=lambda shop: shop.name)
def test_each_is_under_two_hundred_lines(shop: Path) -> None:
    assert sum(text.count("\n") for text in programs(shop)) < LINES_MAX


def words(text: str) -> str:
    """A program without its indentation, which is less in a quotation."""
    return "\n".join(line.strip() for line in text.splitlines())


def test_the_guide_quotes_them() -> None:
    page = (ROOT / "docs" / "integrate" / "shops.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    written = [words(text) for shop in SHOPS for text in programs(shop)]
    assert len(blocks) > 5
    assert [block for block in blocks if not any(words(block) in text for text in written)] == []
