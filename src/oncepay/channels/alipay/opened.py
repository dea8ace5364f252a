"""An account with its keys parsed."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from oncepay.channels.alipay.keys import Verifier
from oncepay.ports import Account


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """An account with its keys parsed."""

    account: Account
    app_id: str
    seller_id: str
    signer: RSAPrivateKey
    verifiers: Mapping[str, Verifier]  # by serial number; that of a public key without a certificate is ""
    certificates: tuple[x509.Certificate, ...]  # the vendor's, with those of the authorities between
    roots: tuple[x509.Certificate, ...]
    base_urls: tuple[str, ...]
    serials: Mapping[str, str]  # parameters of every request in certificate mode
