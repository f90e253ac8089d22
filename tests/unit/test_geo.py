"""Where an address is: every publisher's records, the databases of MaxMind's own tests, and files that change or break."""

from __future__ import annotations

import shutil
import time

import pytest

from gateway.commands.geo import described, seen_database
from gateway.events.world import NOWHERE
from gateway.geo.database import Database, GeoUnusable, read_file
from gateway.geo.keeper import GeoKeeper
from gateway.geo.places import place_of
from gateway.geo.shipped import open_shipped
from gateway.settings import Settings
from gateway.settings_network import Geo
from tests.geo_files import CITY, LONDON, PLACES, make_database

HANOI = {"country": "VN", "region": "Hà Nội", "region_code": "HN", "city": "Hà Nội"}
SHAPES = {
    "maxmind": {
        "country": {"iso_code": "VN", "names": {"en": "Vietnam"}},
        "subdivisions": [{"iso_code": "HN", "names": {"en": "Hanoi", "vi": "Hà Nội"}}, {"names": {"en": "x"}}],
        "city": {"names": {"en": "Hanoi", "vi": "Hà Nội"}},
        "location": {"latitude": 21.02851, "longitude": 105.80482},
    },
    "ipinfo": {"country": "VN", "region": "Hà Nội", "region_code": "HN", "city": "Hà Nội", "lat": "21.0285", "lng": "105.8048"},
    "ipinfo lite": {"country": "Vietnam", "country_code": "VN", "region": "Hà Nội", "region_code": "HN", "city": "Hà Nội", "lat": 21.03, "lng": 105.8},
    "ip-location-db": {"country_code": "vn", "state1": "Hà Nội", "region_code": "HN", "city": "Hà  Nội", "latitude": 21.03, "longitude": 105.8},
}  # fmt: skip


class Ear:
    """A journal and metrics: keeps what they are told."""

    def __init__(self):
        self.lines, self.age = [], None

    def trouble(self, event, **fields):
        self.lines.append((event, fields))

    warned = changed = trouble

    def geo_age(self, seconds):
        self.age = seconds

    def names(self):
        return [event for event, _ in self.lines]


def keeper_of(path, ear, **more):
    return GeoKeeper(Geo(database=str(path), max_age_days=100_000), ear, ear, **more)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_publishers_records_are_read(shape):
    """Country, region and city, under the same names; coordinates only where they are wanted, to a hundredth of a degree."""
    assert HANOI == place_of(SHAPES[shape], "vi", "city", with_coordinates=False).block
    assert {"country": "VN"} == place_of(SHAPES[shape], "vi", "country", with_coordinates=True).block
    whole = place_of(SHAPES[shape], "vi", "city", with_coordinates=True)
    assert {**HANOI, "latitude": 21.03, "longitude": 105.8} == whole.block
    assert ("VN", "Hà Nội", "Hà Nội") == (whole.country, whole.region, whole.city)


@pytest.mark.parametrize(
    "record",
    [
        None, [], "VN", 7, {}, {"country": None}, {"country": {"iso_code": 7}}, {"country": "Vietnam"}, {"country_code": "V1"},
        {"country": {"names": {"en": "x"}}, "subdivisions": [None], "city": {"names": []}}, {"location": {"latitude": "x", "longitude": 1}},
        {"subdivisions": {}, "city": 5, "lat": 91, "lng": 0}, {"lat": float("nan"), "lng": 0},
    ],
)  # fmt: skip
def test_a_record_of_any_other_shape_is_no_place(record):
    """Nor does it break anything."""
    assert place_of(record, "en", "city", with_coordinates=True) is NOWHERE


def test_names_fall_back_to_english():
    """Then to whatever there is."""
    record = {"city": {"names": {"en": "Hanoi", "vi": "Hà Nội"}}}
    assert "Hanoi" == place_of(record, "fr", "city", with_coordinates=False).city
    assert (
        "Londres"
        == place_of({"city": {"names": {"fr": "Londres"}}}, "en", "city", with_coordinates=False).city
    )


def test_maxminds_own_test_database_is_read():
    """Of its records, one by one, and its languages."""
    database = read_file(str(CITY), Geo(language="ja"))
    assert {
        "country": "GB",
        "region": "England",
        "region_code": "ENG",
        "city": "ロンドン",
    } == database.locate(LONDON).block
    assert database.locate(f"::ffff:{LONDON}") == database.locate(LONDON)
    assert "JP" == database.locate("2001:218::1").country
    assert ("GeoIP2-City", ("en", "zh")) == (database.about.name, database.about.languages)


@pytest.mark.parametrize(
    "address",
    ["", "x", "10.0.0.1", "127.0.0.1", "192.168.1.1", "100.64.0.1", "169.254.1.1", "::1", "fe80::1", "fc00::1", "::ffff:10.0.0.1", "9" * 99],
)  # fmt: skip
def test_a_private_address_has_no_place(tmp_path, address):
    """Whatever a database says of it; nor has a text that is no address."""
    database = read_file(
        str(
            make_database(
                tmp_path / "a.mmdb", {each: {"country_code": "VN"} for each in ("::/1", "8000::/1")}
            )
        ),
        Geo(),
    )
    assert database.locate(address) is NOWHERE


def test_a_database_of_ipv4_knows_nothing_of_ipv6(tmp_path):
    """It is no error."""
    database = read_file(
        str(make_database(tmp_path / "a.mmdb", {"14.160.0.0/11": SHAPES["ipinfo"]}, ip_version=4)), Geo()
    )
    assert ("VN", NOWHERE) == (database.locate("14.160.0.1").country, database.locate("2001:ee0::1"))


@pytest.mark.parametrize("path", sorted(PLACES.glob("*.mmdb")), ids=lambda path: path.stem)
def test_a_broken_database_is_refused_or_harmless(path):
    """MaxMind's collection of damaged files: none of them ends the process or gives anything but a place or none."""
    try:
        database = read_file(str(path), Geo(coordinates=True))
    except GeoUnusable as error:
        told = str(error)
        database = None
    if database is None:
        assert f"geo.database {path} can't be used" in told
        return
    for number in range(0, 1 << 32, 40_000_003):
        place = database.locate(".".join(map(str, number.to_bytes(4, "big"))))
        assert len(place.country) in {0, 2}


@pytest.mark.parametrize("left", [0, 1, 100, 10_000, 22_000, 22_568])
def test_a_half_written_file_is_refused(left):
    """Its end tells what it is, so a beginning is told from a whole, up to the last byte."""
    with pytest.raises(GeoUnusable, match=r"beginning|empty|damaged"):
        Database("half.mmdb", CITY.read_bytes()[:left], Geo())


def test_what_comes_with_the_gateway_knows_countries():
    """Of IPv4 and IPv6; its name, date and licence are told."""
    database = open_shipped(Geo())
    assert [{"country": "VN"}, {"country": "VN"}, {"country": "NL"}] == [
        database.locate(address).block for address in ("14.160.0.1", "2001:ee0::1", "193.0.6.139")
    ]
    found, notes = seen_database(Settings())
    assert ("IPtoASN countries", "PDDL 1.0", "2026-06-17") == (
        found["name"],
        found["licence"],
        found["built"],
    )
    assert "IPtoASN countries" in described(found)
    assert not [note for note in notes if "geo.database was" in note]


def test_check_names_a_wrong_file(tmp_path):
    """And one that is old, or has no names in the wanted language."""
    found, (note,) = seen_database(Settings(geo={"database": str(tmp_path / "none.mmdb")}))
    assert "No such file" in found["problem"]
    assert "geo.database" in note
    assert "can't be used" in described(found)
    old = make_database(tmp_path / "old.mmdb", {"1.0.0.0/8": {}}, built=1_600_000_000)
    found, notes = seen_database(Settings(geo={"database": str(old), "language": "vi"}))
    assert ("2020-09-13", 2) == (found["built"], len(notes))
    assert (None, []) == seen_database(Settings(geo={"enabled": False}))


async def test_another_file_is_taken(tmp_path):
    """By renaming or by writing over, while places are asked for; what was remembered goes."""
    ear = Ear()
    path = make_database(tmp_path / "geo.mmdb", {"14.160.0.0/11": {"country_code": "VN"}})
    keeper = keeper_of(path, ear)
    assert "VN" == keeper.locate("14.160.0.1").country
    make_database(path, {"14.160.0.0/11": {"country_code": "SG"}})
    await keeper.look()
    assert ("SG", ["geo_database_taken"], "") == (
        keeper.locate("14.160.0.1").country,
        ear.names(),
        keeper.trouble(),
    )
    # As `cp` does it: the file that is open becomes shorter.
    path.write_bytes(b"")
    assert "SG" == keeper.locate("14.161.0.1").country
    shutil.copyfile(CITY, path)
    await keeper.look()
    assert "GB" == keeper.locate(LONDON).country


async def test_a_file_that_can_not_be_used_is_refused_once(tmp_path):
    """The one from before stays; when the file is whole, it is taken."""
    ear = Ear()
    path = make_database(tmp_path / "geo.mmdb", {"14.160.0.0/11": {"country_code": "VN"}})
    keeper = keeper_of(path, ear)
    path.write_bytes(CITY.read_bytes()[:9_000])
    for _ in range(3):
        await keeper.look()
    assert (["geo_database_refused"], "VN") == (ear.names(), keeper.locate("14.160.0.1").country)
    assert "stays in use" in keeper.trouble()
    path.unlink()
    await keeper.look()
    assert "VN" == keeper.locate("14.160.0.1").country
    path.write_bytes(CITY.read_bytes())
    await keeper.look()
    assert ("GB", "") == (keeper.locate(LONDON).country, keeper.trouble())


async def test_without_the_users_file_the_countries_that_come_along_stand_in(tmp_path):
    """The log says so, and the file is taken when it comes."""
    ear = Ear()
    keeper = keeper_of(tmp_path / "geo.mmdb", ear)
    assert (["geo_database_refused"], {"country": "VN"}) == (ear.names(), keeper.locate("14.160.0.1").block)
    shutil.copyfile(CITY, tmp_path / "geo.mmdb")
    await keeper.look()
    assert "London" == keeper.locate(LONDON).city


async def test_an_old_database_is_warned_of_once_a_day(tmp_path):
    """In the log and by `trouble`; its age is a number all the time."""
    ear, now = Ear(), [time.time()]
    path = make_database(tmp_path / "geo.mmdb", {"1.0.0.0/8": {}}, built=int(now[0]) - 90 * 86_400)
    keeper = GeoKeeper(Geo(database=str(path)), ear, ear, clock=lambda: now[0])
    await keeper.look()
    assert (["geo_database_old"], 90) == (ear.names(), int(ear.age // 86_400))
    assert "90 days" in keeper.trouble()
    now[0] += 86_401
    await keeper.look()
    assert 2 == len(ear.lines)
