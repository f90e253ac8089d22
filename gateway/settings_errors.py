"""What a person reads when a setting is wrong: the key, what stands there, and what to write instead."""

from __future__ import annotations

import difflib
import re
import types
from typing import TYPE_CHECKING, Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel, ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Values of keys with such names are shown as dots: an error may end up in a ticket.
_SECRET_WORDS = ("key", "keys", "secret", "secrets", "password", "token", "tokens")
# Parts of a finding's place that are no key's name.
_VALIDATORS_OWN = re.compile(r"function-\w+\[|literal\[|\[key\]$")
_USER_OF_URL = re.compile(r"//[^/?#\s]*@")


class Problem(NamedTuple):
    """One wrong setting: `key` is a dotted path, `got` a short text of the value, `hint` the mend."""

    key: str
    got: str
    hint: str


class SettingsError(Exception):
    """The configuration can't be used: where it was read, and every problem in it."""

    def __init__(self, where: str, problems: Sequence[Problem]) -> None:
        lines = [f"  {problem.key} = {problem.got}\n    {problem.hint}" for problem in problems]
        super().__init__("\n".join([f"The settings in {where} can't be used:", *lines]))
        self.where = where
        self.problems = tuple(problems)


def explain(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """Turn the validator's findings into problems, one for each key, in the order of the file."""
    details = error.errors(include_url=False)
    # A list is short because of what is wrong in it.
    wrong = [each["loc"] for each in details if each["type"] != "too_short"]
    found: dict[str, Problem] = {}
    for each in details:
        if each["type"] != "too_short" or all(each["loc"] != loc[: len(each["loc"])] for loc in wrong):
            # Of a key that may be one thing or another the first says what is usual.
            problem = _problem(each, model)
            found.setdefault(problem.key, problem)
    return list(found.values())


def unknown_sections(environment: Mapping[str, str], prefix: str, sections: Sequence[str]) -> list[Problem]:
    """Find variables such as `TRACKING_GATEWAY_SEVER__PORT`, whose section does not exist: a typing error, not a setting."""
    problems = []
    for name, value in environment.items():
        section, delimiter, _ = name.removeprefix(prefix).partition("__")
        if name.startswith(prefix) and delimiter and section.lower() not in sections:
            near = difflib.get_close_matches(section.lower(), sections, 1, 0.5)
            hint = f"there is no section {section.lower()!r}"
            hint += (
                f"; did you mean {prefix}{near[0].upper()}__…?" if near else f"; known: {', '.join(sections)}"
            )
            problems.append(Problem(name, _shown(name, value), hint))
    return problems


def not_json(environment: Mapping[str, str], prefix: str, model: type[BaseModel]) -> list[Problem]:
    """Find variables that stand for a list or a table and hold no JSON: `…__KEYS=a` instead of `…__KEYS=["a"]`."""
    problems = []
    for name, value in environment.items():
        path = name.removeprefix(prefix).removesuffix("_FILE").lower().split("__")
        default: Any = {field: info.default for field, info in model.model_fields.items()}.get(path[0])
        for part in path[1:]:
            default = getattr(default, part, None)
        if not name.startswith(prefix) or not isinstance(default, tuple | dict):
            continue
        if not value.lstrip().startswith(("[", "{")):
            example = '["…", "…"]' if isinstance(default, tuple) else '{"…": "…"}'
            problems.append(Problem(name, _shown(name, value), f"write it as JSON: {example}"))
    return problems or [Problem(prefix + "…", "•••", "write lists and tables as JSON")]


def _problem(detail: Any, model: type[BaseModel]) -> Problem:
    location = tuple(detail["loc"])
    key = _dotted(location)
    kind = detail["type"]
    context = detail.get("ctx", {})
    got = _shown(key, detail.get("input"))
    if kind == "missing":
        return Problem(key, "nothing", f"add {location[-1]} = …: it is required")
    if kind == "extra_forbidden":
        siblings = _siblings(model, location)
        near = difflib.get_close_matches(str(location[-1]), siblings, 1, 0.5)
        known = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(siblings)}"
        return Problem(key, got, f"there is no such key; {known}")
    if kind == "value_error":
        return Problem(key, got, str(context.get("error", detail["msg"])))
    if kind in {"tuple_type", "list_type"}:
        return Problem(key, got, 'write a list, such as ["…", "…"]')
    if kind == "literal_error":
        return Problem(key, got, f"write one of: {context['expected']}")
    hint = detail["msg"].removeprefix("Input should be ").partition(", unable to parse")[0]
    return Problem(key, got, f"write {hint}" if hint != detail["msg"] else hint)


def _dotted(location: tuple[Any, ...]) -> str:
    text = ""
    for part in location:
        if isinstance(part, str) and _VALIDATORS_OWN.match(part):
            continue
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")


def _shown(key: str, value: Any) -> str:
    name = key.rsplit(".", 1)[-1].partition("[")[0].lower()
    # A table as a whole may hold one, and so may what should be one.
    if _is_secret(name) or (isinstance(value, str) and "secret" in value.lower()):
        return "•••"
    text = repr(_masked(value)) if not isinstance(value, bool) else str(value).lower()
    text = _USER_OF_URL.sub("//•••@", text)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _is_secret(name: str) -> bool:
    return any(name == word or name.endswith(f"_{word}") for word in _SECRET_WORDS)


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: "•••" if _is_secret(str(key).lower()) else _masked(each) for key, each in value.items()}
    return [_masked(each) for each in value] if isinstance(value, list) else value


def _siblings(model: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    current: Any = model
    for part in location[:-1]:
        if get_origin(current) is dict:
            # The part is one of the table's own names.
            current = get_args(current)[1]
            continue
        if isinstance(part, int) or not (isinstance(current, type) and issubclass(current, BaseModel)):
            continue
        field = current.model_fields.get(str(part))
        if field is None:
            return []
        current = _inner(field.annotation)
    if isinstance(current, type) and issubclass(current, BaseModel):
        return list(current.model_fields)
    return []


def _inner(annotation: Any) -> Any:
    if get_origin(annotation) in {tuple, list, types.UnionType}:
        return get_args(annotation)[0]
    return annotation
