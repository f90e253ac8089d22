"""Consent strings of the TCF say what the framework's own libraries read in them, and garbage says nothing."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.events import tcf
from gateway.events.tcf import Ids, allows, parse

ENCODED = [
    json.loads(line)
    for line in (Path(__file__).parent / "tcf/encoded.jsonl").read_text(encoding="utf-8").splitlines()
]
CORE = "COtybn4PA_zT4KjACBENAPCIAEBAAECAAIAAAAAAAAAA"
FIELDS = "COrEAV4OrXx94ACABBENAHCIAD-AAAAAAACAAxAAAAgAIAwgAgAAAAEAgQAAAAAEAYQAQAAAACAAAABAAA"
NOBODY = frozenset()


def members(ids: Ids | None, most: int = 2_000) -> list[int]:
    return [each for each in range(1, most) if ids is not None and ids.has(each)]


def spans(ids: Ids | None) -> list[list[int]]:
    found: list[list[int]] = []
    for each in members(ids):
        if found and found[-1][1] == each - 1:
            found[-1][1] = each
        else:
            found.append([each, each])
    return found


def of_bits(text: str) -> str:
    text = text.replace(" ", "")
    padded = text + "0" * (-len(text) % 8)
    return urlsafe_b64encode(int(padded, 2).to_bytes(len(padded) // 8, "big")).decode()


@pytest.mark.parametrize("said", ENCODED, ids=range(len(ENCODED)))
def test_what_the_frameworks_own_library_writes_is_read_as_it_reads_it(said):
    """Every field of 60 strings by `@iabtcf/core`: bits and ranges, all segments, restrictions."""
    string = parse(said["text"])
    assert string is not None
    publisher = string.publisher
    read = {
        "text": said["text"],
        "created_ms": string.created_ds * 100,
        "updated_ms": string.updated_ds * 100,
        "language": string.language,
        **{
            name: getattr(string, name)
            for name in (
                "cmp_id",
                "cmp_version",
                "consent_screen",
                "vendor_list_version",
                "policy_version",
                "is_service_specific",
                "hides_purpose_one",
                "publisher_country",
            )
        },
        **{
            name: members(getattr(string, name), 25)
            for name in ("special_features", "purpose_consents", "purpose_interests")
        },
        **{
            name: spans(getattr(string, name))
            for name in ("vendor_consents", "vendor_interests", "disclosed")
        },
        "publisher_consents": members(publisher and publisher.consents, 25),
        "publisher_interests": members(publisher and publisher.interests, 25),
        "custom_consents": members(publisher and publisher.custom_consents, 64),
        "custom_interests": members(publisher and publisher.custom_interests, 64),
        "restrictions": said["restrictions"],
    }
    assert said == read
    assert sorted(said["restrictions"]) == sorted(
        [rule.purpose, rule.kind, members(rule.vendors)] for rule in string.restrictions
    )


def test_the_core_of_the_java_librarys_test():
    """`testCanConstructTCModelFromBase64String`."""
    string = parse(CORE)
    assert string is not None
    assert (15_800_580_600, 675, 2, 1, "EN", 15, 2, False, True, "AA") == (
        string.created_ds,
        string.cmp_id,
        string.cmp_version,
        string.consent_screen,
        string.language,
        string.vendor_list_version,
        string.policy_version,
        string.is_service_specific,
        string.hides_purpose_one,
        string.publisher_country,
    )
    assert ([1], [2, 10], [2, 9]) == (
        members(string.special_features),
        members(string.purpose_consents),
        members(string.purpose_interests),
    )


def test_vendors_as_bits_and_in_segments():
    """`testConstructConsentsFromBitFields`, `testCanParseDisclosedAndAllowedVendors`, `testCanParseAllParts`."""
    string = parse(f"{FIELDS}.IBAgAAAgAIAwgAgAAAAEAAAACA.QAagAQAgAIAwgA.cAAAAAAAITg=")
    assert string is not None
    assert [23, 37, 47, 48, 53, 65, 98] == members(string.vendor_consents)
    assert [37, 47, 48, 53, 65, 98, 129] == members(string.vendor_interests)
    assert [23, 37, 47, 48, 53, 65, 98, 129] == members(string.disclosed)
    assert [12, 23, 37, 47, 48, 53] == members(string.allowed)
    assert string.publisher is not None
    assert [1] == members(string.publisher.consents)


@pytest.mark.parametrize(
    ("text", "consents", "interests"),
    [
        ("COv__-wOv__-wC2AAAENAPCgAAAAAAAAAAAAA_wAQA_gEBABAEAAAA", None, [128]),
        ("COwBOpCOwBOpCLqAAAENAPCAAAAAAAAAAAAAFfwAYFfAV-BVkAGBVYFWAAA", [702, 703], None),
        ("COwBOpCOwBOpCLqAAAENAPCAAAAAAAAAAAAAFfwAQFfgUbABAUaAAA", [703], None),
    ],
)
def test_vendors_as_ranges(text, consents, interests):
    """`testCanParseRangeEncodedVendorLegitimateInterests`, `testRange`."""
    string = parse(text)
    assert string is not None
    assert consents is None or consents == members(string.vendor_consents)
    assert interests is None or interests == members(string.vendor_interests)


def test_what_the_publisher_was_allowed():
    """`testPublisherPurposes`: standard purposes and two of its own."""
    segment = of_bits("011 100000000000000000000000 000000000000000000000001 000010 01 11 000")
    string = parse(f"{CORE}.{segment}")
    assert string is not None
    assert string.publisher is not None
    assert ([1], [24], [2], [1, 2]) == tuple(members(each) for each in string.publisher)


def test_restrictions_that_name_a_vendor_more_than_once():
    """`201 unable to decode valid TCF2 String`: the first restriction's vendors."""
    string = parse(
        "CO4VGswO4VGswAfZCBDEAzCsAP_AAH_AAAigGUNf_X9fb2vj-_599_t0eY1f9_63t-wzjheMs-8NyZ-X_J4Wv2MyvB34JqQKGRgkunLBAQdtHGncTQgBwIlViTLMY02MjzNKJrJEilsbe2dYGH9vn8XT_ZKZ70-_v__7v3___33_5Ayhr_6_r7e18f3_Pvv9ujzGr_v_W9v2GccLxln3huTPy_5PC1-xmV4O_BNSBQyMEl05YICDto407iaEAOBEqsSZZjGmxkeZpRNZIkUtjb2zrAw_t8_i6f7JTPen39___d-___--__ICgKAOAAcAA4AFAAjgB6AEYALcGACAW0AtoJAHAAOAAcACgARwA9ACMAFuFABALaAW0GgDgAHAAOABQAI4AegBGAC3DgAgFtALaEQBwADgAHAAoAEcAPQAjABbiQAQC2gFtCoA4ABwADgAUACOAHoARgAtxYAIBbQC2hkAcAA4ABwAKABHAD0AIwAW40AEAtoBbQ6AOAAcAA4AFAAjgB6AEYALceACAW0AtohAHAAOAAcACgARwA9ACMAFuRABALaAW0SgDgAHAAOABQAI4AegBGAC3JgAgFtALaKQBwADgAHAAoAEcAPQAjABblQAQC2gFtA"
    )
    assert string is not None
    first = next(each for each in string.restrictions if (each.purpose, each.kind) == (1, 1))
    assert [7, 20, 71, 122, 140, 183] == members(first.vendors)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Bg",  # testReadBeyondBuffer
        "DQ==",  # shouldFailIfANonSupportedVersionIsPassed
        CORE[:-1] + "é",
        CORE[:30],
        f"{CORE}.",
        f"{CORE}." * 9,
        "C" * 5_000,
        " " + CORE,
        # 156, version 1.
        "BOhwdphOxFC7tAHABBFRC--AAAAuhr_7__7-_9_-_f__9uj3Or_v_f__32ccL59v_h_7v-_7fi_20nV4u_1vft9yfk1-5ctDztp507iakivXmqdeb9v_nz3_5pxP78k89r7337Ew_v8_v-b7BCON_YxEiA",
        # 142, a field of vendors that ends too early.
        "CLSYjTaOngnCIAOABBENAXCMAGOAABBAAA7IA5n-m7fP6_3fbqVv6E__PoA5Aqff3aJx8tv_1967rfnQEQoAIAAQCrwkAEABAcACABIMACAAuApEVABABUSABgBCAVSAtIoACACIArYQAHACgAFgAVwBJgDcAI7AWgMAAgBiKgAgBMgFfKQAQBRkQAQA4AFiBAAoA-AEVAJlAVgAtYcACAJcAr4eABAK8OgBgFzAOmAqwgABAWyA.IFukWSQh",
    ],
)
def test_what_is_no_whole_string_says_nothing(text):
    """Cut off, another version, stray characters, too long."""
    assert parse(text) is None


@given(st.text(max_size=300) | st.text("ABCDEFxyz_-.=0129", max_size=5_000).map(lambda text: "C" + text))
def test_whatever_comes_nothing_is_raised(text):
    """It is a string, or it is none."""
    string = parse(text)
    assert string is None or isinstance(allows(string, (1, 8), 7, frozenset({8})), bool)


@given(st.sampled_from(ENCODED), st.data())
def test_half_a_string_never_grants_more_than_the_whole(said, data):
    """Each cut of a real one is the same core, with fewer segments, or nothing."""
    cut = data.draw(st.integers(0, len(said["text"]) - 1))
    part, whole = parse(said["text"][:cut]), parse(said["text"])
    assert part is None or whole is None or part.purpose_consents == whole.purpose_consents


def test_ranges_of_all_vendors_cost_no_memory():
    """A few hundred bytes may stand for millions of vendors: they stay ranges."""
    head = "000010" + "0" * 207
    entry = "1" + f"{1:016b}" + f"{65535:016b}"
    ranges = f"{65535:016b}" + "1" + f"{200:012b}" + entry * 200
    string = parse(of_bits(head + ranges + "0" * 29))
    assert string is not None
    assert (200, True, False) == (
        len(string.vendor_consents.ranges),
        string.vendor_consents.has(65_535),
        string.vendor_consents.has(0),
    )


def said(consents=(), interests=(), vendors=(), told=(), restrictions=(), disclosed=None):
    """Write a core of the choices that a test cares about."""

    def bits(ids, most):
        return "".join("1" if each in ids else "0" for each in range(1, most + 1))

    def section(ids):
        most = max(ids, default=0)
        return f"{most:016b}0" + bits(ids, most)

    rules = f"{len(restrictions):012b}" + "".join(
        f"{purpose:06b}{kind:02b}{1:012b}0{vendor:016b}" for purpose, kind, vendor in restrictions
    )
    core = (
        "000010"
        + "0" * 146
        + bits(consents, 24)
        + bits(interests, 24)
        + "0" * 13
        + section(vendors)
        + section(told)
    )
    text = of_bits(core + rules).rstrip("=")
    string = parse(text if disclosed is None else f"{text}.{of_bits('001' + section(disclosed))}")
    assert string is not None
    return string


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ({"consents": (1, 8), "vendors": (7,)}, True),
        ({"consents": (1, 8)}, False),
        ({"consents": (1,), "vendors": (7,)}, False),
        ({"consents": (1,), "interests": (8,), "vendors": (7,), "told": (7,)}, True),
        ({"consents": (1,), "interests": (8,), "vendors": (7,)}, False),
        ({"interests": (1, 8), "vendors": (7,), "told": (7,)}, False),
        ({"consents": (1, 8), "vendors": (7,), "restrictions": ((8, tcf.NOT_ALLOWED, 7),)}, False),
        ({"consents": (1, 8), "vendors": (7,), "restrictions": ((8, tcf.NOT_ALLOWED, 6),)}, True),
        (
            {
                "consents": (1,),
                "interests": (8,),
                "vendors": (7,),
                "told": (7,),
                "restrictions": ((8, 1, 7),),
            },
            False,
        ),
        ({"consents": (1, 8), "vendors": (7,), "restrictions": ((8, 2, 7),)}, False),
        ({"consents": (1, 8), "vendors": (7,), "disclosed": (7,)}, True),
        ({"consents": (1, 8), "vendors": (7,), "disclosed": (6,)}, False),
    ],
)
def test_a_vendor_needs_every_purpose_on_a_basis_that_it_may_use(choices, expected):
    """Consent to purpose and vendor, or no objection where that is enough; restrictions and disclosure go before both."""
    assert expected is allows(said(**choices), (1, 8), 7, frozenset({8}))


def test_the_shop_itself_needs_no_vendor():
    """Its own segment counts where there is one, else what the visitor allows to anybody."""
    core = said(consents=(1, 8))
    assert allows(core, (1, 8), 0, NOBODY)
    refused = core._replace(publisher=tcf.Publisher(Ids(24, 0), Ids(24, 0), Ids(), Ids()))
    assert not allows(refused, (1, 8), 0, NOBODY)
