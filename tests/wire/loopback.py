"""Real servers on loopback that misbehave to order, and certificates for them."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import standardwebhooks
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from oncepay.testing.ports import free_port

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(talk: Talk, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that holds ``talk`` with whoever connects; yields its port. Conversations end with the block."""
    talks: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await talk(reader, writer)
        finally:
            talks.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(one, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(talks):
            task.cancel()
        if talks:
            await asyncio.wait(talks)
        await asyncio.sleep(0)


async def read_request(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes]:
    """One request: its first line, its headers (names in lower case), its body."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    return first, headers, await reader.readexactly(int(headers.get("content-length", "0")))


def answer(status: int, body: bytes = b"", *headers: str) -> bytes:
    """The bytes of a plain answer."""
    lines = [f"HTTP/1.1 {status} Said", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def saying(*answers: bytes) -> Talk:
    """Read a request, say the next of ``answers``; the last is said for ever."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        turn = 0
        while True:
            await read_request(reader)
            writer.write(answers[min(turn, len(answers) - 1)])
            await writer.drain()
            turn += 1

    return talk


def closed_port() -> int:
    """A port on which nobody listens, and that nobody is given."""
    return free_port()


class Names:
    """A name server of our own: each look-up of a name takes the next of its lists of addresses, the last for ever."""

    def __init__(self, **names: list[list[str]]) -> None:
        self.names = {name.replace("_", "."): lists for name, lists in names.items()}
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int = 0) -> Sequence[str]:
        """As the client asks."""
        self.asked.append(host)
        if host not in self.names:
            raise OSError(None, "no such name")
        lists = self.names[host]
        return lists.pop(0) if len(lists) > 1 else lists[0]


class Certificates:
    """An authority and the server contexts that it vouches for, or does not."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "oncepay tests")])
        self._authority = self._sign(self._name, self._key, days=1, ca=True)
        self._serial = 0

    def client(self) -> ssl.SSLContext:
        """Trusts this authority too."""
        context = ssl.create_default_context()
        context.load_verify_locations(cadata=self._authority.public_bytes(Encoding.PEM).decode())
        return context

    def server(self, host: str, *, days: int = 1) -> ssl.SSLContext:
        """A server that is called ``host``. ``days``: how long its certificate is still valid, negative for expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        certificate = self._sign(name, key, days=days, host=host)
        self._serial += 1
        chain, private = self._folder / f"{self._serial}.pem", self._folder / f"{self._serial}.key"
        chain.write_bytes(certificate.public_bytes(Encoding.PEM))
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, private)
        return context

    def _sign(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, *, days: int, host: str = "", ca: bool = False
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=10))
            .not_valid_after(now + dt.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if host:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        return builder.sign(self._key, hashes.SHA256())


# -- webhooks' secrets ---------------------------------------------------------------------------------------------


def secret_of(key: bytes) -> str:
    """The written form of a key."""
    return f"whsec_{b64encode(key).decode()}"


def is_signed_by(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether one of a message's signatures is by this secret, as an independent implementation makes them."""
    at = dt.datetime.fromtimestamp(int(headers["webhook-timestamp"]), dt.UTC)
    theirs = standardwebhooks.Webhook(secret).sign(headers["webhook-id"], at, body.decode())
    return theirs in headers["webhook-signature"].split(" ")
