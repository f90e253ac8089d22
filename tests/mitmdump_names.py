"""A script for mitmdump that says where hosts are, as a hosts file does, with ports: `--set test_names=a.cdp.asia=127.0.0.1:9000,…`.

Only the connection goes elsewhere: in mitmproxy, and so in every flow and every rewritten request, hosts and ports stay what the client named.
"""

from __future__ import annotations

import asyncio

from mitmproxy import ctx


class Names:
    """Sends connections for a host elsewhere."""

    name = "test_names"

    def load(self, loader):
        loader.add_option("test_names", str, "", "host=address:port, separated by commas")
        open_there = asyncio.open_connection

        def open_here(host=None, port=None, **options):
            places = dict(each.split("=") for each in ctx.options.test_names.split(",") if each)
            if host in places:
                host, _, port = places[host].rpartition(":")
            return open_there(host, int(port), **options)

        asyncio.open_connection = open_here


addons = [Names()]
