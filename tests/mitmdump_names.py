"""A script for mitmdump that says where hosts are, as a hosts file does: `--set test_names=a.cdp.asia=127.0.0.1:9000,…`."""

from __future__ import annotations

from mitmproxy import ctx


class Names:
    """Sends connections for a host elsewhere."""

    name = "test_names"

    def load(self, loader):
        loader.add_option("test_names", str, "", "host=address:port, separated by commas")

    def server_connect(self, data):
        places = dict(each.split("=") for each in ctx.options.test_names.split(","))
        place = places.get(data.server.address[0])
        if place is not None:
            host, _, port = place.rpartition(":")
            data.server.address = (host, int(port))


addons = [Names()]
