"""The Alipay vectors, as the sandbox's keys and as cases."""

import functools
import json
from pathlib import Path
from typing import Any

from oncepay.sandbox.alipay.keys import KeyFile, Merchant
from tests.sandbox.vectors import pem

PATH = Path(__file__).parents[1] / "vectors" / "alipay.json"
SELLER_ID = "2088101122136241"


@functools.cache
def vectors() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(PATH.read_text("utf-8"))
    return found


def cases(kind: str) -> list[Any]:
    return [case for case in vectors()["vectors"] if case["kind"] == kind]


def case(name: str) -> Any:
    return next(case for case in vectors()["vectors"] if case["name"] == name)


def vector_keys() -> KeyFile:
    keys, certs = vectors()["keys"], vectors()["certificates"]
    app_key = pem(keys["app_private_key_pkcs8_der_base64"])
    return KeyFile(
        merchants=[
            Merchant(
                app_id="2021000000000001",
                seller_id=SELLER_ID,
                seller_email="seller@example.test",
                private_key_pem=app_key,
                cert_pem=certs["app_cert_pem"],
            )
        ],
        alipay_private_key_pem=pem(keys["alipay_private_key_pkcs8_der_base64"]),
        alipay_certs_pem=[certs["alipay_cert_pem"]],
        issuing_private_key_pem=app_key,  # the vectors keep their authority's key to themselves
        issuing_cert_pem=certs["issuing_ca_pem"],
        root_bundle_pem=certs["root_bundle_pem"],
    )
