"""A stand-in for the world around the gateway: a collector with profiles, and a shop that tracks.

For the demo and for tests; nothing of the gateway imports it.
"""

from __future__ import annotations

from gateway.sandbox.behaviour import Behaviour
from gateway.sandbox.collector import build_collector
from gateway.sandbox.profiles import ProfileBook
from gateway.sandbox.shop import build_shop

__all__ = ["Behaviour", "ProfileBook", "build_collector", "build_shop"]
