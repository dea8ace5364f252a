"""Settings, from a mapping of ``ONCEPAY_<NAME>``. All mistakes are told at once, each with its name."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from oncepay.domain.errors import OncepayError

PREFIX: Final = "ONCEPAY_"
DAY_S: Final = 86_400
RAW_DAYS_MAX: Final = 36_500
CALLS_MAX: Final = 1_000_000

_LISTEN: Final = re.compile(r"(?P<host>\[[0-9A-Za-z.:%]+\]|[0-9A-Za-z._:%-]+):(?P<port>[0-9]{1,5})")
_DATABASE_URL: Final = re.compile(r"sqlite://(/|:memory:|$)|postgres(ql)?://")
_PUBLIC_URL: Final = re.compile(r"https?://[!\"$->@-~]+")


class ConfigInvalid(OncepayError):
    """The centre does not start on settings that it cannot rely on."""

    code, title = "config_invalid", "The settings are not valid."


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be set. ``oncepay doctor`` prints this table from these lines."""

    database_url: str = "sqlite:///oncepay.db"  # or postgresql://user@host/database
    listen: str = "127.0.0.1:8480"
    public_url: str = ""  # where channels reach us: https://pay.example.com; default http://<listen>
    master_key: str = ""  # 32 bytes, base64: seals the secrets in the database
    master_key_file: str = ""  # or a file that holds it
    lease_s: float = 30.0  # a claimed payment or delivery comes back after this; must outlast a call
    start_budget_s: float = 9.0  # how long a request works on an attempt before it answers "not known yet"
    fresh_gap_s: float = 2.0  # a payment is asked about afresh at most this often
    raw_days: int = 400  # raw bytes of messages are kept at least this long; facts are kept for ever
    webhook_timeout_s: float = 10.0
    calls_per_s: float = 0.0  # to a channel for one account, all processes together; 0: as the channel declares
    redis_url: str = ""  # redis://host:6379: wakes other processes, keeps limits together; without it nothing is lost
    log_level: str = "INFO"
    log_json: bool = False

    def __post_init__(self) -> None:
        if wrong := [*self._wrong_numbers(), *self._wrong_words()]:
            raise ConfigInvalid("; ".join(wrong))

    def _wrong_numbers(self) -> Iterator[str]:
        """Each is asked for what it must be, so that "not a number" is wrong too."""
        if not 12 < self.lease_s <= DAY_S:
            yield f"ONCEPAY_LEASE_S: {self.lease_s} must be above 12, the longest call with its margin, at most a day"
        if not 0 < self.webhook_timeout_s <= DAY_S:
            yield f"ONCEPAY_WEBHOOK_TIMEOUT_S: {self.webhook_timeout_s} must be above 0, at most a day"
        elif self.lease_s <= self.webhook_timeout_s:
            yield f"ONCEPAY_LEASE_S: {self.lease_s} must be above ONCEPAY_WEBHOOK_TIMEOUT_S"
        if not 0 <= self.fresh_gap_s <= DAY_S:
            yield f"ONCEPAY_FRESH_GAP_S: {self.fresh_gap_s} must be 0 or above, at most a day"
        if not 31 <= self.raw_days <= RAW_DAYS_MAX:
            yield f"ONCEPAY_RAW_DAYS: {self.raw_days} must be at least 31, at most {RAW_DAYS_MAX}"
        if not 0 < self.start_budget_s < 60:
            yield f"ONCEPAY_START_BUDGET_S: {self.start_budget_s} must be between 0 and 60"
        if self.calls_per_s != 0 and not 0.1 <= self.calls_per_s <= CALLS_MAX:
            yield f"ONCEPAY_CALLS_PER_S: {self.calls_per_s} must be 0 (no ceiling of ours) or 0.1 to {CALLS_MAX}"

    def _wrong_words(self) -> Iterator[str]:
        if _DATABASE_URL.match(self.database_url) is None:  # not shown: a password may stand in it
            yield "ONCEPAY_DATABASE_URL: must be sqlite:///path (sqlite:////path from the root) or postgresql://..."
        if self.public_url and not _PUBLIC_URL.fullmatch(self.public_url):
            yield f"ONCEPAY_PUBLIC_URL: {self.public_url!r} must start with https:// or http://, without blanks, ? or #"
        if self.redis_url and not self.redis_url.startswith(("redis://", "rediss://", "unix://")):
            yield "ONCEPAY_REDIS_URL: must start with redis://, rediss:// or unix://"
        if self.log_level not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
            yield f"ONCEPAY_LOG_LEVEL: {self.log_level!r} must be DEBUG, INFO, WARNING or ERROR"
        try:
            split_listen(self.listen)
        except ValueError as error:
            yield f"ONCEPAY_LISTEN: {error}"

    @property
    def url(self) -> str:
        """Where channels reach us, without a slash at the end."""
        if self.public_url:
            return self.public_url.rstrip("/")
        host, port = split_listen(self.listen)
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def from_env(environ: Mapping[str, str]) -> Config:
    """Read all ``ONCEPAY_*``. Raises ConfigInvalid that names every setting that is unknown or does not fit."""
    found: dict[str, Any] = {}
    wrong: list[str] = []
    types = {field.name: field.type for field in msgspec.structs.fields(Config)}
    for name in sorted(environ):
        if not name.startswith(PREFIX):
            continue
        field = name.removeprefix(PREFIX).lower()
        if field not in types:
            wrong.append(f"{name} is not a setting")
            continue
        try:
            found[field] = msgspec.convert(environ[name], type=types[field], strict=False)
        except msgspec.ValidationError as error:
            shown = "" if "key" in field else f"={environ[name]!r}"
            wrong.append(f"{name}{shown}: {error}")
    if _in_memory(found.get("database_url", "")):
        wrong.append("ONCEPAY_DATABASE_URL: names no file, and a ledger in memory forgets every payment at its end")
    try:
        config = Config(**found)
    except ConfigInvalid as error:
        raise ConfigInvalid("; ".join([*wrong, error.detail])) from None
    if wrong:
        raise ConfigInvalid("; ".join(wrong))
    return config


def _in_memory(database_url: str) -> bool:
    """Whether it is one for tests: what a variable that was not set makes of ``sqlite:///$FILE``, too."""
    scheme, _, rest = database_url.partition(":")
    path = rest.partition("?")[0].partition("#")[0].strip("/")
    return scheme == "sqlite" and unquote(path) in {"", ":memory:"}


def read_master_key(config: Config) -> bytes:
    """The 32 bytes that seal secrets. Raises ConfigInvalid: without it the centre does not start."""
    given = _key_of("ONCEPAY_MASTER_KEY", config.master_key) if config.master_key else None
    kept = _key_in(Path(config.master_key_file)) if config.master_key_file else None
    key = given or kept
    if key is None:
        raise ConfigInvalid("ONCEPAY_MASTER_KEY or ONCEPAY_MASTER_KEY_FILE is not set (oncepay key new makes one)")
    if given and kept and given != kept:  # one of them would win unsaid, and seal what the other cannot open
        raise ConfigInvalid(
            f"ONCEPAY_MASTER_KEY and ONCEPAY_MASTER_KEY_FILE {config.master_key_file} hold different keys; set one"
        )
    return key


def _key_in(file: Path) -> bytes:
    where = f"ONCEPAY_MASTER_KEY_FILE {file}"
    try:
        text = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"{where}: {error}") from None
    if not text:
        raise ConfigInvalid(f"{where} is empty (oncepay key new makes a key)")
    return _key_of(where, text)


def _key_of(where: str, text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ConfigInvalid(f"{where} is not base64") from None
    if len(key) != 32:
        raise ConfigInvalid(f"{where} holds {len(key)} bytes, must be 32")
    return key


def split_listen(listen: str) -> tuple[str, int]:
    """``host:port``, also ``[::1]:port``. Raises ValueError."""
    match = _LISTEN.fullmatch(listen)
    if match is None or int(match["port"]) > 65_535:
        message = f"{listen!r} must be host:port"
        raise ValueError(message)
    return match["host"].strip("[]"), int(match["port"])
