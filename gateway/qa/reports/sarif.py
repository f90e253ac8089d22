"""The SARIF report (OASIS, 2.1.0), for what shows findings of any tool: rules with their help, and a result for each finding, at the URL that was called.

A result's fingerprint is of rule, event, place and address, not of the moment: the same mistake in the next run is the same alert.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson

if TYPE_CHECKING:
    from gateway.qa.reports.model import About, FindingRow, RuleRow, SessionModel

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LONE_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")


def sarif_document(model: SessionModel) -> bytes:
    """Give the report as SARIF 2.1.0, in UTF-8."""
    places = {row.id: index for index, row in enumerate(model.rules)}
    run = {
        "tool": {
            "driver": {
                "name": model.about.tool,
                "version": model.about.tool_version,
                "rules": [_rule(row) for row in model.rules],
            }
        },
        "invocations": [{"executionSuccessful": True, **_moments(model.about)}],
        "results": [_result(each, places[each.rule]) for each in model.findings],
        "properties": {
            "answer": model.answer,
            "headline": model.headline,
            "source": model.about.source,
            "mode": model.about.mode,
            "leftOut": model.left_out.findings,
        },
    }
    document = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _rule(row: RuleRow) -> dict[str, Any]:
    is_off = row.severity == "off"
    return {
        "id": row.id,
        "name": "".join(word.capitalize() for word in row.id.split("-")),
        "shortDescription": {"text": row.title},
        "fullDescription": {"text": row.why},
        "help": {
            "text": f"{row.why} {row.mend}",
            "markdown": f"**Why it matters.** {row.why}\n\n**How to mend it.** {row.mend}",
        },
        "defaultConfiguration": {"enabled": False} if is_off else {"level": row.severity},
        "properties": {"tags": ["tracking"], "found": row.found},
    }


def _result(finding: FindingRow, rule_index: int) -> dict[str, Any]:
    uri = _uri(finding.url)
    what = f"{finding.name}: " if finding.name else ""
    other = f" (with call {finding.other})" if finding.other else ""
    identity = f"{finding.rule}\n{finding.name}\n{finding.place}\n{uri}\n{finding.page}"
    location: dict[str, Any] = {"physicalLocation": {"artifactLocation": {"uri": uri}}}
    if finding.place:
        location["logicalLocations"] = [{"fullyQualifiedName": finding.place, "kind": "member"}]
    return {
        "ruleId": finding.rule,
        "ruleIndex": rule_index,
        "level": finding.severity,
        "message": {"text": _message(f"{what}{finding.detail or finding.rule}{other}")},
        "locations": [location],
        "partialFingerprints": {"trackingGateway/1": sha256(identity.encode()).hexdigest()[:32]},
        "properties": {
            "call": finding.call,
            "event": finding.event,
            "other": finding.other,
            "method": finding.method,
            "page": finding.page,
            "atMs": finding.at_ms,
        },
    }


def _uri(url: str) -> str:
    """Give an address as RFC 3986 wants it; a page may have called anything."""
    return quote(_LONE_PERCENT.sub("%25", url), safe="/:%")


def _message(text: str) -> str:
    """Give a text in which nothing is a placeholder or a link (SARIF 2.1.0, sections 3.11.5 and 3.11.6)."""
    return text.replace("{", "{{").replace("}", "}}").replace("](", "] (")


def _moments(about: About) -> dict[str, str]:
    if not about.ended_ms:
        return {}
    return {"startTimeUtc": _moment(about.started_ms), "endTimeUtc": _moment(about.ended_ms)}


def _moment(unix_ms: int) -> str:
    return (
        datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
