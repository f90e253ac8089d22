"""What holds for every twin, every cookie header and every host, whoever wrote them."""

from __future__ import annotations

import re

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.events.cookies import STRANGER, UidCookie, Visitor, values
from gateway.events.keyring import Keyring
from gateway.events.twin import TwinSigner, TwinState
from gateway.settings import Cookies

NEW, OLD = "2026b:a newer secret of the shop", "2026a:an older secret of the shop"
RING = Keyring([NEW, OLD])
SIGNER = TwinSigner(RING)
NOW, LIFETIME = 1_790_000_000, 400 * 86_400
UID = re.compile(r"[A-Za-z0-9_.:~+/=|-]{1,128}\Z")

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
uids = st.text(LETTERS + "_.:~+/=|-", min_size=1, max_size=128) | st.integers(1, 2**63 - 1).map(str)
labels = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=20)
sites = st.builds("{}.{}".format, labels, st.sampled_from(["example", "test", "co.example"]))
moments = st.integers(NOW - LIFETIME + 1, NOW + LIFETIME)
anything = st.text(max_size=300)


def usable(uid):
    return uid if UID.match(uid) else ""


COOKIE = UidCookie(Cookies(ppid_name="_asm_ppid"), RING, usable)


@given(site=sites, uid=uids, issued=moments)
def test_what_was_signed_is_read(site, uid, issued):
    """Every UID that an event may have, on every site, within its lifetime."""
    twin = SIGNER.read(site, SIGNER.sign(site, uid, issued), NOW, LIFETIME)
    assert (TwinState.VALID, uid, issued, True) == twin


@settings(max_examples=500)
@given(site=sites, uid=uids, issued=moments, data=st.data())
def test_no_change_to_a_signed_text_is_taken(site, uid, issued, data):
    """One character replaced, left out, put in or moved, or the end cut off: nobody is named by it."""
    text = SIGNER.sign(site, uid, issued)
    at = data.draw(st.integers(0, len(text) - 1), label="at")
    character = data.draw(st.sampled_from(sorted(set(text))) | st.characters(), label="character")
    changed = data.draw(
        st.sampled_from(
            [
                text[:at] + character + text[at + 1 :],
                text[:at] + text[at + 1 :],
                text[:at] + character + text[at:],
                text[:at],
                text[at:] + text[:at],
                text[:at] + text[at].swapcase() + text[at + 1 :],
                text[: at // 2] + text[at:],
            ]
        ),
        label="changed",
    )
    assume(changed != text)
    twin = SIGNER.read(site, changed, NOW, LIFETIME)
    assert twin.state is not TwinState.VALID
    assert not twin.uid


@given(site=sites, uid=uids, bit=st.integers(min_value=0), issued=moments)
def test_no_flipped_bit_is_taken(site, uid, bit, issued):
    """Of the text as it is on the wire."""
    wire = bytearray(SIGNER.sign(site, uid, issued).encode())
    bit %= len(wire) * 8
    wire[bit // 8] ^= 1 << bit % 8
    assert SIGNER.read(site, wire.decode("latin-1"), NOW, LIFETIME).state is not TwinState.VALID


@given(site=sites, text=anything | st.text("1.2026ab-_Az" + LETTERS, max_size=120))
def test_no_text_that_was_not_signed_is_taken(site, text):
    """And none raises."""
    twin = SIGNER.read(site, text, NOW, LIFETIME)
    assert twin.state is not TwinState.VALID
    assert not twin.uid


@given(site=sites, other=sites, uid=uids, issued=moments)
def test_no_twin_is_taken_on_another_site(site, other, uid, issued):
    """Whatever the two are called."""
    assume(site != other)
    text = SIGNER.sign(site, uid, issued)
    assert SIGNER.read(site, text, NOW, LIFETIME).state is TwinState.VALID
    assert SIGNER.read(other, text, NOW, LIFETIME).state is TwinState.FOREIGN


@given(site=sites, uid=uids, issued=moments)
def test_a_rotation_keeps_every_twin_and_the_end_of_a_key_keeps_none(site, uid, issued):
    """Signed by the old key: taken while it is in the ring, due for a new signature, and not taken afterwards."""
    text = TwinSigner(Keyring([OLD])).sign(site, uid, issued)
    assert (TwinState.VALID, uid, issued, False) == SIGNER.read(site, text, NOW, LIFETIME)
    assert TwinSigner(Keyring([NEW])).read(site, text, NOW, LIFETIME).state is TwinState.FOREIGN


others = st.lists(
    st.tuples(
        st.sampled_from(["a", "my_asm_uid", "_asm_uid_", "x_asm_uid_s", "_asm_visitor_type", "uid"]),
        st.text(LETTERS + " =_.\"'%{}:", max_size=30),
    ).map("=".join),
    max_size=8,
)


@given(
    others=others, uid=uids, site=sites, host=st.sampled_from(["", "track.", "a.b."]), at=st.integers(0, 8)
)
def test_what_an_answer_writes_the_next_request_brings_back(others, uid, site, host, at):
    """Among whatever other cookies; then nothing is due, and nothing is written again."""
    headers = COOKIE.headers(host + site, site, STRANGER, uid, NOW)
    assert 3 == len(headers)
    mine = [value.partition(";")[0] for _, value in headers]
    header = "; ".join([*others[:at], *mine, *others[at:]])
    visitor = COOKIE.read(header, site, NOW + 1)
    assert (uid, uid, False, False) == (
        visitor.uid,
        visitor.plain_uid,
        visitor.is_restored,
        visitor.is_due,
    )
    assert () == COOKIE.headers(host + site, site, visitor, uid, NOW + 1)


@given(
    header=anything
    | st.lists(st.sampled_from(["_asm_uid", "_asm_uid_s", "=", ";", " ", '"', "1", "my", "\t"])).map("".join)
)
def test_no_cookie_header_is_too_odd_to_read(header):
    """What comes out may stand in a cookie again."""
    visitor = COOKIE.read(header, "shop.example", NOW)
    assert not visitor.uid or UID.match(visitor.uid)
    assert visitor.uid == visitor.plain_uid
    assert all(";" not in each for each in values(header, "_asm_uid"))


WRITTEN = re.compile(
    r"(_asm_uid|_asm_uid_s|_asm_ppid)=[!#-+\--:<-\[\]-~]+; Path=/; Max-Age=34560000(; Domain=[a-z0-9_.-]+)?; Secure; SameSite=Lax(; HttpOnly)?\Z"
)


@given(host=anything | sites, site=anything | sites, uid=anything | uids)
def test_nothing_can_split_or_extend_a_header(host, site, uid):
    """Whatever the host, the site and the UID are: the attributes are those of the settings."""
    site = site.encode("utf-8", "replace").decode()
    for name, value in COOKIE.headers(host, site, Visitor(), uid, NOW):
        assert name == "Set-Cookie"
        assert WRITTEN.match(value)
        assert value.endswith("; HttpOnly") is value.startswith("_asm_uid_s=")


@given(host=sites, site=sites, below=st.sampled_from(["", "track.", "a.b."]))
def test_a_domain_is_named_only_where_a_browser_takes_it(host, site, below):
    """RFC 6265, section 5.1.3: the host is the domain, or ends in a dot and the domain."""
    (_, value), *_ = COOKIE.headers(below + host, site, STRANGER, "1", NOW)
    assert ("; Domain=" in value) is f".{below}{host}".endswith(f".{site}")
