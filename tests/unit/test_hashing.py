"""Plain and keyed hashes: how they are written, recognised and verified after a rotation."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from gateway.events.hashing import Hasher, digest, is_hash, keyed_parts
from gateway.events.keyring import Keyring

NEW, OLD = "k2:the newer secret key", "k1:the older secret key"
NOBODY = Keyring([])
MAIL = "lan@example.com"


def hmac_hex(secret: str, text: str) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def test_a_plain_hash_is_lower_case_hexadecimal():
    """MD5 and SHA-256 of the UTF-8 text; nothing is older than a plain hash."""
    assert hashlib.md5(b"lan@example.com").hexdigest() == Hasher("md5", NOBODY).hash(MAIL)
    assert hashlib.sha256("nguyễn@example.com".encode()).hexdigest() == Hasher("sha256", NOBODY).hash(
        "nguyễn@example.com"
    )
    assert () == Hasher("md5", Keyring([NEW, OLD])).older(MAIL)


def test_a_keyed_hash_carries_the_id_of_its_key():
    """It is `<key id>:<64 hex>` under the newest key; anybody who has the key can compute it."""
    hasher = Hasher("hmac-sha256", Keyring([NEW, OLD]))
    assert "k2:" + hmac_hex("the newer secret key", MAIL) == hasher.hash(MAIL)
    assert ("k1:" + hmac_hex("the older secret key", MAIL),) == hasher.older(MAIL)


def test_hmac_without_a_key_is_refused():
    """A keyed hash is never quietly a plain one."""
    with pytest.raises(ValueError, match="hmac-sha256 needs a key"):
        Hasher("hmac-sha256", NOBODY)
    with pytest.raises(ValueError, match="needs a key"):
        digest(MAIL, "hmac-sha256")


def test_a_hash_verifies_after_its_key_was_rotated_and_not_after_it_was_taken_out():
    """New writes use the first key, hashes under the older ones stay verifiable, and others never were."""
    before = Hasher("hmac-sha256", Keyring([OLD])).hash(MAIL)
    rotated = Hasher("hmac-sha256", Keyring([NEW, OLD]))
    assert rotated.hash(MAIL) != before
    assert rotated.verify(MAIL, before)
    assert rotated.verify(MAIL, rotated.hash(MAIL))
    assert not rotated.verify("mai@example.com", before)
    assert not Hasher("hmac-sha256", Keyring([NEW])).verify(MAIL, before)


def test_the_id_alone_does_not_make_a_hash_another_keys():
    """A hash whose key id was changed does not verify."""
    hasher = Hasher("hmac-sha256", Keyring([NEW, OLD]))
    assert not hasher.verify(MAIL, hasher.hash(MAIL).replace("k2:", "k1:"))


def test_a_plain_hash_verifies_in_either_case():
    """Hexadecimal digits mean the same in upper case."""
    assert Hasher("md5", NOBODY).verify(MAIL, hashlib.md5(MAIL.encode()).hexdigest().upper())
    assert not Hasher("md5", NOBODY).verify(MAIL, hashlib.sha256(MAIL.encode()).hexdigest())


def test_hashes_are_recognised_by_their_shape():
    """32, 40 and 64 hexadecimal digits are hashes in either case, alone or (64) behind a key id; nothing else is."""
    for name in (hashlib.md5, hashlib.sha1, hashlib.sha256):
        assert is_hash(name(b"x").hexdigest())
        assert is_hash(name(b"x").hexdigest().upper())
    assert is_hash("2026-a_b:" + "0a" * 32)
    for other in ["g" * 32, "a" * 33, "a" * 64 + "\n", " " + "a" * 64, "k1:" + "a" * 63, "k1:" + "a" * 32, "K1:" + "a" * 64,
                  ":" + "a" * 64, "k1:k2:" + "a" * 64, "x" * 17 + ":" + "a" * 64, "\uff41" * 32, ""]:  # fmt: skip
        assert not is_hash(other), other


def test_a_keyed_hash_is_its_key_id_and_its_digits():
    """The parts of a keyed hash are given with the digits in lower case; a plain hash has none."""
    assert ("k1", "ab" * 32) == keyed_parts("k1:" + "AB" * 32)
    assert keyed_parts("ab" * 32) is None


def test_a_hasher_knows_its_own_hashes():
    """Own is what it writes, or wrote under a key of the ring; another algorithm's hash is not."""
    md5, sha, keyed = (
        Hasher("md5", NOBODY),
        Hasher("sha256", NOBODY),
        Hasher("hmac-sha256", Keyring([NEW, OLD])),
    )
    assert [True, False, False] == [md5.is_own(each.hash(MAIL)) for each in (md5, sha, keyed)]
    assert [False, True, False] == [sha.is_own(each.hash(MAIL)) for each in (md5, sha, keyed)]
    assert [False, False, True] == [keyed.is_own(each.hash(MAIL)) for each in (md5, sha, keyed)]
    assert keyed.is_own(keyed.older(MAIL)[0])
    assert not keyed.is_own("k9:" + "a" * 64)
    assert md5.is_own("A" * 32)
    assert not md5.is_own("z" * 32)


def test_the_ledger_remembers_an_address_under_its_sha256_where_there_is_no_key():
    """Without a keyring the address key is the plain SHA-256, whatever the CID's hash is."""
    assert ((hashlib.sha256(MAIL.encode()).hexdigest(),), ()) == Hasher("md5", NOBODY).address_keys(MAIL)


def test_the_ledger_remembers_an_address_under_a_sub_key():
    """With a keyring the address key is an HMAC that differs from the hash in the event; older keys are looked for as well."""
    old = Hasher("md5", Keyring([OLD])).address_keys(MAIL)[0]
    (key,), older = Hasher("hmac-sha256", Keyring([NEW, OLD])).address_keys(MAIL)
    assert old[0] == older[0]
    assert key not in {hmac_hex("the newer secret key", MAIL), hashlib.sha256(MAIL.encode()).hexdigest()}
    assert 64 == len(key)


def test_addresses_remembered_before_there_was_a_key_are_still_found():
    """The plain SHA-256 of the time without keys is the last of the older keys."""
    plain = Hasher("md5", NOBODY).address_keys(MAIL)[0]
    assert plain == Hasher("md5", Keyring([NEW])).address_keys(MAIL)[1]


def test_text_that_is_no_valid_unicode_has_a_hash_too():
    """A lone surrogate in an event's text does not stop it from being hashed."""
    assert 64 == len(Hasher("sha256", NOBODY).hash("\ud800@example.com"))
    assert is_hash(Hasher("hmac-sha256", Keyring([NEW])).hash("\ud800@example.com"))
