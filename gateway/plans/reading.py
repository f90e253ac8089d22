"""A plan's file and the schemas that it names, read: compiled, or every problem with the key, the value and the mend."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

import orjson
from pydantic import ValidationError

from gateway.plans.schemas import compile_schema
from gateway.settings_errors import Problem, explain
from gateway.settings_plan import Plan

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.events.tracking_plan import WholeCheck

_LARGEST = 4 * 1_048_576


class PlanUnusable(Exception):
    """A plan can't be used: its file, every problem in it, and the `files` that would have to be others for that to change."""

    hint = "`tracking-gateway plan check FILE` says the same of a file before it is used"

    def __init__(self, path: str, problems: list[Problem], files: tuple[Path, ...] = ()) -> None:
        lines = [f"  {each.key} = {each.got}\n    {each.hint}" for each in problems]
        super().__init__("\n".join([f"The tracking plan {path} can't be used:", *lines]))
        self.path = path
        self.problems = tuple(problems)
        self.files = files


class ReadPlan(NamedTuple):
    """A plan with the checks of its schemas, and every file that it was read from."""

    plan: Plan
    schemas: dict[str, WholeCheck]
    files: tuple[Path, ...]


def read_standard() -> Plan:
    """Give the standard events' plan, which the package brings."""
    return Plan.model_validate(tomllib.loads(standard_text()))


def standard_text() -> str:
    """Give the file of the standard events' plan as it is."""
    return resources.files("gateway.plans").joinpath("standard.toml").read_text(encoding="utf-8")


def read_plan(path: Path) -> ReadPlan:
    """Read a plan's file. Raises `PlanUnusable`."""
    where = str(path)
    text = _read(path, "tracking_plan.file", where)
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PlanUnusable(where, [Problem("(file)", where, f"mend the TOML: {error}")], (path,)) from None
    try:
        plan = Plan.model_validate(content)
    except ValidationError as error:
        raise PlanUnusable(where, explain(error, Plan), (path,)) from None
    schemas: dict[str, WholeCheck] = {}
    files = [path]
    problems: list[Problem] = []
    for index, rule in enumerate(plan.events):
        name, key = rule.schema_file, f"events[{index}].schema_file"
        if not name or name in schemas:
            continue
        try:
            files.append(path.parent / name)
            schemas[name] = compile_schema(orjson.loads(_read(files[-1], key, name)))
        except PlanUnusable as error:
            problems += error.problems
        except orjson.JSONDecodeError as error:
            problems.append(Problem(key, repr(name), f"mend the JSON: {error}"))
        except ValueError as error:
            problems.append(Problem(key, repr(name), str(error)))
    if problems:
        raise PlanUnusable(where, problems, tuple(files))
    return ReadPlan(plan, schemas, tuple(files))


def _read(path: Path, key: str, got: str) -> str:
    try:
        if path.stat().st_size > _LARGEST:
            raise PlanUnusable(str(path), [Problem(key, repr(got), "name a file of at most 4 MiB")], (path,))
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise PlanUnusable(
            str(path), [Problem(key, repr(got), f"name a readable file ({error.strerror})")], (path,)
        ) from None
    except UnicodeDecodeError:
        raise PlanUnusable(str(path), [Problem(key, repr(got), "write the file in UTF-8")], (path,)) from None
