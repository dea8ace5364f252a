"""Money in minor units: an integer and a currency, never a float.

The exponents are those of ISO 4217 (list one, published by SIX as maintenance agency, amendments to 2025):
how many decimal digits the minor unit has. Funds, metals and test codes have none and are not money here.
"""

from __future__ import annotations

from typing import Final

from oncepay.domain.errors import AmountInvalid

MINOR_MAX: Final = 2**53 - 1  # what every JSON reader can hold exactly

_DIGITS: Final = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF "
    "CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG "
    "HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR "
    "MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD "
    "SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG "
    "YER ZAR ZMW ZWG",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
DIGITS: Final = {code: digits for digits, codes in _DIGITS.items() for code in codes.split()}


def check_amount(minor: int, currency: str) -> None:
    """Refuse what cannot be owed. ``minor``: 1 to 2**53 - 1 minor units. Raises AmountInvalid naming the field."""
    if currency not in DIGITS:
        raise AmountInvalid(f"currency {currency!r} is not an ISO 4217 currency", field="currency")
    if not 1 <= minor <= MINOR_MAX:
        raise AmountInvalid(f"minor is {minor}, must be 1 to {MINOR_MAX}", field="minor")


def decimal_text(minor: int, currency: str) -> str:
    """The amount as people write it, by integer arithmetic alone.

    >>> decimal_text(8800, "CNY"), decimal_text(5, "CNY"), decimal_text(5, "JPY"), decimal_text(-1234, "KWD")
    ('88.00', '0.05', '5', '-1.234')
    """
    digits = DIGITS[currency]
    sign, whole = ("-", -minor) if minor < 0 else ("", minor)
    if digits == 0:
        return f"{sign}{whole}"
    units, rest = divmod(whole, 10**digits)
    return f"{sign}{units}.{rest:0{digits}d}"
