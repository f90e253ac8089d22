"""The UIDs that an answer hands to a page: the collector's `au_id`, and the cookie."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.qa.calls import Heard

_GIVEN = re.compile(rb'"au_id"\s*:\s*"?([A-Za-z0-9_.:~+/=|-]{1,128})')
_LARGEST = 1 << 20


def uids_given(heard: Heard, cookie: str) -> Iterator[str]:
    """Give the UIDs of an answer; `cookie` is the name of the UID's cookie. Of an answer larger than a megabyte nothing is read."""
    if heard.body is not None and len(heard.body) <= _LARGEST:
        for found in _GIVEN.finditer(heard.body):
            yield found[1].decode()
    for name, value in heard.headers:
        if name.lower() == "set-cookie" and value.startswith(f"{cookie}="):
            uid = value.partition("=")[2].partition(";")[0].strip('" ')
            if uid:
                yield uid
