"""`tracking-gateway script …`: which versions of the vendor's scripts were seen, which are served, and a person's word about them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from gateway.commands.options import DEFAULT_CONFIG, ConfigOption, JsonOption, counted, load
from gateway.commands.script_deciding import approve, reject
from gateway.commands.script_diff import diff
from gateway.commands.script_versions import (
    document,
    hash_in,
    is_served,
    opened_index,
    report,
    shown,
    standing,
    store_of,
)
from gateway.terminal import explained, fail, print_cards, print_json, print_rows

if TYPE_CHECKING:
    from gateway.assets.pinning import Index

script_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Look at the versions of the vendor's scripts, let a held one out, or take one back. Safe while the gateway runs, which follows within seconds.",
    epilog="Begin with `tracking-gateway script list`. Pages get the vendor's scripts where `script.source` is `upstream`.",
)


@script_app.command("list")
def list_versions(config: ConfigOption = DEFAULT_CONFIG, *, json: JsonOption = False) -> None:
    """List every version that the vendor has given: which is served, which waits for a person, which was rejected. Newest first.

    Example: `tracking-gateway script list --json`
    """
    loaded = load(config, as_json=json)
    index = opened_index(loaded, as_json=json)
    store = store_of(loaded)
    if json:
        assets = [document(path, each, store) for path, each in index.assets.items()]
        print_json({"source": loaded.script.source, "on_change": loaded.script.on_change, "assets": assets})
        return
    if loaded.script.source == "own":
        sys.stdout.write('script.source = "own": pages get our own script, and none of these\n')
    rows = [
        {
            "asset": path,
            "version": version.sha256[:12],
            "is": standing(tracked, version),
            "bytes": f"{version.size:,}",
            "first seen": shown(version.first_seen_ms),
            "last given": shown(version.last_seen_ms) + (" (now)" if version.sha256 == tracked.current else ""),
            "decided by": str(version.by),
        }
        for path, tracked in index.assets.items()
        for version in sorted(tracked.versions, key=lambda each: -each.last_seen_ms)
    ]  # fmt: skip
    print_rows(counted(len(rows), "version"), rows)
    _advise(index)


@script_app.command("show")
def show(
    version: Annotated[
        str, typer.Argument(metavar="HASH|PATH", help="A version, as `list` says it, or the path of an asset: what is served there.")
    ],
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    content: Annotated[bool, typer.Option("--content", help="Write the content as the vendor gave it, and nothing else.")] = False,
    served: Annotated[bool, typer.Option("--served", help="Write the content as pages get it, and nothing else.")] = False,
    json: JsonOption = False,
) -> None:  # fmt: skip
    """Show everything about a version: what was decided, which of the vendor's hosts are replaced in it, and what it asks for that leads nowhere.

    Examples: `tracking-gateway script show /insight.js`; `tracking-gateway script show 3fa9c1 --content > new.js`
    """
    if (content or served) and json:
        fail("--content and --served write the content itself: leave --json out", code=2, as_json=True)
    loaded = load(config, as_json=json)
    index = opened_index(loaded, as_json=json)
    with explained(as_json=json):
        sha256 = hash_in(index, version)
    path, tracked = next((path, each) for path, each in index.assets.items() if each.version(sha256))
    found = tracked.version(sha256)
    assert found is not None
    store = store_of(loaded)
    kept = store.content(sha256)
    if kept is None and (content or served):
        fail(f"the content of {sha256} is not kept any more, or damaged", as_json=json)
    facts = report(loaded, path, kept) if kept is not None else None
    if content or served:
        assert kept is not None
        assert facts is not None
        sys.stdout.buffer.write(facts.content if served else kept)
        return
    said: dict[str, Any] = {
        "sha256": sha256,
        "asset": path,
        "url": tracked.url,
        "is": standing(tracked, found),
        "bytes": found.size,
        "first_seen_at": shown(found.first_seen_ms),
        "last_given_at": shown(found.last_seen_ms),
        "decided_at": shown(found.decided_ms),
        "decided_by": str(found.by),
        "is_served": is_served(tracked, found),
        "is_current": tracked.current == sha256,
        "is_content_kept": kept is not None,
    }
    if facts is not None:
        said |= {
            "hosts_replaced": facts.replaced,
            "names_left": facts.left,
            "paths_not_served": facts.nowhere,
        }
    if json:
        print_json(said)
        return
    print_cards("1 version", [{name: _text(value) for name, value in said.items()}])


script_app.command("approve")(approve)
script_app.command("reject")(reject)
script_app.command("diff")(diff)


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} ({count} times)" for name, count in value.items()) or "none"
    return ", ".join(value) or "none" if isinstance(value, list) else value


def _advise(index: Index) -> None:
    """Say what to do about versions that wait."""
    console = Console(highlight=False)
    for path, tracked in index.assets.items():
        if tracked.is_held:
            version = tracked.current[:12]
            text = f"{path}: what the vendor gives now waits. Look: `script diff {version}`; then `script approve {version}` or `script reject {version}`"
            console.print(f"[yellow]held[/yellow] {escape(text)}", soft_wrap=True)
