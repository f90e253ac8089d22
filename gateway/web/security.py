"""What every answer tells a browser, so that nothing the gateway says can be made into a page, a frame or a script of somebody else's.

- `X-Content-Type-Options`: an answer is what its type says, whatever is in it.
- `Content-Security-Policy`, `X-Frame-Options`: nobody can open an answer as a page that does something, nor show it in a frame. A script has none: it
  would hold for a worker that is made of it (`/antsomiSDKsw.js` may be one).
- `Referrer-Policy`: the browsers' own default, also where a page has loosened it.
- `Cross-Origin-Resource-Policy`: pixels, scripts and redirects are there to be embedded, by mail clients too; JSON is read by the site's pages
  alone, which ask for it with CORS.

What an answer says of itself stays. `Strict-Transport-Security` is not among them: it holds for a name, which is its owner's to decide; who
ends TLS here gives it to `PublicServer` as `always`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.events.replies import Headers

_ALL: Headers = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "strict-origin-when-cross-origin"),
)
_NO_PAGE: Headers = (
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox"),
    ("X-Frame-Options", "DENY"),
)
_EMBEDDED: Headers = (("Cross-Origin-Resource-Policy", "cross-origin"),)
_READ: Headers = (("Cross-Origin-Resource-Policy", "same-site"),)


def secured(headers: Headers) -> Headers:
    """Give an answer's header fields with those of every answer that it lacks."""
    names = {name.lower(): value for name, value in headers}
    return headers + _missing(
        names.get("content-type", "").partition(";")[0], *(name in names for name in _NAMES)
    )


_NAMES = ("x-content-type-options", "referrer-policy", "content-security-policy", "x-frame-options", "cross-origin-resource-policy")  # fmt: skip


@lru_cache(256)
def _missing(content_type: str, *present: bool) -> Headers:
    is_script = content_type.endswith("javascript")
    is_read = content_type in {"application/json", "text/plain"}
    wanted = (*_ALL, *(() if is_script else _NO_PAGE), *(_READ if is_read else _EMBEDDED))
    there = {name for name, is_there in zip(_NAMES, present, strict=True) if is_there}
    return tuple((name, value) for name, value in wanted if name.lower() not in there)
