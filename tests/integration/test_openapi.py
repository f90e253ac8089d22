"""`docs/openapi.yaml` says of the public port what is so: it is valid, complete, and the running gateway answers as it says."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, settings
from openapi_spec_validator import validate
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gateway.assets.shelf import Shelf
from gateway.events import wire
from gateway.events.outcome import FATES, Outcome
from gateway.settings_script import Script
from gateway.web.endpoints import endpoints
from tests.builders import ORIGIN, PORTAL_ID, PROP_ID
from tests.corpus.live import faults, make_gateway

FILE = Path(__file__).parents[2] / "docs" / "openapi.yaml"
DOCUMENT = yaml.safe_load(FILE.read_text(encoding="utf-8"))
SCHEMA = schemathesis.openapi.from_path(str(FILE))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
KEPT = {Outcome.ACCEPTED, Outcome.QUARANTINED}


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """Run a gateway; its collector is away, which none of its answers waits for."""
    with asyncio.Runner() as runner:
        gateway = make_gateway(tmp_path_factory.mktemp("openapi"), "http://127.0.0.1:9", 0, is_fast=True)
        runner.run(gateway.start())
        yield gateway.url
        counted = runner.run(gateway.metrics())
        runner.run(gateway.stop())
        assert not faults(gateway.log())
        # What was asked were requests of every kind, not of one that is always refused.
        for outcome in ("accepted", "malformed", "dropped"):
            names = [name for name in counted if f'events_total{{outcome="{outcome}"' in name]
            assert sum(counted[name] for name in names) > 20, outcome


@SCHEMA.parametrize()
@settings(
    max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
def test_the_gateway_answers_as_the_document_says(case, url):
    """Statuses, types, headers and bodies, whatever is asked; half of the time for a property that there is."""
    if case.query and "portal_id" in case.query and len(str(case.query)) % 2:
        case.query |= {"portal_id": PORTAL_ID, "prop_id": PROP_ID}
    if case.headers and "Origin" in case.headers and len(str(case.headers)) % 2:
        case.headers["Origin"] = ORIGIN
    case.call_and_validate(base_url=url, checks=CHECKS)


def test_the_document_is_valid():
    """It is OpenAPI 3.1."""
    validate(DOCUMENT)


def reasons(schema):
    """Give the reasons that a schema of the document lists."""
    return set(DOCUMENT["components"]["schemas"][schema]["properties"]["reason"]["enum"])


def test_the_document_knows_every_reason():
    """Those of events that were kept, and those of events that were not; each with a status that it lists."""
    # A duplicate is kept already, and answered so.
    kept = {reason.value for reason, fate in FATES.items() if fate.status and fate.outcome in KEPT} | {
        "duplicate"
    }
    others = {
        reason.value: fate.status
        for reason, fate in FATES.items()
        if fate.status and fate.outcome not in KEPT and reason.value != "duplicate"
    }
    assert kept == reasons("Kept")
    assert set(others) == reasons("NotKept")
    listed = DOCUMENT["paths"]["/event"]["post"]["responses"]
    assert {str(status) for status in others.values()} <= set(listed)


def test_the_document_knows_every_path_and_its_methods():
    """No more and no fewer than the gateway has, under the names of the CDP, with the vendor's scripts where pages get those."""
    vendors = Script(source="upstream").sources()
    table = endpoints(SimpleNamespace(max_body_bytes=1), None, dict.fromkeys(vendors, Shelf))
    listed = {
        path: {name.upper() for name in item if name != "summary"} for path, item in DOCUMENT["paths"].items()
    }
    assert {path: set(endpoint.methods) for path, endpoint in table.items()} == listed


def test_the_document_knows_every_type_of_answer():
    """`resp_type` has no other values."""
    assert set(DOCUMENT["components"]["parameters"]["respType"]["schema"]["enum"]) == wire.RESPONSE_TYPES
