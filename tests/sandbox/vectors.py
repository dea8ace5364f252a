"""The WeChat Pay vectors, as the sandbox's keys and as cases."""

import base64
import functools
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization

from oncepay.sandbox.wechat.keys import KeyFile, Merchant, Platform

PATH = Path(__file__).parents[1] / "vectors" / "wechat_pay.json"


@functools.cache
def vectors() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(PATH.read_text("utf-8"))
    return found


@functools.cache
def pem(der_base64: str) -> str:
    key = serialization.load_der_private_key(base64.b64decode(der_base64), None, unsafe_skip_rsa_key_validation=True)
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def vector_keys() -> KeyFile:
    keys = vectors()["keys"]
    return KeyFile(
        merchants=[
            Merchant(
                mchid=keys["mchid"],
                appid=keys["appid"],
                serial_no=keys["merchant_certificate_serial_no"],
                private_key_pem=pem(keys["merchant_private_key_pkcs8_der_base64"]),
                certificate_pem=keys["merchant_certificate_pem"],
                apiv3_key=keys["apiv3_key"],
            )
        ],
        platforms=[
            Platform(
                serial_no=keys["platform_certificate_serial_no"],
                private_key_pem=pem(keys["platform_private_key_pkcs8_der_base64"]),
                certificate_pem=keys["platform_certificate_pem"],
            )
        ],
        public_key_id=keys["wechatpay_public_key_id"],
        public_key_private_pem=pem(keys["wechatpay_public_key_private_for_the_simulator_pkcs8_der_base64"]),
    )
