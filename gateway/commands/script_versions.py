"""What the `script` commands have in common: the index, how a version is named and shown, and what is in its content."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.archive.lines import moment
from gateway.terminal import explained, fail

if TYPE_CHECKING:
    from gateway.assets.pinning import Index, Tracked, Version
    from gateway.assets.versions import VersionStore
    from gateway.settings import Settings


class Report(NamedTuple):
    """What becomes of a content: as pages get it, how often each host was replaced, which names of the vendor's are left, and which paths lead nowhere."""

    content: bytes
    replaced: dict[str, int]
    left: dict[str, int]
    nowhere: list[str]


def store_of(settings: Settings) -> VersionStore:
    """Give where a gateway keeps the versions."""
    from gateway.assets.versions import VersionStore  # noqa: PLC0415 -- `--help` need not wait for it
    from gateway.vendor_scripts import FOLDER  # noqa: PLC0415

    return VersionStore(settings.data_dir / FOLDER)


def opened_index(settings: Settings, *, as_json: bool) -> Index:
    """Give all versions, or say that there are none yet and end with 1."""
    store = store_of(settings)
    with explained(as_json=as_json):
        index = store.load()
    if not index.assets:
        hint = (
            'set script.source = "upstream" and start the gateway, or name the right settings with --config'
        )
        fail(f"no versions of the vendor's scripts at {store.folder}: {hint}", as_json=as_json)
    return index


def hash_in(index: Index, name: str) -> str:
    """Give the hash that somebody means: its beginning, or an asset's path for what is served there. Raises `Ambiguous`."""
    from gateway.assets.pinning import Ambiguous, found_by  # noqa: PLC0415 -- see `store_of`

    tracked = index.assets.get(name)
    if tracked is not None:
        version = tracked.served or tracked.version(tracked.current)
        if version is None:
            raise Ambiguous(name, ())
        return version.sha256
    return found_by(index, name)


def is_served(tracked: Tracked, version: Version) -> bool:
    """Tell whether pages get this version."""
    return tracked.served is not None and tracked.served.sha256 == version.sha256


def standing(tracked: Tracked, version: Version) -> str:
    """Say in a word how a version stands: `served`, `approved`, `held`, `rejected`."""
    return "served" if is_served(tracked, version) else version.state.value


def shown(at_ms: int) -> str:
    """Give a time as people read it."""
    return moment(at_ms)


def document(path: str, tracked: Tracked, store: VersionStore) -> dict[str, Any]:
    """Give an asset and its versions for a program."""
    served = tracked.served
    return {
        "asset": path,
        "url": tracked.url,
        "served": served.sha256 if served else None,
        "current": tracked.current,
        "is_held": tracked.is_held,
        "confirmed_at": moment(tracked.confirmed_ms),
        "versions": [
            {
                "sha256": version.sha256,
                "is": standing(tracked, version),
                "state": version.state.value,
                "decided_by": version.by.value,
                "bytes": version.size,
                "first_seen_at": moment(version.first_seen_ms),
                "last_given_at": moment(version.last_seen_ms),
                "decided_at": moment(version.decided_ms),
                "is_content_kept": store.has(version.sha256),
            }
            for version in sorted(tracked.versions, key=lambda each: -each.last_seen_ms)
        ],
    }


def report(settings: Settings, path: str, content: bytes) -> Report:
    """Say what becomes of a content on its way to a page. Raises nothing: what is no text stays as it is."""
    from gateway.commands.options import now_ms  # noqa: PLC0415 -- see `store_of`
    from gateway.names import Names  # noqa: PLC0415
    from gateway.settings_script import kind_of  # noqa: PLC0415
    from gateway.vendor_scripts import public_urls, rendering_of  # noqa: PLC0415

    if not kind_of(path).is_text:
        return Report(content, {}, {}, [])
    names = Names(settings.paths, now_ms())
    url = public_urls(settings)[0]
    rewritten = rendering_of(settings, names).rewriting(url).apply(content)
    text = re.sub(rb"\\+(?=[/.])", b"", rewritten.content)
    own = re.escape(url.partition("://")[2].encode())
    # What ends in a slash may be a pattern's end.
    asked = {found.decode().rstrip("/") for found in re.findall(own + rb"(/[A-Za-z0-9._~/-]+)", text)}
    served = {
        name.path
        for usual in ("/event", "/stream_event", *settings.script.sources())
        for name in names.of(usual)
    }
    return Report(rewritten.content, dict(rewritten.counts), dict(rewritten.left), sorted(asked - served))
