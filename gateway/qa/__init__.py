"""What a site's tracking does, looked at from beside: the calls of a page, each as the gateway would treat it, and what is wrong with them.

`calls` is what a proxy or a recording saw, `recognition` which of it is tracking, `inner` the gateway without its sockets, `session` one visit of a
tester's from its first call to its last, `findings` what can be wrong, `checks` who looks for it. `browsers` tells whose browser an event comes from, `story` the timeline of each one's identities;
`reading` asks the gateway's own parts what of an event is identity. Nothing here knows mitmproxy: `addons/` and the
command `qa` bring the calls. What always holds: what becomes of an event is decided by the gateway's own pipeline and nowhere here.
"""
