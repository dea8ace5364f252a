"""Secrets at rest: AES-256-GCM under a master key that is never in the database, bound to the row they belong to."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from hashlib import sha256

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from oncepay.domain.errors import OncepayError

_VERSION = "v1"


class VaultRefused(OncepayError):
    """The master key is missing or not the one that sealed this; the centre does not guess."""

    code, title = "vault_refused", "A secret cannot be opened with this master key."


class Vault:
    """Seals and opens. ``master_key``: 32 bytes; ``token``: random text for nonces."""

    def __init__(self, master_key: bytes, token: Callable[[], str]) -> None:
        if len(master_key) != 32:
            raise VaultRefused("the master key must be 32 bytes (base64)")
        self._aead = AESGCM(master_key)
        self._token = token

    def seal(self, table: str, row: str, secrets: Mapping[str, str]) -> str:
        """Encrypted for this row alone: moved to another row it does not open."""
        nonce = sha256(self._token().encode()).digest()[:12]
        sealed = self._aead.encrypt(nonce, msgspec.json.encode(secrets), _about(table, row))
        return f"{_VERSION}.{base64.b64encode(nonce + sealed).decode()}"

    def open(self, table: str, row: str, sealed: str) -> dict[str, str]:
        """Raises VaultRefused."""
        version, _, text = sealed.partition(".")
        try:
            raw = base64.b64decode(text, validate=True)
            plain = self._aead.decrypt(raw[:12], raw[12:], _about(table, row))
        except (InvalidTag, binascii.Error, ValueError):
            raise VaultRefused(f"the secrets of {table} {row} ({version}) do not open with this master key") from None
        return msgspec.json.decode(plain, type=dict[str, str])


def _about(table: str, row: str) -> bytes:
    return f"{table}|{row}|secrets|{_VERSION}".encode()
