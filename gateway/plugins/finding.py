"""Finds the functions that the settings name among the installed entry points."""

from __future__ import annotations

import inspect
from importlib import metadata
from typing import TYPE_CHECKING, Any

from gateway.plugins.contract import Context, PluginsUnusable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

GROUP = "gateway.plugins"


def find_plugins(names: Sequence[str]) -> list[tuple[str, Callable[[dict[str, Any], Context], Any]]]:
    """Give each plugin with its name, in this order. Raises `PluginsUnusable`, which says which one and why."""
    if not names:
        return []
    installed = {each.name: each for each in metadata.entry_points(group=GROUP)}
    found = []
    for name in names:
        if name not in installed:
            known = ", ".join(sorted(installed)) or "none"
            hint = f"install the package that has it as an entry point of the group {GROUP} into the gateway's own environment; installed: {known}"
            raise PluginsUnusable(name, "no such entry point is installed", hint)
        try:
            plugin = installed[name].load()
        except Exception as error:  # noqa: BLE001 -- whatever its module does when it is imported
            cause = f"{installed[name].value} can't be imported ({type(error).__name__}: {error})"
            raise PluginsUnusable(name, cause, "mend the package, or take its name out") from None
        if not callable(plugin):
            raise PluginsUnusable(name, f"{installed[name].value} is no function", "name a function of the form plugin(event, context)")  # fmt: skip
        if inspect.iscoroutinefunction(plugin):
            raise PluginsUnusable(name, f"{installed[name].value} is async", "write a plain function: an event does not wait")  # fmt: skip
        try:
            inspect.signature(plugin).bind({}, Context("", "", 0))
        except (TypeError, ValueError) as error:
            raise PluginsUnusable(name, f"{installed[name].value} can't be called with an event and a context ({error})", "write it as plugin(event, context)") from None  # fmt: skip
        found.append((name, plugin))
    return found
