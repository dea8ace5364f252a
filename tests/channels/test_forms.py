"""Forms are urllib's, written and read another way."""

from __future__ import annotations

from urllib.parse import parse_qs, quote_plus, unquote_to_bytes, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncepay.channels.forms import decoded, encoded

PRINTABLE = "".join(map(chr, range(32, 127)))


@given(st.dictionaries(st.sampled_from(["a", "b_1", "sign"]), st.text() | st.text(alphabet=PRINTABLE)))
def test_a_form_is_written_as_urllib_writes_it_and_read_back(fields: dict[str, str]) -> None:
    fields = {name: value.encode("utf-8", "ignore").decode() for name, value in fields.items()}
    form = encoded(fields)
    assert form == urlencode(fields)
    if fields:
        assert {name.decode(): value.decode() for name, value in decoded(form.encode()).items()} == fields
        assert parse_qs(form, keep_blank_values=True) == {name: [value] for name, value in fields.items()}


@given(st.lists(st.binary(max_size=40) | st.sampled_from([b"%3d", b"%0A", b"%0D%0A", b"=", b"_", b" \n", b"%FF%00"])))
def test_a_value_is_read_as_urllib_reads_it(parts: list[bytes]) -> None:
    raw = b"".join(part if part[:1] == b"%" else part.replace(b"%", b"%25").replace(b"&", b"%26") for part in parts)
    assert decoded(b"a=" + raw) == {b"a": unquote_to_bytes(raw.replace(b"+", b" "))}


@pytest.mark.parametrize("sign", [*PRINTABLE, "%2B", "+ +", "% %25", "\n", "\x7f", "茶"])
def test_every_sign_is_escaped_once(sign: str) -> None:
    assert encoded({"a": sign}) == f"a={quote_plus(sign)}"


def test_another_charset_is_written_in_its_bytes() -> None:
    assert encoded({"a": "茶 & 水"}, "gbk") == "a=%B2%E8+%26+%CB%AE"
