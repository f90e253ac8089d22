"""The HTML report."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.qa.reports.model import SessionModel


def html_document(model: SessionModel) -> bytes:
    """Give the report as one file."""
    return model.headline.encode()
