"""What a finished session has found, for those who were not there: on the terminal, as JSON, JUnit XML, SARIF and one HTML file.

`model` is what every report is made from, `gathering` makes it of a session, `kinds` says what stood in an identity's place without saying it, `text`, `documents`,
`junit`, `sarif` and `page` write it down. What always holds: the model is bounded whatever the session was, holds no raw identity (what a client wrote goes through
the gateway's own masking, and what is not printable is written as its code), and a report says how much it leaves out.
"""

from __future__ import annotations

from gateway.qa.reports.gathering import gather
from gateway.qa.reports.model import SessionModel
from gateway.qa.reports.text import summary
from gateway.qa.reports.writing import write_reports

__all__ = ["SessionModel", "gather", "summary", "write_reports"]
