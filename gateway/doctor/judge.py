"""The judgement: from what was seen to the cap, the findings and the advice. Pure: the same sight gives the same report.

What always holds: every check is in the report, in the order of `judge`, except the two that need HTTPS where it was not to be
tried. A finding that is not `ok` says what to do, or names the check that does (`see …`).
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING

from gateway.doctor.cap import CAP_DAYS
from gateway.doctor.cap_findings import judge_cap
from gateway.doctor.model import Fault, Finding, Report
from gateway.doctor.names import covers, readable

if TYPE_CHECKING:
    from gateway.doctor.model import Answer, Cap, Resolution, Seen
    from gateway.doctor.names import Suffixes

# RFC 1918, 6598, 1122, 3927; RFC 4193, 4291.
_NOT_PUBLIC = tuple(
    ip_network(each)
    for each in (
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
        "fc00::/7", "fe80::/10", "::1/128",
    )
)  # fmt: skip


def judge(seen: Seen, suffixes: Suffixes) -> Report:
    """Say what was found, and whether Safari caps the cookie."""
    cap, cap_findings = judge_cap(seen, suffixes)
    findings = [
        _site_domain(seen, suffixes),
        _dns("site_dns", seen.site_names),
        _dns("tracking_dns", seen.tracking_names),
        _same_site(seen, suffixes),
        _cookie_domain(seen, suffixes),
        *cap_findings,
    ]
    if seen.answer is not None:
        findings += [_https(seen, seen.answer), _script(seen.answer)]
    return Report(cap, _summary(seen, cap, findings), tuple(findings))


def _site_domain(seen: Seen, suffixes: Suffixes) -> Finding:
    host = seen.site.host
    why = "Browsers refuse cookies for a public suffix, a domain under which many owners have names."
    if suffixes.is_public(host):
        return Finding(
            "site_domain", "fail", f"{readable(host)} is a public suffix or no domain at all", why,
            "Give --site the address of a page of the shop, such as https://www.shop.example.",
        )  # fmt: skip
    return Finding(
        "site_domain", "ok", f"{readable(host)} is of the site {readable(suffixes.registrable(host))}", why
    )


def _dns(check: str, names: Resolution) -> Finding:
    why = "Safari decides by the CNAME chain and the addresses that visitors get."
    name = readable(names.name)
    told = _told(names)
    if names.unanswered and not names.addresses:
        return Finding(
            check, "unknown", f"{name}: no answer ({names.detail})", why,
            f"Ask again, or ask another resolver: --resolver 9.9.9.9. If {names.name} never answers, mend its name servers.",
        )  # fmt: skip
    if not names.addresses:
        what = {
            Fault.NO_SUCH_NAME: "does not exist in DNS",
            Fault.LOOP: "is a CNAME that leads round in a circle",
        }.get(names.fault or Fault.NO_ADDRESS, "has no address")
        return Finding(
            check, "fail", f"{name} {what}{f' ({told})' if names.chain else ''}", why,
            f"Add an A record (and AAAA, if the site has one) for {names.name}.",
        )  # fmt: skip
    if names.unanswered:
        return Finding(
            check, "unknown", f"{name}: {told}; {' and '.join(names.unanswered)} unanswered ({names.detail})", why,
            "Ask again, or ask another resolver: --resolver 9.9.9.9.",
        )  # fmt: skip
    private = [str(each) for each in names.addresses if any(each in network for network in _NOT_PUBLIC)]
    if private:
        return Finding(
            check, "warn", f"{name}: {told}; {', '.join(private)} can't be reached from the internet", why,
            "Ask a public resolver, as visitors do: --resolver 9.9.9.9. What is seen here is this network's own view.",
        )  # fmt: skip
    return Finding(check, "ok", f"{name}: {told}", why)


def _told(names: Resolution) -> str:
    chain = "".join(f"CNAME {each} " for each in names.chain)
    return f"{chain}{', '.join(map(str, names.addresses))}".strip()


def _same_site(seen: Seen, suffixes: Suffixes) -> Finding:
    page, gateway = (suffixes.registrable(each.host) for each in (seen.site, seen.tracking))
    why = "Only a host of the page's own site sets first-party cookies; Safari blocks all others by default."
    if page == gateway:
        return Finding("same_site", "ok", f"both names are of {readable(page)}", why)
    return Finding(
        "same_site", "fail", f"{readable(seen.tracking.host)} is of {readable(gateway)}, the page of {readable(page)}", why,
        f"Serve the gateway under a name of the site, such as track.{page}, and write it into server.public_url.",
    )  # fmt: skip


def _cookie_domain(seen: Seen, suffixes: Suffixes) -> Finding:
    check, domain = "cookie_domain", seen.cookie.domain
    why = "A cookie's Domain must be no public suffix and must cover both names: browsers refuse it otherwise, or the page's scripts can't read it."
    page, gateway = seen.site.host, seen.tracking.host
    registrable = suffixes.registrable(page)
    if domain is None:
        return Finding(
            check, "fail", f"no [[properties]] of the settings has a site that covers {readable(page)}", why,
            f'Add a property with site = "{registrable}", or name the right settings with --config.',
        )  # fmt: skip
    if not domain:
        shared = page == gateway
        return Finding(
            check, "ok" if shared else "warn", f"no Domain: the cookie is {readable(gateway)}'s alone", why,
            "" if shared else f'Scripts of the page can\'t read such a cookie: set cookies.domain = "{registrable}".',
        )  # fmt: skip
    mend = f'Set the property\'s site (or cookies.domain) to "{registrable}".'
    if not domain.isascii():
        told = f"Domain={domain} is not ASCII, as host names are where a cookie is set"
        return Finding(check, "fail", told, why, mend)
    if suffixes.is_public(domain):
        return Finding(check, "fail", f"{readable(domain)} is a public suffix: browsers refuse it", why, mend)
    outside = [readable(each) for each in (gateway, page) if not covers(domain, each)]
    if outside:
        return Finding(
            check, "fail", f"Domain={readable(domain)} does not cover {' and '.join(outside)}", why, mend
        )
    source = "" if seen.cookie.from_settings else " (no settings were read)"
    return Finding(check, "ok", f"Domain={readable(domain)} covers both names{source}", why)


def _https(seen: Seen, answer: Answer) -> Finding:
    check, host = "https", seen.tracking.host
    why = "The cookie is Secure: browsers take it over HTTPS only, and load no script from a host whose certificate is wrong."
    if seen.tracking.scheme != "https":
        return Finding(
            check, "fail", f"{seen.tracking.url} is plain HTTP", why,
            "Put TLS in front of the gateway and write the https:// address into server.public_url (or --tracking).",
        )  # fmt: skip
    asked = f"{answer.address or readable(host)} port {seen.tracking.port}"
    match answer.fault:
        case None | Fault.NOT_HTTP:
            return Finding(check, "ok", f"{asked}: the certificate is valid for {readable(host)}", why)
        case Fault.NO_ADDRESS:
            return Finding(
                check, "unknown", "not tried: the name has no known address", why, "Mend its DNS first."
            )
        case Fault.UNREACHABLE:
            return Finding(
                check, "unknown", f"{asked}: {answer.detail}", why,
                "Look from a machine that reaches the address, or leave this out with --no-http.",
            )  # fmt: skip
        case Fault.CERTIFICATE:
            return Finding(
                check, "fail", f"{asked}: the certificate is refused ({answer.detail})", why,
                f"Install a certificate for {host} with its intermediates (for a private CA here: --ca-file).",
            )  # fmt: skip
        case Fault.TLS:
            return Finding(
                check, "fail", f"{asked}: no TLS ({answer.detail})", why, f"Let port {seen.tracking.port} speak TLS 1.2 or later."
            )  # fmt: skip
        case fault:
            return Finding(
                check, "fail", f"{asked}: {fault} ({answer.detail})", why,
                f"Let the proxy in front of the gateway listen on port {seen.tracking.port} and open it in the firewall.",
            )  # fmt: skip


def _script(answer: Answer) -> Finding:
    check, why = (
        "script",
        "The page loads the gateway's script from there; without it nothing is tracked and no cookie set.",
    )
    advice = (
        "Pass the script's path on to the gateway (tracking-gateway serve), and check that it runs: /readyz."
    )
    if answer.fault is Fault.NOT_HTTP:
        return Finding(check, "fail", f"{answer.url}: no HTTP answer ({answer.detail})", why, advice)
    if answer.fault is not None:
        return Finding(check, "unknown", f"{answer.url} was not asked for: see https", why)
    kind = answer.content_type.partition(";")[0].strip().lower()
    told = f"{answer.url}: {answer.status} {answer.content_type or 'without a content type'}"
    if answer.status == 200 and kind in {"application/javascript", "text/javascript"}:
        return Finding(check, "ok", told, why)
    return Finding(check, "fail", told, why, advice)


def _summary(seen: Seen, cap: Cap, findings: list[Finding]) -> str:
    days = seen.cookie.lifetime_days
    lifetime = f"{days} days" if days else "until the browser is closed"
    host = readable(seen.tracking.host)
    if cap == "blocked":
        return f"Safari would take no cookie from {host} at all: it is another site than the page's."
    if cap == "unknown":
        return "Whether Safari caps the cookie can't be told: DNS did not say enough."
    if days <= CAP_DAYS:
        return f"The cookie lives {lifetime}, by cookies.lifetime_days: Safari's cap of {CAP_DAYS} days changes nothing."
    if cap == "none":
        kept = f"Safari would keep the cookie of {host} {lifetime}"
        hurt = any(each.status in {"fail", "unknown"} for each in findings)
        return f"{kept}, as far as names and addresses go; what failed comes first." if hurt else f"{kept}."
    reason = next(
        each.seen for each in findings if each.check in {"cname", "address"} and each.status != "ok"
    )
    whom = {"perhaps": "might, by chance, ", "some": "would, for some visitors, "}.get(cap, "would ")
    return f"Safari {whom}keep the cookie {CAP_DAYS} days instead of {days}, with the twin not helping either, because {reason}."
