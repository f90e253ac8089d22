"""Browsers that refuse to remember: what a site's scripts meet with cookies or storage switched off, full or blocked."""

from __future__ import annotations

from types import MappingProxyType

_NO_STORAGE = """
Object.defineProperty(window, "localStorage", {get() { throw new DOMException("refused", "SecurityError"); }});
"""
_FULL_STORAGE = 'Storage.prototype.setItem = () => { throw new DOMException("full", "QuotaExceededError"); };'
_NO_COOKIES = """
Object.defineProperty(Document.prototype, "cookie", {
  get() { throw new DOMException("refused", "SecurityError"); },
  set() { throw new DOMException("refused", "SecurityError"); },
});
"""
_IGNORED_COOKIES = 'Object.defineProperty(Document.prototype, "cookie", {get: () => "", set() {}});'
REFUSALS = MappingProxyType(
    {
        "no storage": _NO_STORAGE,
        "full storage": _FULL_STORAGE,
        "no cookies": _NO_COOKIES,
        "ignored cookies": _IGNORED_COOKIES,
        "neither": _NO_STORAGE + _NO_COOKIES,
    }
)
"""JavaScript that makes a browser refuse to remember, by what it refuses."""
