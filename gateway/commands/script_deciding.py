"""`tracking-gateway script approve | reject`: a person's word about a version, which a running gateway follows within seconds."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.neighbour import Neighbour
from gateway.commands.options import DEFAULT_CONFIG, ConfigOption, JsonOption, load, now_ms
from gateway.commands.script_versions import hash_in, opened_index, store_of
from gateway.terminal import explained, fail, print_json

if TYPE_CHECKING:
    from gateway.assets.pinning import Index, State
    from gateway.settings import Settings

Hashes = Annotated[
    list[str] | None, typer.Argument(metavar="HASH", help="Versions as `script list` says them; the beginning of a hash will do, or a path for what the vendor gives there now.")
]  # fmt: skip


def approve(
    hashes: Hashes = None, *, config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False
) -> None:
    """Let versions be served; without a hash, all that the vendor gives now and that wait. Look at them first: `script diff`.

    What is served is the version that the vendor gives now when it is approved, else the one that was approved last.

    Example: `tracking-gateway script approve 3fa9c1d20b77`
    """
    from gateway.assets.pinning import State  # noqa: PLC0415 -- `--help` need not wait for it

    loaded = load(config, as_json=json)
    index = opened_index(loaded, as_json=json)
    with explained(as_json=json):
        # An asset's path means what the vendor gives there now.
        chosen = [
            index.assets[each].current if each in index.assets else hash_in(index, each)
            for each in hashes or ()
        ]
    if not hashes:
        chosen = list(dict.fromkeys(each.current for each in index.assets.values() if each.is_held))
    store = store_of(loaded)
    lost = [each for each in chosen if store.content(each) is None]
    if lost:
        fail(
            f"the content of {lost[0]} is not kept any more: the vendor has to give it again first",
            as_json=json,
        )
    _decide(loaded, chosen, State.APPROVED, as_json=json)


def reject(
    hashes: Annotated[list[str], typer.Argument(metavar="HASH", help="Versions as `script list` says them.")],
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    force: Annotated[bool, typer.Option("--force", help="Also where nothing is left to serve then.")] = False,
    json: JsonOption = False,
) -> None:  # fmt: skip
    """Never serve versions, or no longer: what was served before is served again, whatever the vendor gives.

    It holds until `script approve`, also under `on_change = "serve"`: the way to take a bad script back at night.

    Example: `tracking-gateway script reject 3fa9c1d20b77`
    """
    from gateway.assets.pinning import State, decided  # noqa: PLC0415 -- see `approve`

    loaded = load(config, as_json=json)
    index = opened_index(loaded, as_json=json)
    with explained(as_json=json):
        chosen = [hash_in(index, each) for each in hashes]
    after = index
    for each in chosen:
        after = decided(after, each, State.REJECTED, now_ms())
    store = store_of(loaded)
    bare = [
        path
        for path, each in after.assets.items()
        if index.assets[path].servable
        and not any(store.content(version.sha256) is not None for version in each.servable)
    ]
    if bare and not force:
        hint = 'set script.source = "own" to give pages our own script, or say --force'
        fail(f"nothing would be left to serve at {', '.join(bare)}: {hint}", as_json=json)
    _decide(loaded, chosen, State.REJECTED, as_json=json)


def _decide(settings: Settings, chosen: list[str], state: State, *, as_json: bool) -> None:
    from gateway.assets.pinning import Index, decided  # noqa: PLC0415 -- see `approve`

    before = Index()

    def change(index: Index) -> Index:
        nonlocal before
        before = index
        for each in chosen:
            index = decided(index, each, state, now_ms())
        return index

    with explained(as_json=as_json):
        after = store_of(settings).change(change) if chosen else opened_index(settings, as_json=as_json)
        is_running = Neighbour(settings.data_dir).is_there()
    changes = _changes(before, after) if chosen else []
    if as_json:
        print_json({"ok": True, state.value: chosen, "changes": changes, "is_running": is_running})
        return
    for each in chosen:
        sys.stdout.write(f"{state.value} {each}\n")
    if not chosen:
        sys.stdout.write("nothing waits for an approval\n")
    when = (
        "the running gateway serves it within seconds"
        if is_running
        else "no gateway runs here: the next start serves it"
    )
    for change_ in changes:
        now = change_["served"]
        sys.stdout.write(
            f"{change_['asset']}: {f'{now[:12]}; {when}' if now else 'nothing is served any more'}\n"
        )
    if chosen and not changes:
        sys.stdout.write("what is served stays the same: `tracking-gateway script list`\n")


def _changes(before: Index, after: Index) -> list[dict[str, Any]]:
    """Say for which assets another version is served now."""
    changes: list[dict[str, Any]] = []
    for path, tracked in after.assets.items():
        old = before.assets.get(path)
        was = old.served.sha256 if old and old.served else None
        now = tracked.served.sha256 if tracked.served else None
        if was != now:
            changes.append({"asset": path, "served_before": was, "served": now})
    return changes
