"""The scripts that pages load from the gateway: its own, and the vendor's, fetched, pinned and rewritten.

What always holds: an asset is compressed once for each version, never while a visitor waits for it, and a request for it costs a look-up.
"""
