"""`[script]`: whose script pages load from the gateway, and how the vendor's is fetched, pinned and rewritten."""

from __future__ import annotations

import posixpath
import re
from typing import Annotated, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator

from gateway.settings_types import Host, HttpUrl, Section, http_url

_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)+\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_MOST_CHARACTERS = 128
_TAKEN = ("/event", "/stream_event", "/ppid", "/favicon.ico")


MOST_URLS = 64
"""So many names of its own a gateway can have in scripts: there is a compressed script for each."""


class Kind(NamedTuple):
    """What an asset is, by the ending of its name: `is_text` where the vendor's hosts are looked for in it."""

    content_type: str
    is_text: bool


KINDS = {
    "js": Kind("application/javascript; charset=utf-8", is_text=True),
    "mjs": Kind("application/javascript; charset=utf-8", is_text=True),
    "css": Kind("text/css; charset=utf-8", is_text=True),
    "json": Kind("application/json", is_text=True),
    "map": Kind("application/json", is_text=True),
    "svg": Kind("image/svg+xml; charset=utf-8", is_text=True),
    "wasm": Kind("application/wasm", is_text=False),
    "png": Kind("image/png", is_text=False),
    "gif": Kind("image/gif", is_text=False),
    "jpg": Kind("image/jpeg", is_text=False),
    "jpeg": Kind("image/jpeg", is_text=False),
    "webp": Kind("image/webp", is_text=False),
    "ico": Kind("image/x-icon", is_text=False),
    "woff2": Kind("font/woff2", is_text=False),
}
"""The kinds of asset that are served, by the ending of their path."""

_ASSETS = {each: each for each in ("/insight.js", "/webpush.js", "/antsomiSDKsw.js")}
_HOSTS = dict.fromkeys(
    ("a.cdp.asia", "ap2-a.cdp.asia", "sandbox-a.cdp.asia", "st-a.cdp.asia", "sandbox-st-a.cdp.asia"), "own"
)


def kind_of(path: str) -> Kind:
    """Give the kind of an asset that the settings name. Raises `KeyError` for an ending that is not known."""
    return KINDS[posixpath.splitext(path)[1].removeprefix(".").lower()]


def _asset_path(value: str) -> str:
    if not _PATH.match(value) or len(value) > _MOST_CHARACTERS or {".", ".."} & set(value.split("/")):
        msg = f"write an absolute path of letters, digits and -._~, at most {_MOST_CHARACTERS} characters, such as /webpush.js"
        raise ValueError(msg)
    if value in _TAKEN:
        msg = f"{value} is the gateway's own: write another path"
        raise ValueError(msg)
    try:
        kind_of(value)
    except KeyError:
        msg = f"write a path whose ending says what it is: .{', .'.join(KINDS)}"
        raise ValueError(msg) from None
    return value


def _asset_source(value: str) -> str:
    if not value or (value.startswith("/") and value.isprintable() and value.isascii() and " " not in value):
        return value
    try:
        return http_url(value)
    except ValueError:
        msg = (
            "write a path at script.upstream_url such as /insight.js, a full URL, or nothing to take it away"
        )
        raise ValueError(msg) from None


def _host_target(value: str) -> str:
    if value in {"own", "keep"}:
        return value
    try:
        return plain_url(value)
    except ValueError:
        msg = 'write "own" (the gateway\'s own name), "keep" (leave it), or a URL such as https://track.shop.example'
        raise ValueError(msg) from None


def plain_url(value: str) -> str:
    """Give a URL that can stand in a script, as it is to stand there. Raises `ValueError`, which says what to write."""
    parts = urlsplit(http_url(value))
    path = parts.path.rstrip("/")
    if parts.query or (path and not _PATH.match(path)) or not re.fullmatch(r"[A-Za-z0-9.:-]+", parts.netloc):
        msg = "write scheme and host, with a plain path at most, such as https://track.shop.example"
        raise ValueError(msg)
    return f"{parts.scheme}://{parts.netloc.lower()}{path}"


def _sha256(value: str) -> str:
    if not _SHA256.match(value):
        msg = "write a SHA-256 as 64 lower-case hex digits, as `tracking-gateway script list --json` gives it"
        raise ValueError(msg)
    return value


AssetPath = Annotated[str, AfterValidator(_asset_path)]
PublicUrl = Annotated[str, AfterValidator(plain_url)]


class Script(Section):
    """`[script]`: the gateway's own script, or the vendor's from the gateway's own name."""

    source: Literal["own", "upstream"] = "own"
    upstream_url: HttpUrl = "https://st-a.cdp.asia"
    public_urls: tuple[PublicUrl, ...] = Field(default=(), max_length=MOST_URLS)
    on_change: Literal["serve", "hold"] = "serve"
    refresh_seconds: float = Field(default=300.0, ge=0.1, le=86_400)
    timeout_seconds: float = Field(default=10.0, gt=0, le=300)
    stale_if_error_hours: float = Field(default=0.0, ge=0, le=24 * 400)
    first_wait_seconds: float = Field(default=3.0, ge=0, le=30)
    # At most what browsers' zstd decoders have a window for.
    max_bytes: int = Field(default=4 * 1_048_576, ge=1_024, le=8 * 1_048_576)
    keep_versions: int = Field(default=10, ge=2, le=1_000)
    cache_seconds: int = Field(default=3_600, ge=0, le=86_400)
    service_workers: tuple[AssetPath, ...] = ("/antsomiSDKsw.js",)
    # Each is counted, and the space for counting is taken when the gateway starts.
    assets: dict[AssetPath, Annotated[str, AfterValidator(_asset_source)]] = Field(
        default_factory=_ASSETS.copy, max_length=24
    )
    hosts: dict[Host, Annotated[str, AfterValidator(_host_target)]] = Field(
        default_factory=_HOSTS.copy, max_length=64
    )
    pins: dict[AssetPath, tuple[Annotated[str, AfterValidator(_sha256)], ...]] = Field(default_factory=dict)

    @field_validator("assets")
    @classmethod
    def _with_usual_assets(cls, value: dict[str, str]) -> dict[str, str]:
        return {**_ASSETS, **value}

    @field_validator("hosts")
    @classmethod
    def _with_usual_hosts(cls, value: dict[str, str]) -> dict[str, str]:
        return {**_HOSTS, **value}

    def check_sites(self, sites: set[str]) -> None:
        """See that there can be a script for the name at each site, where no names are set. Raises `ValueError`."""
        count = len({site.removeprefix("*.") for site in sites})
        if self.source == "upstream" and not self.public_urls and count > MOST_URLS:
            msg = f"these are {count} sites, and a vendor's script for {MOST_URLS} names at most: list those that pages load it from in script.public_urls"
            raise ValueError(msg)

    def sources(self) -> dict[str, str]:
        """Give the vendor's URL of each asset, by the path that it is served at; none where the script is our own."""
        if self.source == "own":
            return {}
        base = self.upstream_url.rstrip("/")
        return {
            path: base + source if source.startswith("/") else source
            for path, source in self.assets.items()
            if source
        }
