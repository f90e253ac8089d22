"""`[tls]`: whether the gateway itself speaks TLS, and with which certificate."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from gateway.settings_types import Section


class Tls(Section):
    """`[tls]`: the certificate for `[server]`; without one the port speaks plain HTTP, for a proxy in front."""

    key_file: str = ""
    # After the key, whose absence its check tells.
    certificate_file: str = Field(default="", validate_default=True)
    key_password_file: str = ""
    minimum_version: Literal["1.2", "1.3"] = "1.2"
    hsts_seconds: int = Field(default=0, ge=0, le=63_072_000)

    @field_validator("certificate_file")
    @classmethod
    def _with_its_key(cls, value: str, info: ValidationInfo) -> str:
        if value and not info.data.get("key_file", "unknown"):
            msg = "a certificate needs its key: add tls.key_file (both are in one file? name it twice)"
            raise ValueError(msg)
        if not value and info.data.get("key_file"):
            msg = "a key needs its certificate: add tls.certificate_file, the whole chain, the gateway's own first"
            raise ValueError(msg)
        return value

    @field_validator("key_password_file", "hsts_seconds")
    @classmethod
    def _only_with_tls(cls, value: str | int, info: ValidationInfo) -> str | int:
        if value and not info.data.get("certificate_file", "unknown"):
            msg = "without tls.certificate_file the gateway speaks plain HTTP: set this where TLS ends"
            raise ValueError(msg)
        return value

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Give what TLS adds to every answer."""
        # For this host alone: what the site's other hosts speak is not the gateway's to say.
        return (("Strict-Transport-Security", f"max-age={self.hsts_seconds}"),) if self.hsts_seconds else ()

    @property
    def is_on(self) -> bool:
        """Whether the public port speaks TLS."""
        return bool(self.certificate_file)
