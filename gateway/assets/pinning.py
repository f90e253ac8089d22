"""Which version of a vendor's asset may be served: every version that was seen, what was decided about it, and who decided.

Pure. What always holds: a version is its content's SHA-256; one that was rejected is never served until a person approves it; what is served is
the version that the vendor gives now when that is approved, else the one that was approved last. So a vendor's change that waits for a person, or was
rejected by one, leaves what is served as it is; and a person who rejects what is served goes back to what was served before.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_VERSIONS = 500


class State(StrEnum):
    """What was decided about a version."""

    APPROVED = "approved"
    HELD = "held"
    REJECTED = "rejected"


class By(StrEnum):
    """Who decided: the first version is trusted, a setting says so (`on_change`, `pins`), or a person did."""

    FIRST = "first"
    SETTING = "setting"
    PIN = "pin"
    PERSON = "person"


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One content that the vendor has given. Times are Unix milliseconds; `etag` and `last_modified` are the vendor's own words."""

    sha256: str
    size: int
    state: State
    by: By
    first_seen_ms: int
    last_seen_ms: int
    decided_ms: int
    etag: str = ""
    last_modified: str = ""


class Tracked(msgspec.Struct, frozen=True, kw_only=True):
    """An asset: where it comes from, what the vendor gives now (`current`, a hash) and when it last said so, and all versions, oldest first."""

    url: str
    current: str
    confirmed_ms: int
    versions: tuple[Version, ...]

    def version(self, sha256: str) -> Version | None:
        """Give the version with this hash."""
        return next((each for each in self.versions if each.sha256 == sha256), None)

    @property
    def servable(self) -> tuple[Version, ...]:
        """The versions that may be served, the best first: a later one stands in where the content of an earlier one is lost."""
        approved = [each for each in self.versions if each.state is State.APPROVED]
        return tuple(
            sorted(
                approved,
                key=lambda each: (each.sha256 == self.current, each.decided_ms, each.last_seen_ms),
                reverse=True,
            )
        )

    @property
    def served(self) -> Version | None:
        """The version that is to be served; `None` while no approved one is there."""
        return next(iter(self.servable), None)

    @property
    def is_held(self) -> bool:
        """Whether what the vendor gives now waits for a person."""
        current = self.version(self.current)
        return current is not None and current.state is State.HELD


class Index(msgspec.Struct, frozen=True):
    """All assets, by the path that they are served at."""

    assets: dict[str, Tracked] = {}
    format: int = 1


class Policy(msgspec.Struct, frozen=True):
    """What becomes of a version that nobody has decided about: `pins` are the hashes that the settings trust, by path."""

    on_change: str = "serve"
    pins: Mapping[str, Collection[str]] = {}

    def decide(self, path: str, sha256: str, *, is_first: bool) -> tuple[State, By]:
        """Say whether a version of this asset may be served, and why."""
        pins = self.pins.get(path, ())
        if pins:
            return (State.APPROVED, By.PIN) if sha256 in pins else (State.HELD, By.PIN)
        if is_first:
            return State.APPROVED, By.FIRST
        return (State.HELD if self.on_change == "hold" else State.APPROVED), By.SETTING


class Ambiguous(Exception):
    """A hash that somebody wrote fits no version, or several: which ones (`found`)."""

    def __init__(self, given: str, found: Collection[str]) -> None:
        several = f"fits {len(found)} versions: write more of it"
        self.hint = "`tracking-gateway script list` shows all"
        super().__init__(f"{given} {several if found else 'is no version that was seen'}")
        self.found = found


class Seen(msgspec.Struct, frozen=True):
    """A content that the vendor has just given."""

    sha256: str
    size: int
    etag: str = ""
    last_modified: str = ""


def seen(index: Index, path: str, url: str, found: Seen, policy: Policy, now_ms: int) -> Index:
    """Take note of what the vendor gives now."""
    before = index.assets.get(path)
    versions = before.versions if before else ()
    known = next((each for each in versions if each.sha256 == found.sha256), None)
    if known is None:
        state, by = policy.decide(path, found.sha256, is_first=not versions)
        version = Version(
            sha256=found.sha256, size=found.size, state=state, by=by, first_seen_ms=now_ms, last_seen_ms=now_ms,
            decided_ms=now_ms, etag=found.etag, last_modified=found.last_modified,
        )  # fmt: skip
        versions = (*versions, version)
    else:
        version = msgspec.structs.replace(
            known, last_seen_ms=now_ms, etag=found.etag, last_modified=found.last_modified
        )
        versions = tuple(version if each is known else each for each in versions)
    after = Tracked(url=url, current=found.sha256, confirmed_ms=now_ms, versions=versions)
    return _with(index, path, _bounded(_settled(path, after, policy, now_ms)))


def confirmed(index: Index, path: str, now_ms: int) -> Index:
    """Take note that the vendor still gives what it gave; nothing where the index was begun anew meanwhile."""
    tracked = index.assets.get(path)
    if tracked is None:
        return index
    return _with(index, path, msgspec.structs.replace(tracked, confirmed_ms=now_ms))


def settled(index: Index, policy: Policy, now_ms: int) -> Index:
    """Bring what settings have decided in line with what they say now; what a person has decided stays."""
    return Index({path: _settled(path, each, policy, now_ms) for path, each in index.assets.items()})


def decided(index: Index, sha256: str, state: State, now_ms: int) -> Index:
    """Take note of what a person says about a version, in every asset that has it."""

    def decide(version: Version) -> Version:
        if version.sha256 != sha256:
            return version
        return msgspec.structs.replace(version, state=state, by=By.PERSON, decided_ms=now_ms)

    return Index({path: _mapped(each, decide) for path, each in index.assets.items()})


def found_by(index: Index, prefix: str) -> str:
    """Give the one hash that begins so. Raises `Ambiguous`."""
    every = {version.sha256 for each in index.assets.values() for version in each.versions}
    found = sorted(each for each in every if prefix and each.startswith(prefix.lower()))
    if len(found) != 1:
        raise Ambiguous(prefix, found)
    return found[0]


def to_keep(index: Index, keep_versions: int) -> set[str]:
    """Give the hashes whose contents are to be kept: of each asset what is served, what stands in when that is rejected, what the vendor gives, and the newest."""
    kept: set[str] = set()
    for tracked in index.assets.values():
        newest = sorted(tracked.versions, key=lambda each: each.last_seen_ms)[-keep_versions:]
        kept |= {each.sha256 for each in (*newest, *tracked.servable[:2])} | {tracked.current}
    return kept


def _settled(path: str, tracked: Tracked, policy: Policy, now_ms: int) -> Tracked:
    is_only = len(tracked.versions) == 1

    def settle(version: Version) -> Version:
        if version.by is By.PERSON:
            return version
        is_first = version.by is By.FIRST or (is_only and version.by is By.PIN)
        state, by = policy.decide(path, version.sha256, is_first=is_first)
        # A stricter `on_change` is for what comes; what was let in under the old one stays.
        if state is version.state or (by is By.SETTING and state is State.HELD):
            return version
        return msgspec.structs.replace(version, state=state, by=by, decided_ms=now_ms)

    return _mapped(tracked, settle)


def _mapped(tracked: Tracked, change: Callable[[Version], Version]) -> Tracked:
    return msgspec.structs.replace(tracked, versions=tuple(map(change, tracked.versions)))


def _bounded(tracked: Tracked) -> Tracked:
    """Forget the oldest of very many versions, but not those that a person has decided about, nor those in use."""
    surplus = len(tracked.versions) - _MOST_VERSIONS
    if surplus <= 0:
        return tracked
    used = {tracked.current, *(each.sha256 for each in tracked.servable[:2])}
    idle = [each for each in tracked.versions if each.by is not By.PERSON and each.sha256 not in used]
    dropped = {each.sha256 for each in sorted(idle, key=lambda each: each.last_seen_ms)[:surplus]}
    return msgspec.structs.replace(
        tracked, versions=tuple(each for each in tracked.versions if each.sha256 not in dropped)
    )


def _with(index: Index, path: str, tracked: Tracked) -> Index:
    return Index({**index.assets, path: tracked})
