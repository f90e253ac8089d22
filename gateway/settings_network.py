"""The section of the configuration about the visitor's address: what leaves of it."""

from __future__ import annotations

from gateway.settings_types import AddressPolicy, Section


class Network(Section):
    """`[network]`: what leaves of a visitor's address. A property may say otherwise."""

    client_address: AddressPolicy = "full"
