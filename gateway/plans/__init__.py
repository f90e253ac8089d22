"""Tracking plans as files: read and checked, kept true while a gateway runs, written from what has come.

What a plan means is `gateway.events.tracking_plan`'s; here is all that touches a disk.
"""
