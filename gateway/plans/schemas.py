"""JSON Schema files (2020-12, or what their `$schema` says) for whole events.

What always holds: nothing is fetched, neither from a network nor from another file; patterns take time that grows with the text alone; what a
schema finds is told by the schema's keyword and the field's path, never by the value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jsonschema_rs

from gateway.events.plan_paths import is_plain_name
from gateway.events.tracking_plan import MOST, Fault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.events.model import JsonObject
    from gateway.events.tracking_plan import WholeCheck

_KINDS = {
    "required": "required",
    "type": "type",
    "minimum": "range",
    "maximum": "range",
    "exclusiveMinimum": "range",
    "exclusiveMaximum": "range",
    "minLength": "length",
    "maxLength": "length",
    "minItems": "items",
    "maxItems": "items",
    "enum": "allowed",
    "const": "allowed",
    "pattern": "pattern",
    "additionalProperties": "unknown_field",
    "unevaluatedProperties": "unknown_field",
}


def compile_schema(schema: Any) -> WholeCheck:
    """Give the check of a schema. Raises `ValueError`, which says what is wrong with it."""
    try:
        validator = jsonschema_rs.validator_for(
            schema, pattern_options=jsonschema_rs.RegexOptions(), offline=True
        )
    except jsonschema_rs.ValidationError as error:
        where = "/".join(map(str, error.instance_path)) or "the schema"
        msg = f"{where}: {error.message.splitlines()[0]}; nothing is fetched, so write what $ref means into the file itself"
        raise ValueError(msg) from None
    except jsonschema_rs.ReferencingError as error:
        msg = (
            f"{str(error).splitlines()[0]}; nothing is fetched, so write what $ref means into the file itself"
        )
        raise ValueError(msg) from None

    def check(fields: JsonObject) -> Sequence[Fault]:
        if validator.is_valid(fields):
            return ()
        found = []
        for error in validator.iter_errors(fields):
            found.append(_fault(error))
            if len(found) > MOST:
                break
        return found

    return check


def _fault(error: Any) -> Fault:
    path = ""
    for step in error.instance_path:
        if isinstance(step, int):
            path += "[]"
        else:
            path += f".{step}" if is_plain_name(step) else ".(a name)"
    keyword = next((each for each in reversed(error.schema_path) if isinstance(each, str)), "")
    if error.kind.name == "required":
        # A name that the schema has, not the event.
        path += f".{error.kind.property}"
        keyword = "required"
    return Fault(path.removeprefix(".") or "(event)", _KINDS.get(keyword, "schema"))
