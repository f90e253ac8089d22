"""What was seen, and what was found in it: plain records between the looks at the world and the judgement."""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from gateway.doctor.names import Place

Address = IPv4Address | IPv6Address
Status = Literal["ok", "warn", "fail", "unknown"]
Cap = Literal["none", "perhaps", "some", "all", "blocked", "unknown"]
"""Whom Safari caps: nobody, visitors by chance, some visitors, all; or it takes no cookie at all; or nobody knows."""


class Fault(StrEnum):
    """Why a question stayed without a useful answer; the value is its word in JSON."""

    NO_SUCH_NAME = "no_such_name"
    NO_ADDRESS = "no_address"
    LOOP = "cname_loop"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    CERTIFICATE = "certificate"
    TLS = "tls"
    NOT_HTTP = "not_http"


class Resolution(NamedTuple):
    """What DNS said of one name.

    `chain` holds the CNAME targets, first to last; `looks` the addresses of each time it was asked; `unanswered` the record
    types that nobody would tell of, with `fault` and `detail` for the reason. A fault without `unanswered` is an answer:
    the name does not exist, or has no address.
    """

    name: str
    chain: tuple[str, ...] = ()
    looks: tuple[frozenset[Address], ...] = ()
    fault: Fault | None = None
    detail: str = ""
    unanswered: tuple[str, ...] = ()

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Every address of any look, IPv4 first, in order."""
        return tuple(sorted(frozenset().union(*self.looks), key=lambda each: (each.version, int(each))))

    @property
    def changes(self) -> bool:
        """Whether two looks saw different addresses."""
        return len(set(self.looks)) > 1


class Answer(NamedTuple):
    """What came of asking for the script: a status and a content type, or the fault (and what it said)."""

    url: str
    address: str = ""
    status: int = 0
    content_type: str = ""
    fault: Fault | None = None
    detail: str = ""


class CookiePlan(NamedTuple):
    """What the settings say of the cookie.

    `domain` is what its `Domain` would be: empty for none (the answering host alone), `None` where no property has the
    page's host. `from_settings` is false where no settings were read and the site's own domain stands in.
    """

    domain: str | None
    lifetime_days: int = 400
    from_settings: bool = True


class Seen(NamedTuple):
    """All that the judgement knows. `answer` is `None` where HTTPS was not to be tried."""

    site: Place
    tracking: Place
    site_names: Resolution
    tracking_names: Resolution
    cookie: CookiePlan
    answer: Answer | None = None


class Finding(NamedTuple):
    """One check: what was seen, why it matters, and (unless it is fine) what to do."""

    check: str
    status: Status
    seen: str
    why: str
    advice: str = ""


class Report(NamedTuple):
    """What the doctor says: the cap, one sentence, and every check in a fixed order."""

    cap: Cap
    summary: str
    findings: tuple[Finding, ...]

    @property
    def is_well(self) -> bool:
        """Whether nothing failed and nothing stayed unknown; a warning is no illness."""
        return all(each.status in {"ok", "warn"} for each in self.findings)
