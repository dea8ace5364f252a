"""Secrets at rest: each opens with its own key, in its own row, and nowhere else."""

from __future__ import annotations

import pytest

from oncepay.engine.vault import Vault, VaultRefused

SECRETS = {"key": "of the merchant"}


def vault(key: bytes = b"k" * 32) -> Vault:
    return Vault(key, lambda: "t" * 32)


def test_what_was_sealed_opens() -> None:
    sealed = vault().seal("account", "wx", SECRETS)
    assert "merchant" not in sealed
    assert vault().open("account", "wx", sealed) == SECRETS


@pytest.mark.parametrize("place", [("account", "wx2"), ("endpoint", "wx")])
def test_a_secret_that_was_moved_to_another_row_does_not_open(place: tuple[str, str]) -> None:
    """Who can write into the database could else let one merchant sign with another's key."""
    sealed = vault().seal("account", "wx", SECRETS)
    with pytest.raises(VaultRefused):
        vault().open(*place, sealed)


def test_another_master_key_opens_nothing() -> None:
    with pytest.raises(VaultRefused):
        vault(b"x" * 32).open("account", "wx", vault().seal("account", "wx", SECRETS))


@pytest.mark.parametrize("key", [b"", b"k" * 31, b"k" * 33])
def test_a_master_key_is_32_bytes(key: bytes) -> None:
    with pytest.raises(VaultRefused):
        vault(key)
