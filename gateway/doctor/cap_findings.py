"""The three checks that decide about the cap: the CNAME, the first halves of the addresses, and whether they stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.doctor.cap import CAP_DAYS, cname_kind, compare_halves, half
from gateway.doctor.model import Finding
from gateway.doctor.names import readable

if TYPE_CHECKING:
    from gateway.doctor.cap import CnameKind, Halves
    from gateway.doctor.model import Cap, Resolution, Seen, Status
    from gateway.doctor.names import Suffixes

_WHY_CNAME = "Safari caps cookies to 7 days when the tracking name is a CNAME to another site's host (Safari 14: CNAME cloaking)."
_WHY_ADDRESS = (
    "Safari caps cookies to 7 days when the first half of the address (/16, in IPv6 /64) differs from the page's "
    "(Safari 16.4: third-party IP address cloaking)."
)
_WHY_CHANGING = (
    "Names whose addresses change can agree at one moment and differ at the next, from visitor to visitor."
)


def judge_cap(seen: Seen, suffixes: Suffixes) -> tuple[Cap, list[Finding]]:
    """Give whom Safari caps, and the findings `cname`, `address` and `changing`."""
    site, tracking = seen.site_names, seen.tracking_names
    if suffixes.registrable(site.name) != suffixes.registrable(tracking.name):
        return "blocked", _not_judged("the names are of two sites: see same_site")
    if site.name == tracking.name:
        told = "the gateway answers under the page's own name"
        return "none", [
            Finding("cname", "ok", told, _WHY_CNAME),
            Finding("address", "ok", told, _WHY_ADDRESS),
            Finding("changing", "ok", told, _WHY_CHANGING),
        ]
    if not tracking.addresses and not tracking.chain:
        return "unknown", _not_judged(f"{readable(tracking.name)} has no known address: see tracking_dns")
    # A cap does no harm to a cookie that does not live longer.
    bad: Status = "fail" if seen.cookie.lifetime_days > CAP_DAYS else "warn"
    kind = cname_kind(site, tracking, suffixes)
    halves = compare_halves(site, tracking)
    findings = [
        _cname(kind, seen, suffixes, bad),
        _address(kind, halves, seen, bad),
        _changing(kind, seen),
    ]
    return _cap(kind, halves, site), findings


def _cap(kind: CnameKind, halves: Halves, site: Resolution) -> Cap:
    if kind == "foreign":
        # The page's own CNAME might lead to the same place, had DNS told it.
        return "unknown" if not site.chain and not site.addresses else "all"
    if kind != "none":
        return "none"
    by_halves: dict[Halves, Cap] = {
        "same": "none", "mixed": "perhaps", "some_differ": "some", "all_differ": "all", "unknown": "unknown",
    }  # fmt: skip
    return by_halves[halves]


def _cname(kind: CnameKind, seen: Seen, suffixes: Suffixes, bad: Status) -> Finding:
    check, site, tracking = "cname", seen.site_names, seen.tracking_names
    name = readable(tracking.name)
    if kind == "none":
        return Finding(check, "ok", f"{name} has no CNAME", _WHY_CNAME)
    target = tracking.chain[-1]
    owner = suffixes.registrable(target)
    leads = f"{name} is a CNAME to {readable(target)}"
    if kind == "same_site":
        return Finding(check, "ok", f"{leads}, a name of the site itself", _WHY_CNAME)
    if kind == "same_network":
        told = f"{leads}; the page's own CNAME leads to {readable(owner)} too"
        return Finding(check, "ok", told, _WHY_CNAME)
    told = f"{leads}, a host of {readable(owner)} and not of {readable(suffixes.registrable(site.name))}"
    if not site.chain and not site.addresses:
        return Finding(
            check, "unknown", f"{told}; the page's own DNS is unknown", _WHY_CNAME, "Mend site_dns first."
        )
    return Finding(check, bad, told, _WHY_CNAME, _advice(seen))


def _address(kind: CnameKind, halves: Halves, seen: Seen, bad: Status) -> Finding:
    check, site, tracking = "address", seen.site_names, seen.tracking_names
    pages, gateways = (_halves(each) for each in (site, tracking))
    told = f"{readable(tracking.name)} is in {gateways}, {readable(site.name)} in {pages}"
    if halves == "same":
        return Finding(check, "ok", f"both names are in {pages}", _WHY_ADDRESS)
    if halves == "unknown":
        missing = "the addresses of both names are not all known"
        if kind != "none":
            return Finding(check, "ok", f"not compared, as there is a CNAME; {missing}", _WHY_ADDRESS)
        return Finding(check, "unknown", missing, _WHY_ADDRESS, "Mend site_dns and tracking_dns first.")
    if kind == "foreign":
        return Finding(check, "warn", f"{told}; the CNAME decides already", _WHY_ADDRESS, _advice(seen))
    if kind != "none":
        return Finding(
            check, "warn", f"{told}; Safari does not compare them where the CNAME is in order", _WHY_ADDRESS,
            "Nothing now. An address in the site's own network would hold under a stricter rule too.",
        )  # fmt: skip
    if halves == "mixed":
        return Finding(
            check, "warn", f"both names answer out of the same networks ({pages}), so which pair a visitor gets is chance",
            _WHY_ADDRESS, _advice(seen),
        )  # fmt: skip
    share = "every address differs" if halves == "all_differ" else "not every pair of addresses agrees"
    return Finding(check, bad, f"{share}: {told}", _WHY_ADDRESS, _advice(seen))


def _changing(kind: CnameKind, seen: Seen) -> Finding:
    check = "changing"
    names = [each for each in (seen.site_names, seen.tracking_names) if each.changes]
    looks = max(len(seen.site_names.looks), len(seen.tracking_names.looks))
    if not names:
        return Finding(check, "ok", f"the same addresses in {looks} looks", _WHY_CHANGING)
    told = f"the addresses of {' and '.join(readable(each.name) for each in names)} change from look to look"
    if kind in {"same_site", "same_network"}:
        return Finding(check, "ok", f"{told}; with this CNAME Safari does not compare them", _WHY_CHANGING)
    return Finding(
        check, "warn", f"{told}, as behind a CDN: what was seen may not be what the next visitor gets", _WHY_CHANGING,
        f"Don't rely on addresses that change: {_below_a_path(seen)}",
    )  # fmt: skip


def _not_judged(why: str) -> list[Finding]:
    reasons = {"cname": _WHY_CNAME, "address": _WHY_ADDRESS, "changing": _WHY_CHANGING}
    return [Finding(check, "unknown", f"not judged: {why}", reason) for check, reason in reasons.items()]


def _halves(names: Resolution) -> str:
    return ", ".join(dict.fromkeys(half(each) for each in names.addresses)) or "no known network"


def _advice(seen: Seen) -> str:
    site, tracking = seen.site_names, seen.tracking_names
    if site.chain:
        same = (
            f"Lead {tracking.name} to the same load balancer or CDN zone that carries {site.name}: "
            f"a CNAME to the name that {site.name} has ({site.chain[-1]}), with a route to the gateway there."
        )
    else:
        kinds = "A and AAAA records" if any(each.version == 6 for each in site.addresses) else "an A record"
        same = (
            f"Give {tracking.name} {kinds} to the same load balancer or CDN zone that carries {site.name} "
            f"({', '.join(map(str, site.addresses)) or 'its addresses'}), without a CNAME to another domain, and a route to the gateway there."
        )
    return f"{same} Or {_below_a_path(seen)}"


def _below_a_path(seen: Seen) -> str:
    return (
        f"serve the gateway below a path of the site itself, {seen.site._replace(path='').url}/t/, through the site's own "
        "proxy: the page and the gateway are then one host, and Safari has nothing to compare."
    )
