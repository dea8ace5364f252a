"""A sandbox on a free port, with generated keys kept for the whole run (RSA keys are slow)."""

import random
import time
from collections.abc import AsyncIterator

import aiohttp
import msgspec
import pytest

from oncepay.sandbox.main import Sandbox
from oncepay.sandbox.unionpay import keys as unionpay_keys
from oncepay.sandbox.wechat.keys import KeyFile
from tests.sandbox import alipay_vectors
from tests.sandbox.alipay_merchant import AliMerchant
from tests.sandbox.merchant import Merchant, Receiver
from tests.sandbox.unionpay import Shop
from tests.sandbox.vectors import vector_keys


@pytest.fixture
def keys() -> KeyFile:
    return vector_keys()


@pytest.fixture(scope="session")
def unionpay_drawn() -> bytes:
    return msgspec.json.encode(unionpay_keys.new_keys(random.Random(1), time.time()))


@pytest.fixture
def unionpay(unionpay_drawn: bytes) -> unionpay_keys.KeyFile:
    return msgspec.json.decode(unionpay_drawn, type=unionpay_keys.KeyFile)


@pytest.fixture
async def sandbox(keys: KeyFile, unionpay: unionpay_keys.KeyFile) -> AsyncIterator[Sandbox]:
    alipay = alipay_vectors.vector_keys()
    async with Sandbox(seed=1, keys=keys, alipay_keys=alipay, unionpay_keys=unionpay) as sandbox:
        yield sandbox


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def merchant(sandbox: Sandbox, session: aiohttp.ClientSession) -> Merchant:
    return Merchant(sandbox.config["wechat"], session, clock=sandbox.clock.now)


@pytest.fixture
def ali(sandbox: Sandbox, session: aiohttp.ClientSession) -> AliMerchant:
    return AliMerchant(sandbox.config["alipay"], session, clock=sandbox.clock.now)


@pytest.fixture
def shop(sandbox: Sandbox, session: aiohttp.ClientSession, receiver: Receiver) -> Shop:
    return Shop(sandbox.config["unionpay"], session, sandbox.clock.now, receiver.url)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver
