"""The signed twin: what is taken for a visitor's UID, and what never is."""

from __future__ import annotations

import re

import pytest

from gateway.events.keyring import Keyring
from gateway.events.twin import ABSENT, UNREADABLE, Twin, TwinSigner, TwinState

NEW, OLD = "2026b:a newer secret of the shop", "2026a:an older secret of the shop"
SITE, UID, NOW = "shop.example", "1234567890123", 1_790_000_000
LIFETIME = 400 * 86_400
SIGNER = TwinSigner(Keyring([NEW]))
TEXT = SIGNER.sign(SITE, UID, NOW)


def state(text, signer=SIGNER, *, site=SITE, now_s=NOW, lifetime_s=LIFETIME):
    return signer.read(site, text, now_s, lifetime_s).state


def test_a_twin_gives_back_what_was_signed():
    """The UID and the moment, and that the key of today signed it."""
    assert Twin(TwinState.VALID, UID, NOW, is_first_key=True) == SIGNER.read(SITE, TEXT, NOW, LIFETIME)


def test_the_text_needs_no_quotes_in_a_cookie_or_a_url():
    """Version, key, site, UID, moment and MAC, in letters, digits, dots and dashes."""
    assert re.fullmatch(r"1\.2026b\.[\w-]{12}\.1234567890123\.1790000000\.[\w-]{22}", TEXT, re.ASCII)


def test_the_same_twin_is_signed_alike_by_every_process():
    """The format is a promise: a gateway of next year reads the twins of this one. The text was made with openssl."""
    assert "1.2026b.D1lGPGBsWw5d.1234567890123.1790000000.bnIFuWLOhIpXJ46G6iiKCQ" == TEXT


def test_no_twin_is_absent_and_says_nothing():
    """Most first visits."""
    assert ABSENT == SIGNER.read(SITE, "", NOW, LIFETIME)


@pytest.mark.parametrize(
    "text",
    ["1", "1.2026b", "2" + TEXT[1:], TEXT + ".", TEXT + "\n", "." + TEXT, TEXT[:-1], TEXT.replace(".179", ".x79"),
     TEXT.replace(UID, ""), TEXT.replace(UID, "9" * 129), TEXT.replace(UID, "a b"), TEXT.replace(UID, "a;b"),
     TEXT.replace(UID, "lan\u0301"), TEXT.replace("1790000000", "١٧٩٠٠٠٠٠٠٠"), "x" * 1_000_000, "undefined", "\x00\ud800"],
)  # fmt: skip
def test_what_is_no_twin_is_unreadable(text):
    """Cut short, of another version, or something else altogether."""
    assert UNREADABLE == SIGNER.read(SITE, text, NOW, LIFETIME)


@pytest.mark.parametrize(
    "text", [TEXT.replace(UID, "1234567890124"), TEXT.replace("1790000000", "1790000001"), TEXT.replace("D1lG", "D1lH"),
             TEXT[:-22] + "A" * 22]
)  # fmt: skip
def test_a_changed_twin_is_forged_and_names_nobody(text):
    """Another UID, another moment, another site, a made-up MAC."""
    assert Twin(TwinState.FORGED) == SIGNER.read(SITE, text, NOW, LIFETIME)


def test_another_spelling_of_the_same_mac_is_forged():
    """22 characters of base64 hold four bits more than the MAC: those are no freedom."""
    spellings = [
        TEXT[:-1] + last for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    ]
    assert [TEXT] == [each for each in spellings if state(each) is TwinState.VALID]


def test_a_leading_zero_in_the_moment_is_forged():
    """The text is signed, not what it means."""
    assert TwinState.FORGED is state(TEXT.replace("1790000000", "01790000000"))


def test_a_twin_of_another_shop_on_the_same_gateway_is_foreign():
    """A visitor of two shops is two visitors."""
    assert Twin(TwinState.FOREIGN) == SIGNER.read("other.example", TEXT, NOW, LIFETIME)


def test_what_was_verified_for_one_site_is_not_taken_on_another():
    """What the signer remembers, it remembers with the site."""
    signer = TwinSigner(Keyring([NEW]))
    assert TwinState.VALID is state(TEXT, signer)
    assert TwinState.FOREIGN is state(TEXT, signer, site="other.example")
    assert TwinState.VALID is state(TEXT, signer)


def test_the_case_of_a_sites_name_does_not_matter():
    """Names of hosts have none."""
    assert TwinState.VALID is state(TEXT, site="SHOP.example")


def test_a_twin_of_another_gateway_is_not_taken():
    """Under an id that we don't have it is foreign, under one of ours it is forged."""
    assert TwinState.FOREIGN is state(TwinSigner(Keyring(["other:" + "s" * 20])).sign(SITE, UID, NOW))
    assert TwinState.FORGED is state(TwinSigner(Keyring(["2026b:" + "s" * 20])).sign(SITE, UID, NOW))


def test_the_secret_itself_signs_nothing():
    """A MAC under the key of the settings, not the one derived for twins, is forged."""

    class Underived(Keyring):
        def derive(self, purpose):
            del purpose
            return self

    assert TwinState.FORGED is state(TwinSigner(Underived([NEW])).sign(SITE, UID, NOW))


def test_after_a_rotation_old_twins_verify_and_new_ones_have_the_new_key():
    """Nobody loses a UID when a key is added in front."""
    before = TwinSigner(Keyring([OLD]))
    after = TwinSigner(Keyring([NEW, OLD]))
    old = before.sign(SITE, UID, NOW)
    assert Twin(TwinState.VALID, UID, NOW, is_first_key=False) == after.read(SITE, old, NOW, LIFETIME)
    assert after.sign(SITE, UID, NOW) == TEXT


def test_a_key_that_was_taken_out_of_the_ring_verifies_nothing_more():
    """That is what taking it out is for."""
    assert TwinState.FOREIGN is state(TwinSigner(Keyring([OLD])).sign(SITE, UID, NOW))


@pytest.mark.parametrize(
    ("age_s", "expected"),
    [(-86_400, TwinState.VALID), (0, TwinState.VALID), (LIFETIME - 1, TwinState.VALID), (LIFETIME, TwinState.EXPIRED)],
)  # fmt: skip
def test_a_twin_is_taken_for_its_lifetime(age_s, expected):
    """To the second; one from the future (a clock was set back) has not expired."""
    assert expected is state(TEXT, now_s=NOW + age_s)


def test_an_expired_twin_names_nobody_also_when_it_was_valid_before():
    """What is remembered is the signature, not the answer."""
    signer = TwinSigner(Keyring([NEW]))
    assert TwinState.VALID is state(TEXT, signer)
    expected = Twin(TwinState.EXPIRED, "", NOW, is_first_key=True)
    assert expected == signer.read(SITE, TEXT, NOW + LIFETIME, LIFETIME)


@pytest.mark.parametrize("uid", ["", "a b", "a;b", "a,b", 'a"b', "a\\b", "a\r\nb", "lan\u0301", "9" * 129])
def test_a_uid_that_cannot_stand_in_a_cookie_is_not_signed(uid):
    """The caller is at fault, and no such text ever comes to be."""
    with pytest.raises(ValueError, match="UID in a cookie"):
        SIGNER.sign(SITE, uid, NOW)


@pytest.mark.parametrize(
    "uid", ["1", "a.b.c", "1.2.3.", "app:A|b=+/~", "9" * 128, "x.1790000000.AAAAAAAAAAAAAAAAAAAAAA"]
)
def test_every_uid_that_an_event_may_have_can_be_signed(uid):
    """Also those with dots, which the format uses itself."""
    assert uid == SIGNER.read(SITE, SIGNER.sign(SITE, uid, NOW), NOW, LIFETIME).uid


def test_a_ring_without_keys_is_refused():
    """Nothing is ever signed with nothing."""
    with pytest.raises(ValueError, match=r"cookies\.keys"):
        TwinSigner(Keyring([]))


def test_what_is_remembered_is_bounded():
    """A hundred thousand visitors cost the memory of a few thousand."""
    signer = TwinSigner(Keyring([NEW]))
    texts = [signer.sign(SITE, str(uid), NOW) for uid in range(1, 10_001)]
    assert {TwinState.VALID} == {state(text, signer) for text in texts}
    assert 8_192 == len(signer._verified)
    assert {TwinState.VALID} == {state(text, signer) for text in texts}


def test_forgeries_do_not_push_out_what_was_verified():
    """Only what was verified is remembered."""
    signer = TwinSigner(Keyring([NEW]))
    assert TwinState.VALID is state(TEXT, signer)
    forged = {state(TEXT.replace(UID, str(uid)), signer) for uid in range(1, 10_001)}
    assert {TwinState.FORGED} == forged
    assert [(SITE, TEXT)] == list(signer._verified)
