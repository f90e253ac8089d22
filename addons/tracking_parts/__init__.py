"""The parts of the QA addon (`addons/tracking.py`).

`options` is what a tester sets, `flows` the way between mitmproxy's flows and the gateway's plain values, `visit` the session that runs beside the proxy,
`ending` the exit code. What always holds: nothing here decides what becomes of an event.
"""
