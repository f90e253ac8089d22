"""The secret that signs cookies where the settings name none: made once, kept beside the ledger.

One machine needs no set-up that way. Several that share their visitors need the same key: then `cookies.keys` names it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from typing import TYPE_CHECKING

import pydantic

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.settings import Settings

FILE_NAME = "cookie.key"
_KEY_BYTES = 32


class CookieKeyUnusable(Exception):
    """The file with the cookie's key can't be read or made: which one, why, and what would mend it."""

    def __init__(self, path: Path, cause: str) -> None:
        self.path = path
        self.cause = cause
        self.hint = f"let the gateway's user read and write {path}, or name keys in cookies.keys"
        super().__init__(f"the cookie's key {path} can't be used: {cause}")


def with_cookie_key(settings: Settings) -> Settings:
    """Give the settings with a key to sign cookies: their own, else the one in `data_dir/cookie.key`, made where there is none.

    Where the settings got keys of their own later, that one still reads what it signed before. Safe with several processes at
    once: the first one's key is everybody's. Raises `CookieKeyUnusable`.
    """
    own = settings.cookies.keys
    path = settings.data_dir / FILE_NAME
    try:
        if not path.exists():
            if own:
                return settings
            _make(path)
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CookieKeyUnusable(path, getattr(error, "strerror", None) or type(error).__name__) from None
    try:
        ids = {key.get_secret_value().partition(":")[0] for key in own}
        keys = own if text.partition(":")[0] in ids else (*own, text)
        cookies = type(settings.cookies).model_validate({**settings.cookies.model_dump(), "keys": keys})
    except pydantic.ValidationError:
        # Without the validator's own words: they would quote the key.
        raise CookieKeyUnusable(path, "it holds no id:key") from None
    return settings.model_copy(update={"cookies": cookies})


def _make(path: Path) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".cookie.key.")
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(f"auto:{secrets.token_hex(_KEY_BYTES)}\n")
            file.flush()
            os.fsync(file.fileno())
        # A link, not a rename: whoever comes second leaves the first one's key alone.
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
    finally:
        os.unlink(name)  # noqa: PTH108 -- a name, as mkstemp gives it
