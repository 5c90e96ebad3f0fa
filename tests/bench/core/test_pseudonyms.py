"""Pseudonyms: keyed hashes, equal for equal names and salts, and codes that stay as they are."""

from __future__ import annotations

import hashlib

import pytest

from bench.core.pseudonyms import is_code, pseudonym


def test_a_pseudonym_is_the_standard_s_keyed_hash() -> None:
    """HMAC written out: H(K xor opad, H(K xor ipad, text))."""
    key = b"lfw".ljust(64, b"\0")
    inner = hashlib.sha256(bytes(k ^ 0x36 for k in key) + "Zoë".encode()).digest()
    outer = hashlib.sha256(bytes(k ^ 0x5C for k in key) + inner).hexdigest()
    assert pseudonym("Zoë", "lfw") == f"p{outer[:12]}"


def test_another_salt_is_another_pseudonym() -> None:
    assert len({pseudonym("ada", salt) for salt in ("lfw", "vggface2", "secret")}) == 3


@pytest.mark.parametrize("name", ["104", "01", "n000061", "p01", "p0123456789ab", pseudonym("ada", "x")])
def test_codes_stay(name: str) -> None:
    assert is_code(name)
    assert pseudonym(name, "salt") == name


@pytest.mark.parametrize("name", ["ada", "Ann Lee", "19991231", "240196", "n61", "pia", "p123456"])
def test_names_do_not(name: str) -> None:
    assert not is_code(name)
    assert name not in pseudonym(name, "salt")
