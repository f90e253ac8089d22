"""The JSON report: the model as it is, for programs; and the JSON Schema that says so, made from the model itself."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson

from gateway.qa.reports.model import VERSION, SessionModel

_OPTIONS = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE


def json_document(model: SessionModel) -> bytes:
    """Give the report as JSON, indented, in UTF-8."""
    return orjson.dumps(msgspec.to_builtins(model), option=_OPTIONS)


def json_schema() -> bytes:
    """Give the JSON Schema (draft 2020-12) of the report; `docs/qa-report.schema.json` is this."""
    (schema,), defined = msgspec.json.schema_components([SessionModel], ref_template="#/$defs/{name}")
    whole: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Report of the tracking gateway's QA, version {VERSION}",
        **schema,
        "$defs": defined,
    }
    defined["SessionModel"]["properties"]["version"] = {"const": VERSION}
    return orjson.dumps(whole, option=_OPTIONS)
