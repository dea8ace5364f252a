"""``GET /v3/certificates``: the platform certificates, each sealed with the APIv3 key."""

from cryptography import x509

from oncepay.sandbox.clock import rfc3339
from oncepay.sandbox.wechat.desk import Desk
from oncepay.sandbox.wechat.keys import letters
from oncepay.sandbox.wechat.wire import Refusal, encode


def download(desk: Desk, mchid: str, args: dict[str, str]) -> bytes:
    """All platform certificates that are valid, oldest first."""
    if args.get("algorithm_type", "RSA") not in ("RSA", "SM2", "ALL"):
        text = "输入源“/query/algorithm_type”映射到字段“算法类型”枚举规则校验失败"
        raise Refusal(400, "PARAM_ERROR", text, {"location": "query", "value": None})
    if not desk.switches.platform_certificates or args.get("algorithm_type") == "SM2":
        text = "无可用的平台证书，请在商户平台-API安全申请使用微信支付公钥。"
        raise Refusal(404, "RESOURCE_NOT_EXISTS", text)
    data = []
    for platform in desk.ring.file.platforms:
        certificate = x509.load_pem_x509_certificate(platform.certificate_pem.encode())
        nonce = letters(desk.dice, 12)
        sealed = desk.ring.seal(mchid, platform.certificate_pem.encode(), nonce, "certificate")
        data.append(
            {
                "effective_time": rfc3339(certificate.not_valid_before_utc.timestamp()),
                "encrypt_certificate": {
                    "algorithm": "AEAD_AES_256_GCM",
                    "associated_data": "certificate",
                    "ciphertext": sealed,
                    "nonce": nonce,
                },
                "expire_time": rfc3339(certificate.not_valid_after_utc.timestamp()),
                "serial_no": platform.serial_no,
            }
        )
    return encode({"data": data})
