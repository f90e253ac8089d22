"""The HTML that a site pastes into its pages: the stub that queues calls, and the tag that brings the script.

Every value lands in JavaScript as a JSON literal in which nothing can end a string or a `<script>` element, whatever
characters it has. What the gateway is told of its cookies stands in the snippet where it differs from the usual, because the
script keeps the visitor's id too, and must not keep it longer or for more hosts.
"""

from __future__ import annotations

import json
from html import escape
from string import Template
from urllib.parse import urlsplit

_PAGE = Template("""\
<!-- Tracking: paste this into the <head> of every page, before any code that calls web_event. -->
<script$nonce>
  // The portal and the property that the events belong to.
  var _portalId = $portal_id;
  var _propId = $prop_id;

  // What the page knows about itself goes with its page view. Say it before this snippet, for example:
  //   var _cdp365Analytics = {page: {page_type: "product", page_category: "shoes"}};
  // With default_event: 0 in it, no page view is sent by itself; with consent: "pending", nothing is stored or sent until
  // web_event.consent("granted").
  window._cdp365Analytics = window._cdp365Analytics || {};
$cookie_lines
  // Until the script has arrived, calls wait in a queue, so the page may call this at any time:
  //   web_event.track("product", "view", {items: [{type: "product", id: "42", name: "Shoe"}]});
  //   web_event.track("user", "sign_in", {dims: {customers: {email: "an@shop.example"}}});
  // and on logout: web_event("resetAnonymousUId");
  (function () {
    if (window.web_event) return;
    var stub = (window.web_event = function () { stub.queue.push(arguments); });
    stub.queue = [];
    stub.track = stub;
    stub.propId = _propId;
$injection  })();
</script>
$tag""")

_INJECTION = Template("""\
    var script = document.createElement("script");
    script.async = true;
    script.src = $script_url;
    document.head.appendChild(script);
""")

# What a page's parser finds needs no nonce to be handed on, and no policy for Trusted Types.
_TAG = Template("""\
<script nonce="$nonce" async src="$script_url"></script>
""")

_SITE_LINES = Template("""\
  // The visitor's id is shared by all hosts of this domain.
  _cdp365Analytics.first_party_domain = _cdp365Analytics.first_party_domain || $site;
""")

_HOST_LINES = """\
  // The visitor's id is the page's own host's alone.
  _cdp365Analytics.first_party_domain = _cdp365Analytics.first_party_domain || "host";
"""

_NAME_LINES = Template("""\
  // The cookie that the gateway keeps the visitor's id in.
  _cdp365Analytics.cookie_name = $value;
""")

_DAYS_LINES = Template("""\
  // For how many days after a visit the browser may know its visitor.
  _cdp365Analytics.cookie_days = $value;
""")

_SESSION_LINES = """\
  // Nothing of the visitor's id outlives the browser's session.
  _cdp365Analytics.cookie_days = 0;
"""

_SAME_SITE_LINES = Template("""\
  // From which sites' pages browsers send the cookie.
  _cdp365Analytics.cookie_same_site = $value;
""")

_USUAL_COOKIE = "_asm_uid"
_USUAL_DAYS = 400
_USUAL_SAME_SITE = "lax"


def snippet(  # noqa: PLR0913 -- what a page can be told
    base_url: str,
    portal_id: str,
    prop_id: str,
    *,
    script_path: str = "/insight.js",
    site: str = "",
    cookie_name: str = _USUAL_COOKIE,
    cookie_domain: str = "",
    lifetime_days: int = _USUAL_DAYS,
    same_site: str = _USUAL_SAME_SITE,
    nonce: str = "",
) -> str:
    """Give the HTML to paste into a site's pages, ready to work.

    `base_url` is where browsers reach the gateway, with what a proxy puts before its paths (`https://track.shop.example`);
    `script_path` is the gateway's path of the script; `site` the domain for the visitor's cookie (`shop.example`), empty for the page's own host alone. The others are the
    gateway's `[cookies]`: `cookie_name` is `name`, `cookie_domain` is `domain` (empty: `site`; `host`: no domain at all),
    `lifetime_days` and `same_site` are called the same. With `nonce` (or what a template engine makes one of: `{{ nonce }}`) the HTML is for a page
    with a strict Content-Security-Policy. Raises `ValueError` where `base_url` is no http(s) URL or has a query or fragment, and for a nonce with a
    quote in it.
    """
    if '"' in nonce:
        raise ValueError(
            f"nonce: got {nonce!r}, expected a nonce, or what your pages' templates write for one, without quotes"
        )
    parts = urlsplit(base_url)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"base_url: got {base_url!r}, expected something like https://track.shop.example")
    script_url = f"{base_url.rstrip('/')}{script_path}"
    cookie_lines = (
        _domain_lines(cookie_domain or site),
        _NAME_LINES.substitute(value=_literal(cookie_name)) if cookie_name != _USUAL_COOKIE else "",
        _lifetime_lines(lifetime_days),
        _SAME_SITE_LINES.substitute(value=_literal(same_site)) if same_site != _USUAL_SAME_SITE else "",
    )
    return _PAGE.substitute(
        portal_id=_literal(portal_id),
        prop_id=_literal(prop_id),
        cookie_lines="".join(cookie_lines),
        nonce=f' nonce="{nonce}"' if nonce else "",
        injection="" if nonce else _INJECTION.substitute(script_url=_literal(script_url)),
        tag=_TAG.substitute(nonce=nonce, script_url=escape(script_url)) if nonce else "",
    )


def _domain_lines(domain: str) -> str:
    if domain == "host":
        return _HOST_LINES
    return _SITE_LINES.substitute(site=_literal(domain)) if domain else ""


def _lifetime_lines(days: int) -> str:
    if not days:
        return _SESSION_LINES
    return _DAYS_LINES.substitute(value=days) if days != _USUAL_DAYS else ""


def _literal(text: str) -> str:
    """Write text as a JavaScript string that is safe inside a `<script>` element (HTML Standard, section 4.12.1.3)."""
    ascii_json = json.dumps(text, ensure_ascii=True)
    return ascii_json.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
