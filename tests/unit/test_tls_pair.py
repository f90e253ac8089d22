"""A certificate and its key: what they say, which can be used, and which pair new connections get."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from gateway.settings import Logging
from gateway.settings_tls import Tls
from gateway.telemetry.journal import Journal
from gateway.telemetry.logging import open_log
from gateway.telemetry.metrics import Metrics
from gateway.tls.certificate import Certificate, read_certificate
from gateway.tls.keeper import Keeper
from gateway.tls.pair import TlsUnusable, load_pair
from tests.tls_files import HOST, TlsFiles, chain_of

DAY = 86_400


@pytest.fixture
def files(tmp_path):
    return TlsFiles(tmp_path)


def tls_of(files, **more):
    return Tls(**files.sections, **more)


@pytest.mark.parametrize(
    "until", [datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2050, 1, 1, tzinfo=UTC)]
)
def test_a_certificate_says_for_whom_it_is_and_until_when(files, until):
    """Names in lower case, the time in both of the forms that certificates have."""
    leaf = files.authority.issue_cert("Track.Shop.Example", "*.shop.example", not_after=until)
    found = read_certificate(chain_of(leaf))
    assert (("track.shop.example", "*.shop.example"), until.timestamp()) == (found.names, found.expires)


@pytest.mark.parametrize(
    ("host", "covered"),
    [("shop.example", False), ("T.shop.example", True), ("a.b.shop.example", False), ("exact.example", True)],
)
def test_a_star_stands_for_one_label(host, covered):
    """As browsers read it."""
    assert covered == Certificate(("*.shop.example", "exact.example"), 0).covers(host)


def test_whatever_is_no_certificate_is_a_value_error(files):
    """Cut anywhere, or something else: never another error."""
    pem = chain_of(files.issued())
    end = pem.index(b"-----END CERTIFICATE-----")
    for length in range(0, end, 7):
        with pytest.raises(ValueError, match="certificate"):
            read_certificate(pem[:length] + b"\n-----END CERTIFICATE-----\n")
    with pytest.raises(ValueError, match="no certificate in PEM form"):
        read_certificate(files.authority.cert_pem.bytes().replace(b"CERTIFICATE", b"REQUEST"))


def test_a_key_may_have_a_password(files, tmp_path):
    """It stands in a file of its own; without it nobody is asked on a terminal."""
    files.put(files.issued())
    password = tmp_path / "password"
    password.write_text("geheim\n")
    subprocess.run(
        ["openssl", "pkcs8", "-topk8", "-in", files.key, "-out", tmp_path / "locked", "-passout", f"file:{password}"],
        check=True, timeout=60,
    )  # fmt: skip
    (tmp_path / "locked").rename(files.key)
    assert (HOST,) == load_pair(tls_of(files, key_password_file=str(password))).certificate.names
    with pytest.raises(TlsUnusable, match=r"name its file in tls\.key_password_file"):
        load_pair(tls_of(files))
    password.write_text("wrong")
    with pytest.raises(TlsUnusable, match="does not open it"):
        load_pair(tls_of(files, key_password_file=str(password)))


def test_a_pair_that_can_not_be_used_says_which_file_and_why(files):
    """Each with a hint, and no word of the key."""
    leaf, other = files.issued(), files.issued()
    chain, key = chain_of(leaf), leaf.private_key_pem.bytes()
    broken = {
        "chain.pem can't be used for TLS: No such file": (None, key),
        "key.pem can't be used for TLS: No such file": (chain, None),
        "chain.pem can't be used for TLS: it holds no certificate": (chain[:300], key),
        "key.pem can't be used for TLS: it holds no whole private key": (chain, key[:100]),
        "key.pem can't be used for TLS: it is another certificate's key": (
            chain,
            other.private_key_pem.bytes(),
        ),
        "its chain, or the key, can't be read": (chain, key.replace(b"\n", b"\nA", 1)),
    }
    for message, contents in broken.items():
        for path, content in zip((files.chain, files.key), contents, strict=True):
            path.unlink(missing_ok=True)
            if content is not None:
                path.write_bytes(content)
        with pytest.raises(TlsUnusable, match=message) as caught:
            load_pair(tls_of(files))
        assert "whole chain in PEM" in caught.value.hint


@pytest.mark.parametrize(
    ("given", "key", "hint"),
    [
        ({"certificate_file": "a"}, "certificate_file", "tls.key_file"),
        ({"key_file": "a"}, "certificate_file", "tls.certificate_file"),
        ({"hsts_seconds": 1}, "hsts_seconds", "plain HTTP"),
        ({"key_password_file": "a"}, "key_password_file", "plain HTTP"),
        ({"minimum_version": "1.1"}, "minimum_version", "'1.2' or '1.3'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(given, key, hint):
    """The error names the key and what is missing."""
    with pytest.raises(ValidationError) as caught:
        Tls(**given)
    [detail] = caught.value.errors()
    assert key == detail["loc"][0]
    assert hint in detail["msg"]


class Kept:
    """A keeper with a log, numbers and a clock to look at."""

    def __init__(self, files):
        self.log_file = files.folder / "log"
        self.log = open_log(Logging(format="json", file=str(self.log_file)))
        self.metrics = Metrics()
        self.now = datetime.now(UTC).timestamp()
        self.keeper = Keeper(tls_of(files), Journal(self.log, self.metrics), self.metrics, lambda: self.now)

    @property
    def names(self):
        return self.keeper.context.pair.certificate.names

    def logged(self, event):
        self.log.close()
        return self.log_file.read_text().count(f'"event":"{event}"')


async def test_a_new_pair_takes_the_place_of_the_old_one(files):
    """Also where the files are symbolic links, or the folder they lie in is one."""
    first, second = files.folder / "1", files.folder / "2"
    for number, folder in enumerate((first, second)):
        folder.mkdir()
        leaf = files.issued(f"{number}.example")
        (folder / "chain.pem").write_bytes(chain_of(leaf))
        (folder / "key.pem").write_bytes(leaf.private_key_pem.bytes())
    live = files.folder / "live"
    live.symlink_to(first)
    files.chain.symlink_to(live / "chain.pem")
    files.key.symlink_to(live / "key.pem")
    kept = Kept(files)
    assert ("0.example",) == kept.names
    (files.folder / "fresh").symlink_to(second)
    (files.folder / "fresh").rename(live)
    await kept.keeper.look()
    assert ("1.example",) == kept.names
    assert "" == kept.keeper.trouble()
    await kept.keeper.look()
    assert 1 == kept.logged("tls_pair_taken")


async def test_a_bad_pair_is_kept_out_told_once_and_forgotten_when_it_is_mended(files):
    """A half-written file, a key that isn't there yet, an expired certificate: the old pair stays in use."""
    good = files.issued("good.example")
    files.put(good)
    kept = Kept(files)
    files.chain.write_bytes(chain_of(files.issued())[:200])
    for _ in range(3):
        await kept.keeper.look()
    assert "holds no certificate" in kept.keeper.trouble()
    files.put(files.issued(), good)
    await kept.keeper.look()
    assert "another certificate's key" in kept.keeper.trouble()
    files.put(files.issued(days=-1))
    await kept.keeper.look()
    assert "expired" in kept.keeper.trouble()
    assert ("good.example",) == kept.names
    files.put(files.issued("better.example"))
    await kept.keeper.look()
    assert (("better.example",), "") == (kept.names, kept.keeper.trouble())
    assert 3 == kept.logged("tls_pair_refused")


async def test_files_are_read_again_when_somebody_asks(files):
    """SIGHUP: also when the file system says that they are the same."""
    files.put(files.issued())
    kept = Kept(files)
    before = kept.keeper.context.pair
    await kept.keeper.look()
    assert before is kept.keeper.context.pair
    await kept.keeper.look(is_asked=True)
    assert before is not kept.keeper.context.pair
    assert 1 == kept.logged("tls_pair_taken")


async def test_a_certificate_that_ends_soon_is_warned_of_once_a_day(files):
    """Under fourteen days: in the log, in readiness, and as a number at all times."""
    files.put(files.issued(days=20))
    kept = Kept(files)

    def left():
        return kept.metrics.registry.get_sample_value("tracking_gateway_tls_expires_seconds") / DAY

    assert 20 == pytest.approx(left(), abs=0.01)
    assert "" == kept.keeper.trouble()
    for _ in range(5):
        kept.now += 5 * DAY - DAY / 2
        await kept.keeper.look()
        await kept.keeper.look()
    assert -2.5 == pytest.approx(left(), abs=0.01)
    assert kept.keeper.trouble().endswith("has expired")
    assert 4 == kept.logged("tls_expires_soon")


def test_without_tls_there_is_no_number_that_looks_like_an_expired_certificate():
    """An alert on it would never stop."""
    assert b"tls_expires" not in Metrics().exposition()
