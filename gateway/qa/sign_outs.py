"""When somebody signs out: what the site calls then, and what its pages track."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.events.screening import host_matches

if TYPE_CHECKING:
    from gateway.qa.calls import Call
    from gateway.qa.session import Sight
    from gateway.settings import Settings

# What a browser asks by itself is no sign-out.
_METHODS = frozenset({"GET", "POST", "DELETE", "PUT", "PATCH"})
_ACTIONS = frozenset({"sign_out", "signout", "logout", "log_out"})


class SignOuts:
    """Knows sign-outs by `qa.sign_out_paths`, on the properties' sites alone, and by the event `user` / `sign_out`, also as `logout`."""

    def __init__(self, settings: Settings) -> None:
        self._paths = frozenset(path.rstrip("/").lower() for path in settings.qa.sign_out_paths)
        sites = dict.fromkeys(each.site for each in settings.properties)
        self._hosts = tuple(pattern for site in sites for pattern in (site, f"*.{site}"))

    def calls(self, call: Call) -> bool:
        """Tell whether a call that is not tracking signs somebody out."""
        path = call.path.rstrip("/").lower()
        return path in self._paths and call.method in _METHODS and host_matches(call.host, self._hosts)

    def tracks(self, sight: Sight) -> bool:
        """Tell whether an event says that somebody has signed out."""
        category, action = (
            str(each).strip().lower() for each in (sight.verdict.category, sight.verdict.action)
        )
        return category == "user" and action.replace("-", "_") in _ACTIONS
