"""RSA as all three vendors use it: PKCS#1 v1.5 with SHA-256, signatures in base64, keys of 2048 bits in PEM."""

import base64
import binascii
import functools
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

PKCS1: Final = padding.PKCS1v15()
SHA256: Final = hashes.SHA256()


def new_key() -> rsa.RSAPrivateKey:
    """A fresh key: always of the system's dice, never of a seed."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@functools.cache
def stranger() -> rsa.RSAPrivateKey:
    """A key that belongs to nobody, to forge with. One is enough for a process: to make one takes as long as several
    hundred calls."""
    return new_key()


def sign_text(key: rsa.RSAPrivateKey, message: bytes) -> str:
    return base64.b64encode(key.sign(message, PKCS1, SHA256)).decode()


def verify_text(key: rsa.RSAPublicKey, message: bytes, signature: str) -> bool:
    try:
        key.verify(base64.b64decode(signature, validate=True), message, PKCS1, SHA256)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


@functools.lru_cache(maxsize=256)
def load_private(pem: str) -> rsa.RSAPrivateKey:
    # Our own keys: proving again that the primes are prime takes longer than the whole start.
    key = serialization.load_pem_private_key(pem.encode(), None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("the vendors' keys are RSA keys")
    return key


def private_pem(key: rsa.RSAPrivateKey) -> str:
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, plain).decode()


def public_pem(key: rsa.RSAPrivateKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()
