"""The versions on the disk: whole or as before, whoever writes, whatever fails."""

from __future__ import annotations

import concurrent.futures
import errno
import hashlib
import os

import pytest

from gateway.assets.pinning import Index, Policy, Seen, State, decided, seen
from gateway.assets.versions import AssetsUnavailable, VersionStore

PATH = "/insight.js"
POLICY = Policy("serve")


def noted(store, content, at=1):
    """Record that the vendor gives this content now."""
    found = Seen(hashlib.sha256(content).hexdigest(), len(content))
    return store.change(
        lambda index: seen(index, PATH, "https://v.example/", found, POLICY, at), content=content
    )


@pytest.fixture
def store(tmp_path):
    return VersionStore(tmp_path / "assets")


def test_what_was_recorded_is_there(store):
    """Index and content, for whoever opens the folder next."""
    index = noted(store, b"one")
    again = VersionStore(store.folder)
    assert index == again.load()
    assert b"one" == again.content(index.assets[PATH].current)
    assert Index() == VersionStore(store.folder / "elsewhere").load()


def test_a_damaged_content_is_none(store):
    """It is what its name says, or is not used."""
    sha256 = noted(store, b"one").assets[PATH].current
    (store.folder / sha256).write_bytes(b"two")
    assert None is store.content(sha256)
    noted(store, b"one")
    assert b"one" == store.content(sha256)


@pytest.mark.parametrize("call", ["fsync", "replace", "write"])
def test_a_disk_that_fails_leaves_everything_as_it_was(store, monkeypatch, call):
    """Before, while and after a file is put in its place; nothing half-written stays behind."""
    before = noted(store, b"one")
    files = sorted(each.name for each in store.folder.iterdir())

    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        if call == "write":
            patched.setattr(os, "fdopen", lambda handle, *_: _closed(handle, fail))
        else:
            patched.setattr(os, call, fail)
        with pytest.raises(AssetsUnavailable, match="No space left"):
            noted(store, b"two", 2)
    assert before == VersionStore(store.folder).load()
    assert files == sorted(each.name for each in store.folder.iterdir())


def _closed(handle, fail):
    os.close(handle)
    fail()


def test_nobodys_word_is_lost_when_many_write_at_once(store):
    """The gateway's processes and people's commands: each change builds on the one before."""
    contents = [b"%d" % number for number in range(24)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda content: noted(VersionStore(store.folder), content), contents))
        hashes = [hashlib.sha256(each).hexdigest() for each in contents]
        rejected = hashes[::2]
        list(
            pool.map(
                lambda each: VersionStore(store.folder).change(
                    lambda index: decided(index, each, State.REJECTED, 2)
                ),
                rejected,
            )
        )
    tracked = store.load().assets[PATH]
    assert set(hashes) == {each.sha256 for each in tracked.versions}
    assert set(rejected) == {each.sha256 for each in tracked.versions if each.state is State.REJECTED}


def test_an_index_of_a_newer_gateway_is_left_alone(store):
    """It says which file, and what to do."""
    noted(store, b"one")
    path = store.folder / "index.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"format": 1', '"format": 2'), encoding="utf-8")
    with pytest.raises(AssetsUnavailable, match="format is 2"):
        noted(store, b"two")


def test_the_stamp_changes_with_the_index(store):
    """So that other processes need not read it to know."""
    stamps = [store.stamp()]
    for number in range(5):
        noted(store, b"%d" % number, number)
        stamps.append(store.stamp())
    assert 6 == len(set(stamps))
    noted(store, b"4", 4)
    assert stamps[-1] == store.stamp()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
def test_what_root_decides_the_gateway_can_read(store):
    """`sudo tracking-gateway script approve`: the files stay those of the user whom the folder belongs to."""
    noted(store, b"one")
    os.chown(store.folder, 4_711, 4_712)
    noted(store, b"two", 2)
    new = {"index.json", "lock", hashlib.sha256(b"two").hexdigest()}
    assert {(4_711, 4_712)} == {
        (found.st_uid, found.st_gid) for each in new for found in [(store.folder / each).stat()]
    }
