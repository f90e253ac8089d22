"""`tracking-gateway spool status`: what waits for the collector, and what is kept of what it took."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from gateway.commands.options import DEFAULT_CONFIG, ConfigOption, JsonOption, counted, load, now_ms
from gateway.terminal import explained, fail, print_json, print_rows

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.settings import Settings


def status(*, config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False) -> None:
    """Say what waits for the collector, by partition, since when, and what the archive holds. Only looks; changes nothing.

    What was delivered within the last tenth of a second may still count as waiting.

    Example: `tracking-gateway spool status --json`
    """
    loaded = load(config, as_json=json)
    with explained(as_json=json):
        partitions = _partitions(loaded.data_dir / "spool")
        archive = _archive(loaded)
    if partitions is None:
        hint = "start the gateway once, or name the right settings with --config"
        fail(f"no spool at {loaded.data_dir / 'spool'}: {hint}", as_json=json)
    pending = sum(each["pending"] for each in partitions)
    if json:
        print_json({"pending": pending, "partitions": partitions, "archive": archive})
        return
    print_rows(f"{counted(pending, 'event')} waiting for the collector", [_row(each) for each in partitions])
    sys.stdout.write(_said_of(archive) + "\n")


def _partitions(root: Path) -> list[dict[str, Any]] | None:
    import msgspec  # noqa: PLC0415 -- `--help` need not wait for it

    from gateway.archive.lines import moment  # noqa: PLC0415
    from gateway.events.packing import unpack  # noqa: PLC0415
    from gateway.spool.inspection import inspect  # noqa: PLC0415

    if not root.is_dir():
        return None
    rows = []
    for directory in sorted(each for each in root.iterdir() if each.is_dir() and each.name.isdigit()):
        waiting = inspect(directory)
        oldest_ms = None
        if waiting.oldest is not None:
            try:
                oldest_ms = unpack(waiting.oldest).accepted_ms
            except (msgspec.DecodeError, UnicodeDecodeError):
                # It goes to the dead letters when its turn comes.
                oldest_ms = None
        rows.append(
            {
                "partition": directory.name,
                "pending": waiting.pending,
                "oldest_accepted_at": None if oldest_ms is None else moment(oldest_ms),
                "oldest_seconds": None if oldest_ms is None else max(0, (now_ms() - oldest_ms) // 1000),
                "pending_bytes": waiting.pending_bytes,
                "file_bytes": waiting.file_bytes,
                "unreadable_files": waiting.unreadable,
            }
        )
    return rows


def _archive(loaded: Settings) -> dict[str, Any]:
    from gateway.archive.folder import HOUR_MS, Folder  # noqa: PLC0415 -- see `_partitions`
    from gateway.archive.lines import moment  # noqa: PLC0415

    parts = Folder(loaded.data_dir / "archive").parts()
    return {
        "days": loaded.archive.days,
        "files": len(parts),
        "bytes": sum(each.size for each in parts),
        "since": moment(parts[0].begin_ms) if parts else None,
        "until": moment(parts[-1].begin_ms + HOUR_MS) if parts else None,
    }


def _row(partition: dict[str, Any]) -> dict[str, Any]:
    return {
        "partition": partition["partition"],
        "waiting": f"{partition['pending']:,}",
        "oldest accepted at": partition["oldest_accepted_at"] or "-",
        "their size": _size(partition["pending_bytes"]),
        "on disk": _size(partition["file_bytes"]),
        **({"unreadable files": partition["unreadable_files"]} if partition["unreadable_files"] else {}),
    }


def _said_of(archive: dict[str, Any]) -> str:
    is_on = f"kept for {counted(archive['days'], 'day')}" if archive["days"] else "off (archive.days = 0)"
    if not archive["files"]:
        return f"archive: {is_on}, empty"
    return (
        f"archive: {is_on}, {counted(archive['files'], 'file')}, {_size(archive['bytes'])}, "
        f"delivered from {archive['since']} to {archive['until']}"
    )


def _size(size: int) -> str:
    value = float(size)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"
