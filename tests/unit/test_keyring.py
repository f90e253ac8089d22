"""Rings of named secrets: order, rotation, sub-keys, and that nothing shows a secret."""

from __future__ import annotations

import pickle
import traceback

import pytest

from gateway.events.keyring import Keyring, Secret

NEW = "2026b:correct horse battery"
OLD = "2026a:staple: with: colons"


def test_the_first_key_listed_writes():
    """New hashes and signatures are made with the first key of the list."""
    ring = Keyring([NEW, OLD])
    assert Secret("2026b", b"correct horse battery") == ring.first
    assert (Secret("2026a", b"staple: with: colons"),) == ring.older


def test_each_key_of_the_ring_is_found_by_its_id():
    """A key is looked up by the id that travels with what it made; an id that was taken out gives nothing."""
    ring = Keyring([NEW, OLD])
    assert b"staple: with: colons" == ring.secret("2026a")
    assert ring.secret("2025") is None
    assert ring.secret("") is None


def test_an_empty_ring_has_no_key():
    """Without keys there is nothing to write or to verify with, and the ring is false."""
    ring = Keyring([])
    assert ring.first is None
    assert () == ring.older
    assert not ring
    assert [] == list(ring.derive(b"anything"))


def test_keys_are_given_in_the_order_of_the_list():
    """Iteration is newest first, also over sub-keys."""
    ring = Keyring([NEW, OLD])
    assert ["2026b", "2026a"] == [key.id for key in ring]
    assert ["2026b", "2026a"] == [key.id for key in ring.derive(b"twin")]


def test_a_sub_key_is_the_hmac_of_its_purpose():
    """RFC 4231, test case 2: HMAC-SHA256 of `what do ya want for nothing?` under the key `Jefe`."""
    first = Keyring(["rfc:Jefe"]).derive(b"what do ya want for nothing?").first
    assert first is not None
    assert "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" == first.secret.hex()


def test_no_two_purposes_share_a_secret():
    """The sub-keys of two purposes, and of a purpose within a purpose, all differ from each other and from the key."""
    ring = Keyring([NEW])
    rings = [ring, ring.derive(b"a"), ring.derive(b"b"), ring.derive(b"a").derive(b"a")]
    assert len(rings) == len({each.secret("2026b") for each in rings})


@pytest.mark.parametrize("shown", [repr, str, "{!r:}".format])
def test_no_text_of_a_ring_shows_a_secret(shown):
    """A ring and its keys show their ids alone."""
    ring = Keyring([NEW, OLD])
    assert "Keyring(2026b, 2026a)" == shown(ring)
    assert "Secret(2026b)" == shown(ring.first)


@pytest.mark.parametrize(
    "text", ["a secret without an id", ":a secret", "id:", "UPPER:a secret", "x" * 17 + ":a secret"]
)
def test_a_key_that_is_not_written_as_one_is_refused_without_showing_it(text):
    """The error says which of the keys it is and never quotes it."""
    with pytest.raises(ValueError) as raised:
        Keyring([NEW, text])
    assert "key 2 is not written as id:key" == str(raised.value)
    assert "secret" not in "".join(traceback.format_exception_only(raised.value))


def test_an_id_that_stands_twice_is_refused():
    """Two keys of one id could not be told apart in a hash."""
    with pytest.raises(ValueError, match="the key id 2026b stands twice"):
        Keyring([NEW, "2026b:something else"])


def test_a_ring_travels_between_processes():
    """A pickled ring, as a worker gets it, has the same keys."""
    ring = pickle.loads(pickle.dumps(Keyring([NEW, OLD])))
    assert list(Keyring([NEW, OLD])) == list(ring)
