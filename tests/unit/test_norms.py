"""Hashes for the ad platforms: their published examples, and what each of them does not take.

Where a platform publishes the hash, the hash stands here as published. Where it publishes only the normalised form (Google,
TikTok), that form stands here and is hashed by `hashlib`.
"""

from __future__ import annotations

import hashlib

import pytest

from gateway.events.norms import meaning_of, norm_hash

EVERY_PLATFORM = ["meta", "google", "tiktok"]


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# Meta, "Customer information parameters", "Formatting the user_data parameters": the column of examples, with the hashes that
# stand there as "Expected SHA256 output".
META_PUBLISHED = [
    ("em", "John_Smith@gmail.com", "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"),
    ("ph", "(650)555-1212", "e323ec626319ca94ee8bff2e4c87cf613be6ea19919ed1364124e16807ab3176"),
    ("fn", "Mary", "6915771be1c5aa0c886870b6951b03d7eafc121fea0e80a5ea83beb7c449f4ec"),
    ("fn", "정", "8fa8cd9c440be61d0151429310034083132b35975c4bea67fdd74158eb51db14"),
    ("fn", "Valéry", "08e1996b5dd49e62a4b4c010d44e4345592a863bb9f8e3976219bac29417149c"),
    ("ln", "Valéry", "08e1996b5dd49e62a4b4c010d44e4345592a863bb9f8e3976219bac29417149c"),
    ("db", "2/16/1997", "01acdbf6ec7b4f478a225f1a246e5d6767eeab1a7ffa17f025265b5b94f40f0c"),
    ("country", "United States", "79adb2a2fce5c6ba215fe5f27f532d4e7edbac4b6a5e09e1ef3a08084a904621"),
]
META_NAMES = {"em": "email", "ph": "phone"}


@pytest.mark.parametrize(("parameter", "value", "published"), META_PUBLISHED)
def test_metas_published_hashes_are_reproduced(parameter, value, published):
    """Each example of Meta's page, from its input to its expected output; the numbers there are American."""
    assert published == norm_hash("meta", META_NAMES.get(parameter, parameter), value, region="US")


# The same page; these stand there in their normalised form only.
META_NORMALISED = [
    ("gender", "Female", "US", "f"),
    ("gender", "M", "US", "m"),
    ("city", "Paris", "FR", "paris"),
    ("city", "London", "GB", "london"),
    ("city", "New York", "US", "newyork"),
    ("state", "AZ", "US", "az"),
    ("state", "California", "US", "ca"),
    ("zip", "94035", "US", "94035"),
    ("zip", "94035-1234", "US", "94035"),
    ("zip", "1987", "AU", "1987"),
    ("zip", "75018", "FR", "75018"),
    ("zip", "M1 1AE", "GB", "m11ae"),
]


@pytest.mark.parametrize(("field", "value", "region", "normal"), META_NORMALISED)
def test_metas_published_normal_forms_are_what_is_hashed(field, value, region, normal):
    """Gender is an initial, a city has no blanks, an American state two letters and ZIP five digits."""
    assert sha256(normal) == norm_hash("meta", field, value, region=region)


# Google, "Data Manager API, format user data": the first two and the phone stand there as pairs. The third is the example of
# Google Ads' guide to enhanced conversions. The others are ours, made from the rules of the first page ("trim intermediate
# whitespace", "don't include prefixes such as Mrs.", "suffixes such as Jr.") and of the reference ("no punctuation").
GOOGLE_NORMALISED = [
    ("email", "cloudy.sanfrancisco+shopping@gmail.com", "cloudysanfrancisco@gmail.com"),
    ("email", "user.name+NYC@Example.com", "user.name+nyc@example.com"),
    ("email", "Jane.Doe+Shopping@googlemail.com", "janedoe@googlemail.com"),
    ("email", " a.b @gmail.com", "ab@gmail.com"),
    ("phone", "(800)555-0100", "+18005550100"),
    ("first_name", " Mrs.  Mary ", "mary"),
    ("last_name", "Smith Jr.", "smith"),
    ("last_name", "O'Brien", "obrien"),
]


@pytest.mark.parametrize(("field", "value", "normal"), GOOGLE_NORMALISED)
def test_googles_normal_forms_are_what_is_hashed(field, value, normal):
    """No dots and tags at Gmail and both elsewhere, E.164 with its plus, names without titles and punctuation."""
    assert sha256(normal) == norm_hash("google", field, value, region="US")


# TikTok publishes rules but no examples with hashes ("Events API, user parameters", and its tag template): e-mail in lower case, a
# phone in E.164 with its plus, an external id trimmed in its own case, names in lower case without punctuation. The values are ours.
TIKTOK_NORMALISED = [
    ("email", " Lan.Nguyen+a@Gmail.com ", "VN", "lan.nguyen+a@gmail.com"),
    ("phone", "(415) 200-0000", "US", "+14152000000"),
    ("phone", "0912 345 678", "VN", "+84912345678"),
    ("external_id", " Lan-1001 ", "VN", "Lan-1001"),
    ("first_name", "Valéry", "FR", "valéry"),
    ("last_name", "O'Brien", "US", "obrien"),
    ("zip", "94035-1234", "US", "94035"),
    ("zip", "SW1A 1AA", "GB", "sw1a1aa"),
]


@pytest.mark.parametrize(("field", "value", "region", "normal"), TIKTOK_NORMALISED)
def test_tiktoks_documented_normal_forms_are_what_is_hashed(field, value, region, normal):
    """Lower case for e-mail, a plus before the country code, ids as they are."""
    assert sha256(normal) == norm_hash("tiktok", field, value, region=region)


def test_a_phone_has_no_plus_for_meta_and_one_for_the_others():
    """The same number is hashed as `84912345678` for Meta and as `+84912345678` for Google and TikTok, however it was typed."""
    for value in ("0912345678", "+84 912 345 678", "0084 (0)912 345 678"):
        hashes = [norm_hash(platform, "phone", value, region="VN") for platform in EVERY_PLATFORM]
        assert [sha256("84912345678"), sha256("+84912345678"), sha256("+84912345678")] == hashes


def test_dots_at_gmail_go_for_google_alone():
    """Meta and TikTok hash the address with its dots and tag."""
    hashes = [norm_hash(platform, "email", "A.b+c@gmail.com", region="VN") for platform in EVERY_PLATFORM]
    assert [sha256("a.b+c@gmail.com"), sha256("ab@gmail.com"), sha256("a.b+c@gmail.com")] == hashes


@pytest.mark.parametrize(
    "field", ["city", "state", "zip", "country", "gender", "date_of_birth", "external_id"]
)
def test_what_google_takes_unhashed_or_not_at_all_gives_nothing(field):
    """Of an address Google wants only the names hashed; gender, birth date and an own id it has no hashed field for."""
    assert norm_hash("google", field, "us", region="US") is None


@pytest.mark.parametrize("field", ["city", "state", "country", "gender", "date_of_birth"])
def test_what_tiktok_takes_unhashed_or_not_at_all_gives_nothing(field):
    """TikTok takes city, state and country as they are."""
    assert norm_hash("tiktok", field, "us", region="US") is None


@pytest.mark.parametrize("platform", EVERY_PLATFORM)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "lan at example"),
        ("email", ""),
        ("email", ".@gmail"),
        ("phone", "12"),
        ("phone", "not a number"),
        ("first_name", " ... "),
        ("first_name", "a" * 64),
        ("gender", "x"),
        ("date_of_birth", "yesterday"),
        ("date_of_birth", "1997-02-30"),
        ("date_of_birth", "16/02/97"),
        ("date_of_birth", "16/02/2540"),
        ("country", "Atlantis"),
        ("country", "zz"),
        ("favourite_colour", "red"),
        ("line_user_id", "U4af"),
    ],
)
def test_what_cannot_be_read_is_never_guessed(platform, field, value):
    """No hash comes of a value without a meaning for the platform, and the hash of nothing is never made."""
    assert norm_hash(platform, field, value, region="VN") is None


@pytest.mark.parametrize(
    ("value", "region", "normal"),
    [
        ("1997-02-16", "VN", "19970216"),
        ("19970216", "VN", "19970216"),
        ("1997/2/6", "US", "19970206"),
        ("1997-02-16T00:00:00Z", "VN", "19970216"),
        ("16/02/1997", "VN", "19970216"),
        ("16.2.1997", "US", "19970216"),
        ("2/16/1997", "VN", "19970216"),
        ("03/02/1997", "VN", "19970203"),
        ("03/02/1997", "US", "19970302"),
    ],
)
def test_a_birth_date_is_read_as_its_country_writes_it(value, region, normal):
    """Year first means itself; else the region says whether the day stands first, unless the numbers leave only one order."""
    assert sha256(normal) == norm_hash("meta", "birthday", value, region=region)


def test_names_of_any_script_keep_their_letters_and_marks():
    """Vietnamese and Thai names are hashed in UTF-8 with all their accents, composed however they were typed."""
    assert sha256("nguyễn văn") == norm_hash(
        "meta", "first_name", " Nguye\u0302\u0303n  Va\u0306n", region="VN"
    )
    assert sha256("สมชาย") == norm_hash("meta", "first_name", "สมชาย", region="TH")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Vietnam", "vn"), ("Việt Nam", "vn"), ("VNM", "vn"), ("th", "th"), ("Hong Kong", "hk")],
)
def test_a_country_is_its_two_letters(name, expected):
    """Codes of two and three letters and the usual names give ISO 3166-1 alpha-2."""
    assert sha256(expected) == norm_hash("meta", "country", name, region="VN")


@pytest.mark.parametrize(
    ("field", "meaning"),
    [
        ("customer_Email", "email"),
        ("Mobile", "phone"),
        ("firstName", "first_name"),
        ("last-name", "last_name"),
        ("date_of_birth", "birth_date"),
        ("postcode", "zip"),
        ("customer_id", "external_id"),
        ("name", None),
        ("line_user_id", None),
    ],
)
def test_a_field_means_what_its_name_says(field, meaning):
    """Our names of a field and the platforms' lead to one meaning; `name` alone is neither first nor last."""
    assert meaning == meaning_of(field)


def test_an_external_id_may_be_a_hash_already():
    """A CID that is a hash is an id like any other, and is hashed as it stands."""
    cid = hashlib.md5(b"lan@example.com").hexdigest()
    assert sha256(cid) == norm_hash("meta", "external_id", cid, region="VN")
