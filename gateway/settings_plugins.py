"""`[plugins]`: Python functions of the site's own, by the name of their entry point in the group `gateway.plugins`. None runs that is not named here."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from gateway.settings_types import Section


def _each_once(value: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(value)) != len(value):
        msg = "name each plugin once; they run in this order"
        raise ValueError(msg)
    return value


class Plugins(Section):
    """`[plugins]`. A call that takes longer than `budget_ms` is a failure; one that takes `limit_ms` is broken off; too many of them switch it off."""

    enabled: Annotated[tuple[str, ...], AfterValidator(_each_once)] = ()
    budget_ms: float = Field(default=5, gt=0, le=1_000)
    limit_ms: int = Field(default=500, ge=10, le=60_000)
    max_failures_per_minute: int = Field(default=10, ge=1, le=1_000_000)
