"""`[paths]`: under which names the public finds the gateway's parts.

What always holds: a path leads to one part; no name is one of another part, of the icon, or of the admin port's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from gateway.settings_types import Keys, Section

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

SCRIPT, EVENT, STREAM_EVENT, PPID = "/insight.js", "/event", "/stream_event", "/ppid"
PARTS = {"script": SCRIPT, "event": EVENT, "stream_event": STREAM_EVENT, "ppid": PPID}
"""The key of each part in `[paths]`, and its usual name; files of other names are keys of `[paths.assets]`."""

SOURCE_MAP = "/insight.js.map"
"""For people who debug our own script in their browser; a key of `[paths.assets]` like other files."""

ICON = "/favicon.ico"
"""Where browsers look by themselves: it has no other name."""

_RESERVED = frozenset({ICON, "/healthz", "/readyz", "/metrics"})
# RFC 3986, section 2.3: what no proxy or browser ever writes in another way.
_SEGMENTS = re.compile(r"(?:/[A-Za-z0-9._~-]+)+\Z")
_MOST_CHARACTERS = 128
# Each is counted, and the space for counting is taken when the gateway starts.
_MOST_PATHS = 256


def _path(value: str) -> str:
    if not _SEGMENTS.match(value) or len(value) > _MOST_CHARACTERS:
        msg = f"write an absolute path of letters, digits and -._~, at most {_MOST_CHARACTERS} characters, such as /x7/a.js"
        raise ValueError(msg)
    if any(set(segment) == {"."} for segment in value[1:].split("/")):
        msg = "leave out . and ..: browsers and proxies take them away"
        raise ValueError(msg)
    return value


def _name(value: str) -> str:
    if _path(value) in _RESERVED:
        msg = f"{value} has another meaning: write another name, such as /x7"
        raise ValueError(msg)
    return value


def _prefix(value: str) -> str:
    return _path(value) if value else value


Name = Annotated[str, AfterValidator(_name)]
Names = Annotated[tuple[Name, ...], Field(max_length=16)]
Prefix = Annotated[str, AfterValidator(_prefix)]


class Paths(Section):
    """`[paths]`: names that blockers don't know. The first of a list is the one that is told, all are served."""

    prefix: Prefix = ""
    old_prefixes: tuple[Prefix, ...] = Field(default=(), max_length=8)
    script: Names = ()
    event: Names = ()
    stream_event: Names = ()
    ppid: Names = ()
    assets: dict[Name, Names] = Field(default_factory=dict, max_length=64)
    # Before the days, whose check needs them.
    keys: Keys = Field(default=(), max_length=4)
    rotate_days: int = Field(default=0, ge=0, le=400)
    rotate_script: bool = False
    keep_days: int = Field(default=90, ge=1, le=400)
    # The last one: its check looks at all the others.
    default_names: bool = Field(default=True, validate_default=True)

    @field_validator("assets")
    @classmethod
    def _not_a_part(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for key, usual in PARTS.items():
            if usual in value:
                msg = f"the names of {usual} are paths.{key}"
                raise ValueError(msg)
        return value

    @field_validator("rotate_days")
    @classmethod
    def _has_a_key(cls, value: int, info: ValidationInfo) -> int:
        if value and not info.data.get("keys", ("unknown",)):
            msg = 'names that change by themselves need a secret: add paths.keys = ["id:key"], the same on every machine'
            raise ValueError(msg)
        return value

    @field_validator("rotate_script")
    @classmethod
    def _rotates(cls, value: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 -- pydantic's way to call it
        if value and not info.data.get("rotate_days", 1):
            msg = "nothing rotates: set paths.rotate_days too"
            raise ValueError(msg)
        return value

    @field_validator("default_names")
    @classmethod
    def _each_leads_to_one_part(cls, value: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 -- see above
        if len(info.data) + 1 < len(cls.model_fields):
            # Something else is wrong, and told.
            return value
        if not value:
            _all_named(info.data)
        prefixes = (info.data["prefix"], *info.data["old_prefixes"])
        if len(set(prefixes)) < len(prefixes):
            msg = "a prefix stands twice in paths.prefix and paths.old_prefixes: take one out"
            raise ValueError(msg)
        for usual, names in _named(info.data):
            if len(set(names)) < len(names):
                msg = f"a name of {usual} stands twice: take one out"
                raise ValueError(msg)
        owners = _owners(prefixes, _named(info.data))
        if len(owners) > _MOST_PATHS:
            msg = f"these are {len(owners)} paths: take names or prefixes out until there are {_MOST_PATHS}"
            raise ValueError(msg)
        return value

    def check_beside(self, files: Iterable[str]) -> None:
        """See that no name is one of these files', which are served too, and that each can be reached. Raises `ValueError`, which says which."""
        _owners((self.prefix, *self.old_prefixes), [*_named(vars(self)), *((each, ()) for each in files)])
        for each in files:
            # Our own script does without its map.
            if not self.default_names and each not in (*PARTS.values(), SOURCE_MAP) and not self.listed(each):
                msg = f'{each} has no name: add it to [paths.assets], such as "{each}" = ["/x9.js"], or take it out with "{each}" = "" in [script.assets]'
                raise ValueError(msg)

    def listed(self, usual: str) -> tuple[str, ...]:
        """Give the names that the settings list for a part, without prefix."""
        return dict(_named(vars(self))).get(usual, ())


def _owners(prefixes: tuple[str, ...], named: Iterable[tuple[str, tuple[str, ...]]]) -> dict[str, str]:
    """Give the part that each path leads to. Raises `ValueError` for one that would lead to two."""
    # A usual name is its part's also where it is not served: anything else there would only confuse.
    owners = {prefix + usual: usual for prefix in {"", *prefixes} for usual in PARTS.values()}
    for usual, names in named:
        for path in {prefix + name for prefix in prefixes for name in (usual, *names)} | {usual}:
            if owners.setdefault(path, usual) != usual:
                msg = f"{path} would be both {owners[path]} and {usual}: give one of them another name"
                raise ValueError(msg)
    return owners


def _named(values: Mapping[str, object]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for key, usual in PARTS.items():
        yield usual, values[key]  # type: ignore[misc]
    yield from values["assets"].items()  # type: ignore[attr-defined]


def _all_named(values: Mapping[str, object]) -> None:
    """Refuse a gateway whose script or events nobody could reach."""
    if not values["script"] and not values["rotate_script"]:
        msg = 'then the script needs a name: add paths.script = ["/x7.js"]'
        raise ValueError(msg)
    if not values["event"] and not values["rotate_days"]:
        msg = 'then the events need a name: add paths.event = ["/x8"], or paths.rotate_days'
        raise ValueError(msg)
