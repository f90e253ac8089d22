r"""The vendor's hosts in a script become the gateway's own name: what a page's script asks for then goes nowhere else.

A script is not parsed: hosts are found as text, in the ways that scripts write them, and nothing but a host (with a scheme before and a port or a
known path behind it) changes:

    "https://a.cdp.asia/event"    '//st-a.cdp.asia'    "https://" + "a.cdp.asia" + path    https:\/\/a.cdp.asia
    https%3A%2F%2Fa.cdp.asia      \u002f\u002fa.cdp.asia      /st-a\.cdp\.asia\/insight\.js/ (a pattern that looks for its own tag)

What always holds: names that only look alike (`xa.cdp.asia`, `a.cdp.asia.example`, `me@a.cdp.asia`) stay; all other bytes stay, in any encoding that
holds ASCII; what is put in has no character that could end a string, a pattern or a template. What the vendor's domain still stands in
afterwards is told (`Rewritten.left`), because it was written in a way that is not known here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

# What a name goes on with; bytes beyond ASCII may be letters.
_NAME = rb"A-Za-z0-9_\-\x80-\xff"
_SLASH = rb"(?:/|\\/|\\x2[fF]|\\u002[fF]|%2[fF])"
_BEFORE = re.compile(
    # A scheme with its slashes, …
    rb"(?:(?<![" + _NAME + rb".+])(?P<scheme>[hH][tT][tT][pP][sS]?)(?P<colon>:|%3[aA])(?P<slashes>" + _SLASH + rb"{2})"
    # … a slash that is written as letters and digits, …
    rb"|(?:\\x2[fF]|\\u002[fF]|%2[fF])"
    # … or nothing that a name could have begun with.
    rb"|(?<![" + _NAME + rb".@]))\Z"
)  # fmt: skip
_AFTER = re.compile(rb"(?P<port>:[0-9]{1,5})?(?![" + _NAME + rb"@]|\\?\.[" + _NAME + rb"])")
_LABELS = re.compile(rb"[A-Za-z0-9\-.\\]*\Z")
_LONGEST_BEFORE = 32
_BASE_PATH = re.compile(r"(?:/[A-Za-z0-9_.~-]+)*\Z")
_BASE_HOST = re.compile(r"[A-Za-z0-9.-]+(?::[0-9]{1,5})?\Z")


class BadBase(ValueError):
    """An address that hosts can't become: it says which one, and what it should look like."""

    def __init__(self, got: str) -> None:
        super().__init__(
            f"write a URL such as https://track.shop.example, maybe with a plain path, got {got!r}"
        )
        self.got = got


class Rewritten(NamedTuple):
    """A script with the gateway's name in it.

    `counts` says how often each host was replaced, `left` in what names the vendor's domains still stand.
    """

    content: bytes
    counts: Mapping[str, int]
    left: Mapping[str, int]


class Rewriting:
    """Replaces hosts by URLs: `targets` gives the URL (scheme, host, maybe port and path) for each host.

    `paths` gives the gateway's own name for a path of the vendor's, such as `/event`, where it stands right behind a host. Raises `BadBase`.
    """

    def __init__(self, targets: Mapping[str, str], paths: Mapping[str, str] | None = None) -> None:
        self._targets = {host.lower().encode(): _Base.of(url) for host, url in targets.items()}
        own = sorted((paths or {}).items(), key=lambda pair: -len(pair[0]))
        self._paths = [(_pattern_of_path(theirs), ours.encode()) for theirs, ours in own]
        names = sorted(self._targets, key=len, reverse=True)
        dotted = [re.escape(name).replace(rb"\.", rb"\\?\.") for name in names]
        self._hosts = re.compile(b"|".join(dotted), re.IGNORECASE) if dotted else None
        # `cdp.asia` of `a.cdp.asia`.
        domains = {name.partition(b".")[2] if name.count(b".") > 1 else name for name in names}
        self._domains = [_alone(domain) for domain in sorted(domains)]

    def apply(self, content: bytes) -> Rewritten:
        """Give the script with every host replaced that stands there as a host."""
        counts: dict[str, int] = {}
        parts: list[bytes] = []
        end = 0
        for found in self._hosts.finditer(content) if self._hosts else ():
            start = found.start()
            before = _BEFORE.search(content, max(end, start - _LONGEST_BEFORE), start)
            after = _AFTER.match(content, found.end())
            if before is None or after is None:
                continue
            host = found[0].replace(b"\\", b"").lower()
            base = self._targets[host]
            is_pattern = b"\\." in found[0]
            slash = _slash_of(content[before.start() : start]) or (b"\\/" if is_pattern else b"/")
            if before["scheme"]:
                parts += [content[end : before.start()], base.scheme, before["colon"], before["slashes"]]
            else:
                parts.append(content[end:start])
            parts.append(base.host.replace(b".", b"\\.") if is_pattern else base.host)
            parts.append(base.path.replace(b"/", slash))
            end = after.end()
            for pattern, ours in self._paths:
                path = pattern.match(content, end)
                if path is not None:
                    own = ours.replace(b".", b"\\.") if is_pattern else ours
                    parts.append(own.replace(b"/", _slash_of(path[0]) or slash))
                    end = path.end()
                    break
            counts[host.decode()] = counts.get(host.decode(), 0) + 1
        parts.append(content[end:])
        rewritten = b"".join(parts)
        return Rewritten(rewritten, counts, self._remaining(rewritten))

    def _remaining(self, content: bytes) -> dict[str, int]:
        left: dict[str, int] = {}
        own = {base.host.lower() for base in self._targets.values()}
        for domain in self._domains:
            for found in domain.finditer(content):
                start = found.start()
                label = _LABELS.search(content, max(0, start - _LONGEST_BEFORE), start)
                name = ((label[0] if label else b"") + found[0]).replace(b"\\", b"").lower()
                if name not in own:
                    left[name.decode()] = left.get(name.decode(), 0) + 1
        return left


class _Base(NamedTuple):
    """A URL that stands for a host: `path` is empty or begins with a slash."""

    scheme: bytes
    host: bytes
    path: bytes

    @classmethod
    def of(cls, url: str) -> _Base:
        parts = urlsplit(url)
        path = parts.path.rstrip("/")
        if (
            parts.scheme not in {"http", "https"}
            or not _BASE_HOST.match(parts.netloc)
            or not _BASE_PATH.match(path)
            or parts.query
            or parts.fragment
        ):
            raise BadBase(url)
        return cls(parts.scheme.encode(), parts.netloc.encode(), path.encode())


def _pattern_of_path(path: str) -> re.Pattern[bytes]:
    written = (
        re.escape(part.encode()).replace(rb"\.", rb"\\?\.") for part in path.removeprefix("/").split("/")
    )
    # Behind a file's name a slash is the end of a pattern.
    end = b"." if "." in path.rpartition("/")[2] else b"./"
    return re.compile(_SLASH + _SLASH.join(written) + rb"(?![" + _NAME + end + rb"])")


def _alone(name: bytes) -> re.Pattern[bytes]:
    dotted = re.escape(name).replace(rb"\.", rb"\\?\.")
    return re.compile(dotted + rb"(?![" + _NAME + rb"]|\\?\.[" + _NAME + rb"])", re.IGNORECASE)


def _slash_of(text: bytes) -> bytes:
    """Give how slashes are written in a text, by its last one; empty when it has none."""
    found = re.findall(_SLASH, text)
    return found[-1] if found else b""
