"""The site's own Python functions, on the way of an event: found, called, and kept from doing harm.

A plugin is a plain function, named by an entry point of the group `gateway.plugins`::

    def brand(event: dict, context: Context) -> dict | None:
        event["extra"]["brand"] = "Shoes & Co"
        return event

It gets the event as a copy of its own, before addresses are hashed, and gives it back changed, or `None`: then the event stays as it came. It can lose no
event and give none another UID. See docs/transformations.md.
"""

from gateway.plugins.contract import Context

__all__ = ["Context"]
