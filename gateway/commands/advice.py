"""What `check` says of settings that are allowed but probably not meant."""

from __future__ import annotations

import contextlib
import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.settings import Settings


def advice(loaded: Settings) -> list[str]:
    """Say what is allowed but probably not meant."""
    notes = [
        f"identity.fields.{name} = {policy!r}: raw values leave to the collector"
        for name, policy in loaded.identity.field_policies.items()
        if policy in {"pass", "hash_and_pass"}
    ]
    known = list(loaded.identity.field_policies)
    for name in loaded.identity.derive_cid_from:
        near = difflib.get_close_matches(name, known, 1, 0.6)
        if name not in known and near:
            notes.append(
                f"identity.derive_cid_from names {name!r}; if you mean {near[0]!r}, it is written so"
            )
    if loaded.spool.durability == "os":
        notes.append(
            'spool.durability = "os": a power cut or a crash of the system may take acknowledged events of the last half minute'
        )
    if not loaded.cookies.secure:
        notes.append("cookies.secure = false: the visitor's id travels over plain HTTP too")
    if loaded.server.host not in {"127.0.0.1", "localhost", "::1"} and not loaded.server.trusted_proxies:
        notes.append(
            "server.trusted_proxies is empty: behind a proxy or CDN every visitor would have the proxy's address"
        )
    if loaded.server.client_address_header != "X-Forwarded-For" and not loaded.server.trusted_proxies:
        notes.append(
            "server.client_address_header is not read: server.trusted_proxies names nobody who is believed"
        )
    if (
        loaded.collector.url.startswith("http://")
        and "127.0.0.1" not in loaded.collector.url
        and "localhost" not in loaded.collector.url
    ):
        notes.append("collector.url is not https: events cross the network in the clear")
    if loaded.collector.regions and not loaded.geo.enabled:
        notes.append(
            "collector.regions needs geo.enabled = true: without it only events that bring a context.geo of their own go there"
        )
    archive = loaded.data_dir / "archive"
    if not loaded.archive.days and archive.is_dir():
        notes.append(
            f"{archive} is left over from when archive.days was set: nothing in it is ever deleted now"
        )
    if loaded.archive.days:
        notes.append(
            f"archive.days = {loaded.archive.days}: delivered events, which are personal data, are kept for so many days in {archive}"
        )
    with contextlib.suppress(OSError):
        mode = loaded.data_dir.stat().st_mode & 0o777
        if mode & 0o077:
            notes.append(
                f"data_dir {loaded.data_dir} is open to other users of this machine (mode {mode:o}): `chmod 700 {loaded.data_dir}`"
            )
    return notes
