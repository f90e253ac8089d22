"""A script for mitmdump that prints each flow as a person sees it in mitmproxy: its mark, its comment, and its request in the view that is chosen by itself."""

from __future__ import annotations

import sys

from mitmproxy import contentviews


def seen(flow):
    """Give a request's view as text, in the way of mitmproxy 12 or of 11."""
    if hasattr(contentviews, "prettify_message"):
        result = contentviews.prettify_message(flow.request, flow)
        return result.view_name, result.text
    name, lines, _ = contentviews.get_message_content_view("auto", flow.request, flow)
    return name, "\n".join("".join(text for _, text in line) for line in lines)


class Shown:
    """Prints at the end."""

    name = "test_shown"

    def __init__(self):
        self.flows = []

    def response(self, flow):
        self.flows.append(flow)

    def done(self):
        for flow in self.flows:
            name, text = seen(flow)
            sys.stdout.write(
                f"SHOWN {flow.request.pretty_host} mark={flow.marked} view={name}\n{flow.comment}\n{text}\nEND\n"
            )


addons = [Shown()]
