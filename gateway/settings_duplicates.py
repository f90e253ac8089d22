"""`[duplicates]`: for how long events are recognised that clients send again."""

from __future__ import annotations

from pydantic import Field

from gateway.settings_types import Section

# Times are kept modulo 194 days; a longer window would be no window.
_LONGEST_SECONDS = 30 * 86_400


class Duplicates(Section):
    """`[duplicates]`: what comes again within these windows is answered, and dropped. 0: not looked for."""

    dedup_window_seconds: int = Field(default=86_400, ge=0, le=_LONGEST_SECONDS)
    content_window_seconds: int = Field(default=0, ge=0, le=3_600)
    max_entries: int = Field(default=1_000_000, ge=1_000, le=100_000_000)

    @property
    def is_on(self) -> bool:
        """Whether anything is looked for."""
        return bool(self.dedup_window_seconds or self.content_window_seconds)
