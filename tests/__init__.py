"""Tests by what they prove; ``servers`` and ``conftest`` are what they share."""
