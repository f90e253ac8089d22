"""Hosts in a script: what becomes the gateway's name, and what only looks like one of the vendor's hosts."""

from __future__ import annotations

import pytest

from gateway.assets.rewriting import BadBase, Rewriting

OWN = "https://track.shop.example"
HOSTS = ("a.cdp.asia", "ap2-a.cdp.asia", "sandbox-a.cdp.asia", "st-a.cdp.asia", "sandbox-st-a.cdp.asia")


def rewritten(text, base=OWN, paths=None):
    return Rewriting(dict.fromkeys(HOSTS, base), paths).apply(text.encode()).content.decode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('fetch("https://a.cdp.asia/event")', 'fetch("https://track.shop.example/event")'),
        ("s.src='//st-a.cdp.asia/insight.js'", "s.src='//track.shop.example/insight.js'"),
        ('var h="a.cdp.asia";', 'var h="track.shop.example";'),
        ('"https://" + "a.cdp.asia" + "/event"', '"https://" + "track.shop.example" + "/event"'),
        (r'{"u":"https:\/\/a.cdp.asia\/event"}', r'{"u":"https:\/\/track.shop.example\/event"}'),
        ('importScripts("https://st-a.cdp.asia/antsomiSDKsw.js")', 'importScripts("https://track.shop.example/antsomiSDKsw.js")'),
        ("u=https%3A%2F%2Fa.cdp.asia%2Fevent", "u=https%3A%2F%2Ftrack.shop.example%2Fevent"),
        (r'"https:\u002F\u002Fa.cdp.asia\u002Fevent"', r'"https:\u002F\u002Ftrack.shop.example\u002Fevent"'),
        (r'"\x2f\x2fa.cdp.asia"', r'"\x2f\x2ftrack.shop.example"'),
        (r"/st-a\.cdp\.asia\/insight\.js/.test(s)", r"/track\.shop\.example\/insight\.js/.test(s)"),
        ("`https://a.cdp.asia/${p}`", "`https://track.shop.example/${p}`"),
        ("http://sandbox-a.cdp.asia", "https://track.shop.example"),
        ("HTTPS://A.CDP.ASIA/", "https://track.shop.example/"),
        ('"https://a.cdp.asia:443/event"', '"https://track.shop.example/event"'),
        ("wss://a.cdp.asia/x", "wss://track.shop.example/x"),
        ('["a.cdp.asia","ap2-a.cdp.asia"]', '["track.shop.example","track.shop.example"]'),
        ("see a.cdp.asia.", "see track.shop.example."),
        ('n={"a.cdp.asia":1}', 'n={"track.shop.example":1}'),
        ('"https://sandbox-st-a.cdp.asia"', '"https://track.shop.example"'),
        ("?u=a.cdp.asia&v=1", "?u=track.shop.example&v=1"),
        ("xhttps://a.cdp.asia", "xhttps://track.shop.example"),
    ],
)  # fmt: skip
def test_a_host_becomes_the_gateways_name(text, expected):
    """However it is written; what stands around it stays."""
    assert expected == rewritten(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://xa.cdp.asia/event",
        "https://a.cdp.asia.evil.example/",
        r"/a\.cdp\.asia\.evil/",
        "https://x.a.cdp.asia/",
        "https://a.cdp.asiax/",
        "https://a.cdp.asia-x.example/",
        "mailto:help@a.cdp.asia",
        "https://a.cdp.asia@evil.example/",
        "https://b-a.cdp.asia/",
        "a_cdp_asia",
        "axcdp.asia",
        "éa.cdp.asia",
        "a.cdp.asiaé",
        "_a.cdp.asia",
        "https://www.cdp.asia/",
        "",
    ],
)
def test_what_only_looks_alike_stays(text):
    """Another host of the same domain, a longer name, a mail address: none of our business."""
    assert text == rewritten(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"https://a.cdp.asia/event"', '"http://localhost:8080/t/event"'),
        (r'"https:\/\/a.cdp.asia\/event"', r'"http:\/\/localhost:8080\/t\/event"'),
        (r"/st-a\.cdp\.asia\/x/", r"/localhost:8080\/t\/x/"),
        ("https%3A%2F%2Fa.cdp.asia%3A443", "http%3A%2F%2Flocalhost:8080%2Ft%3A443"),
        ('"a.cdp.asia"', '"localhost:8080/t"'),
        ('"//a.cdp.asia:443/event"', '"//localhost:8080/t/event"'),
    ],
)
def test_a_gateway_below_a_path_is_reached_there(text, expected):
    """Scheme, port and path of the own address, with slashes as the text writes them."""
    assert expected == rewritten(text, "http://localhost:8080/t/")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"https://a.cdp.asia/event?x=1"', '"https://track.shop.example/e/k7?x=1"'),
        (r'"https:\/\/a.cdp.asia\/event"', r'"https:\/\/track.shop.example\/e\/k7"'),
        ('"https://a.cdp.asia/events"', '"https://track.shop.example/events"'),
        ('"https://a.cdp.asia/event/x"', '"https://track.shop.example/event/x"'),
        ('"https://a.cdp.asia/stream_event"', '"https://track.shop.example/stream_event"'),
        ('"/event"', '"/event"'),
        (r"/st-a\.cdp\.asia\/insight\.js/", r"/track\.shop\.example\/k9\.js/"),
        ('"https://st-a.cdp.asia/insight.js"', '"https://track.shop.example/k9.js"'),
    ],
)
def test_a_known_path_behind_a_host_gets_its_own_name(text, expected):
    """Where the gateway's paths have other names, a script that was rewritten uses those."""
    assert expected == rewritten(text, paths={"/event": "/e/k7", "/insight.js": "/k9.js"})


def test_it_is_told_what_was_replaced_and_what_was_left():
    """So that a person sees what the vendor's next version does."""
    found = Rewriting(dict.fromkeys(HOSTS, OWN)).apply(
        b'"https://a.cdp.asia/event";"//st-a.cdp.asia";"//A.cdp.asia";"https://media.cdp.asia/x";e+".cdp.asia";"cdp.asia.example"'
    )
    assert {"a.cdp.asia": 2, "st-a.cdp.asia": 1} == found.counts
    assert {"media.cdp.asia": 1, ".cdp.asia": 1} == found.left


def test_a_host_can_lead_elsewhere_and_one_that_is_not_named_stays():
    """Each host has a target of its own."""
    found = Rewriting({"a.cdp.asia": "https://x.example", "st-a.cdp.asia": "https://y.example"}).apply(
        b"//a.cdp.asia //st-a.cdp.asia //ap2-a.cdp.asia"
    )
    assert b"//x.example //y.example //ap2-a.cdp.asia" == found.content


def test_without_hosts_nothing_changes():
    """No table, no replacement."""
    assert (b"//a.cdp.asia", {}, {}) == Rewriting({}).apply(b"//a.cdp.asia")


@pytest.mark.parametrize(
    "url",
    ['https://a.example/"', "https://a.example/x?y", "ftp://a.example", "a.example", "https://u:p@a.example", "https://a.example/`", "https://a b.example", "https://a.example/a//b"],
)  # fmt: skip
def test_an_address_that_could_end_a_string_is_refused(url):
    """What is put into a script comes from the settings, and even there only plain addresses will do."""
    with pytest.raises(BadBase, match=r"track\.shop\.example"):
        Rewriting({"a.cdp.asia": url})
