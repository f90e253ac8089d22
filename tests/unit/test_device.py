"""The visitor's device, system and browser."""

from __future__ import annotations

import pytest

from gateway.events.device import Devices
from gateway.events.in_app import app_of
from gateway.events.model import UNBOUND, Head
from gateway.events.occasion import Occasion
from gateway.events.pipeline import Pipeline
from tests.builders import STAMP, event, make_settings, post

WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36"
ANDROID = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Mobile Safari/537.36"
ANDROID_TABLET = ANDROID.replace(" Mobile", "")
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36"
IPAD_AS_DESKTOP = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1"
IPHONE_APP = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
ANDROID_APP = (
    "Mozilla/5.0 (Linux; Android 14; SM-S918B Build/UP1A.231005.007; wv) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Version/4.0 Chrome/138.0.7204.63 Mobile Safari/537.36"
)
GREASE = '"Not)A;Brand";v="8"'


@pytest.fixture(scope="module")
def devices():
    return Devices("high")


def told(devices, agent, context=None, **hints):
    named = {
        f"sec-ch-ua-{name.replace('_', '-')}" if name != "ua" else "sec-ch-ua": value
        for name, value in hints.items()
    }
    context = {} if context is None else context
    devices.add(context, Occasion(Head(method="POST", path="/event", user_agent=agent, named=named)))
    return context


def brands(*each):
    return ", ".join([GREASE, *(f'"{name}";v="{version}"' for name, version in each)])


def chrome(version="138"):
    return brands(("Chromium", version), ("Google Chrome", version))


def test_windows_11_is_told_by_its_platform_version(devices):
    """Its user agent says 10, as that of Windows 10 does."""
    for version, name in (
        ("15.0.0", "11"),
        ("13.0.0", "11"),
        ("10.0.0", "10"),
        ("1.0.0", "10"),
        ("0.3.0", "8.1"),
        ("0.1.0", "7"),
    ):
        context = told(devices, WINDOWS, ua=chrome(), platform='"Windows"', platform_version=f'"{version}"')
        assert {"name": "Windows", "version": name} == context["os"]


def test_without_a_platform_version_the_user_agent_says_which_system(devices):
    """The low hints name the system alone."""
    context = told(devices, WINDOWS, ua=chrome(), mobile="?0", platform='"Windows"')
    assert ({"name": "Windows", "version": "10"}, "desktop") == (context["os"], context["device"]["type"])


@pytest.mark.parametrize(
    ("agent", "list_", "mobile", "browser"),
    [
        (WINDOWS, chrome(), "?0", {"name": "Chrome", "version": "138.0"}),
        (ANDROID, chrome(), "?1", {"name": "Chrome Mobile", "version": "138.0"}),
        (WINDOWS, brands(("Chromium", "138"), ("Microsoft Edge", "138")), "?0", {"name": "Edge", "version": "138"}),
        (WINDOWS, brands(("Chromium", "138"), ("Opera", "122")), "?0", {"name": "Opera", "version": "122"}),
        (ANDROID, brands(("Chromium", "138"), ("Opera", "90")), "?1", {"name": "Opera Mobile", "version": "90"}),
        (ANDROID, brands(("Samsung Internet", "28.0"), ("Chromium", "138")), "?1", {"name": "Samsung Internet", "version": "28.0"}),
        (WINDOWS, brands(("Chromium", "138"), ("CocCoc", "140")), "?0", {"name": "Coc Coc", "version": "140"}),
        (WINDOWS, brands(("Chromium", "138"), ("Brave", "138")), "?0", {"name": "Brave", "version": "138"}),
        (WINDOWS, brands(("Chromium", "138"), ("YaBrowser", "25.6")), "?0", {"name": "Yandex Browser", "version": "25.6"}),
        (WINDOWS, brands(("Chromium", "138"), ("A New One", "3")), "?0", {"name": "A New One", "version": "3"}),
        (WINDOWS, brands(("Chromium", "138")), "?0", {"name": "Chrome", "version": "138.0"}),
    ],
)  # fmt: skip
def test_the_real_brand_goes_before_what_it_is_made_of(devices, agent, list_, mobile, browser):
    """And before a user agent that calls itself Chrome, as many do."""
    assert browser == told(devices, agent, ua=list_, mobile=mobile)["browser"]


def test_full_versions_are_taken(devices):
    """Where the page lets them go."""
    full = brands(("Chromium", "138.0.7204.101"), ("Google Chrome", "138.0.7204.101"))
    context = told(devices, WINDOWS, ua=chrome(), full_version_list=full)
    assert {"name": "Chrome", "version": "138.0.7204.101"} == context["browser"]


def test_a_model_that_is_handed_on_tells_the_maker_too(devices):
    """The user agent of every phone says `Android 10; K`, which is no model."""
    plain = told(devices, ANDROID, ua=chrome(), mobile="?1", platform='"Android"')
    assert ({"type": "mobile"}, {"name": "Android", "version": "10"}) == (plain["device"], plain["os"])
    context = told(
        devices,
        ANDROID,
        ua=chrome(),
        mobile="?1",
        platform='"Android"',
        platform_version='"14.0.0"',
        model='"SM-S918B"',
    )
    assert {"type": "mobile", "brand": "Samsung", "model": "SM-S918B"} == context["device"]
    assert {"name": "Android", "version": "14"} == context["os"]


def test_a_model_with_signs_that_no_model_has_changes_nothing_else(devices):
    """It is the client's own text, and goes into no rule as it came."""
    context = told(
        devices, ANDROID, model='"x); Windows NT 10.0; (\\\\1"', platform='"Android"', platform_version='"14"'
    )
    assert ("mobile", "Android") == (context["device"]["type"], context["os"]["name"])


def test_macos_is_called_as_before_with_its_real_version(devices):
    """User agents of all Macs say 10.15.7."""
    context = told(devices, MAC, ua=chrome(), platform='"macOS"', platform_version='"14.5.0"')
    assert {"name": "Mac OS X", "version": "14.5"} == context["os"]


@pytest.mark.parametrize(
    ("forms", "kind"),
    [
        ('"Mobile"', "mobile"),
        ('"Tablet"', "tablet"),
        ('"Watch"', "watch"),
        ('"Desktop"', "desktop"),
        ('"XR", "Desktop"', "desktop"),
    ],
)
def test_a_form_factor_tells_the_type(devices, forms, kind):
    """The first one that is a type of ours."""
    assert kind == told(devices, ANDROID, form_factors=forms)["device"]["type"]


@pytest.mark.parametrize(
    ("agent", "kind"),
    [
        (WINDOWS, "desktop"),
        (ANDROID, "mobile"),
        (ANDROID_TABLET, "tablet"),
        (IPHONE, "mobile"),
        (f"{ANDROID_APP} Zalo android/240502313", "mobile"),
        # It says of itself that it is a Mac: nothing that is sent tells them apart.
        (IPAD_AS_DESKTOP, "desktop"),
        ("Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.6 Mobile/15E148 Safari/604.1", "tablet"),
        ("Mozilla/5.0 (SMART-TV; Linux; Tizen 7.0) AppleWebKit/537.36 (KHTML, like Gecko) Version/7.0 TV Safari/537.36", "tv"),
        ("Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/108.0.5359.211 Safari/537.36 WebAppManager", "tv"),
        ("Mozilla/5.0 (Linux; Android 9; AFTKA Build/PS7285) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/108.0 Safari/537.36", "tv"),
        ("Mozilla/5.0 (X11; Linux armv7l) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114.0 Safari/537.36 CrKey/1.56.500000", "tv"),
        ("Mozilla/5.0 (PlayStation; PlayStation 5/8.20) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.4 Safari/605.1.15", "console"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox Series X) AppleWebKit/537.36 Chrome/120.0.0.0 Safari/537.36 Edg/120.0", "console"),
        ("Mozilla/5.0 (Nintendo Switch; WifiWebAuthApplet) AppleWebKit/609.4 (KHTML, like Gecko) NF/6.0.2.22.5 NintendoBrowser/5.1.0.32151", "console"),
        ("Mozilla/5.0 (Linux; Android 11; SM-R890) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/19.0 Chrome/102.0 Mobile Safari/537.36", "watch"),
        ("atc/1.0 watchOS/5.1.3 model/Watch3,4 hwp/t8004 build/16S535 (6; dt:156)", "watch"),
        ("okhttp/4.12.0", "other"),
    ],
)  # fmt: skip
def test_the_type_of_a_device(devices, agent, kind):
    """Mobile, tablet, desktop, tv, console, watch, other."""
    assert kind == told(devices, agent)["device"]["type"]


@pytest.mark.parametrize(
    ("agent", "app"),
    [
        (IPHONE, ""),
        (ANDROID, ""),
        (WINDOWS, ""),
        (MAC, ""),
        (f"{IPHONE_APP} Zalo iOS/607 ZaloTheme/light ZaloLanguage/vi", "zalo"),
        (f"{ANDROID_APP} Zalo android/240502313 ZaloTheme/light ZaloLanguage/vi", "zalo"),
        (f"{IPHONE_APP} Safari Line/14.8.0", "line"),
        (f"{ANDROID_APP} Line/14.8.0/IAB", "line"),
        (f"{IPHONE_APP} [FBAN/FBIOS;FBAV/465.0.0.37.103;FBBV/602;FBDV/iPhone14,7;FBMD/iPhone;FBSN/iOS]", "facebook"),
        (f"{ANDROID_APP} [FB_IAB/FB4A;FBAV/465.0.0.52.80;]", "facebook"),
        (f"{ANDROID_APP} MetaIAB Facebook", "facebook"),
        (f"{IPHONE_APP} [FBAN/MessengerForiOS;FBAV/458.0.0.38.108]", "messenger"),
        (f"{ANDROID_APP} [FB_IAB/Orca-Android;FBAV/458.0.0.51.108;]", "messenger"),
        (f"{IPHONE_APP} Instagram 333.0.2.35.90 (iPhone14,7; iOS 17_5; en_US; en; scale=3.00; 1170x2532; 601)", "instagram"),
        (f"{ANDROID_APP} Barcelona 330.0.0.33 Android (34/14)", "threads"),
        (f"{ANDROID_APP} musical_ly_2023501030 JsSdk/1.0 NetType/WIFI BytedanceWebview/d8a21c6", "tiktok"),
        (f"{ANDROID_APP} trill_340403 AppName/trill ByteLocale/vi-VN", "tiktok"),
        (f"{IPHONE_APP} MicroMessenger/8.0.49(0x18003137) NetType/WIFI Language/vi", "wechat"),
        (f"{IPHONE_APP} KAKAOTALK 10.7.5", "kakaotalk"),
        (f"{IPHONE_APP} Snapchat/12.90.0.42 (like Safari/8618.2.12.10.9, panda)", "snapchat"),
        (f"{IPHONE_APP} [Pinterest/iOS]", "pinterest"),
        (f"{IPHONE_APP} Twitter for iPhone/10.43", "twitter"),
        (f"{ANDROID_APP} TwitterAndroid", "twitter"),
        (f"{ANDROID_APP} Viber/22.3.0.0", "viber"),
        (f"{ANDROID_APP} Telegram-Android/10.13.1 (Samsung SM-S918B; Android 14; SDK 34; HIGH)", "telegram"),
        (f"{IPHONE_APP} LinkedInApp/9.29", "linkedin"),
        (ANDROID_APP, "android_webview"),
        (IPHONE_APP, "ios_webview"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/126.0 Mobile/15E148 Safari/604.1", ""),
        # Who previews links is no window of an app.
        ("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", ""),
        ("Linespider/1.1 Mozilla/5.0", ""),
        ("WhatsApp/2.23.20.0 A", ""),
    ],
)  # fmt: skip
def test_a_window_inside_an_app_is_told(devices, agent, app):
    """The app's name stands beside the browser's."""
    assert app == app_of(agent)
    assert (app or None) == told(devices, agent).get("browser", {}).get("in_app")


def test_an_apps_own_words_are_left_as_they_are(devices):
    """What an SDK says of the device, its system and its browser is never overwritten."""
    own = {"device": {"model": "iPhone15,3"}, "os": {"name": "iOS"}, "browser": {}, "userAgent": "Shop/3.1"}
    assert own == told(devices, "Shop/3 CFNetwork/1494 Darwin/23.4", {**own})


def test_hints_count_only_beside_the_user_agent_that_they_came_with(devices):
    """A context that brings another user agent is of another browser than the one that sends."""
    context = told(
        devices, WINDOWS, {"userAgent": IPHONE}, ua=chrome(), platform='"Windows"', platform_version='"15"'
    )
    assert ("iOS", "Mobile Safari") == (context["os"]["name"], context["browser"]["name"])


@pytest.mark.parametrize(("setting", "count"), [("off", 0), ("low", 3), ("high", 7)])
def test_only_the_hints_that_are_wanted_are_read(setting, count):
    """`device.client_hints`."""
    devices = Devices(setting)
    assert count == len(devices.wanted_headers)
    context = told(
        devices,
        WINDOWS,
        ua=brands(("Chromium", "1"), ("Opera", "1")),
        platform='"Windows"',
        platform_version='"15"',
    )
    assert ("Opera" if count else "Chrome", "11" if count > 3 else "10") == (
        context["browser"]["name"],
        context["os"]["version"],
    )


@pytest.mark.parametrize(
    ("setting", "mode", "asked"),
    [("high", "navigate", True), ("high", "no-cors", False), ("high", "", False), ("low", "navigate", False)],
)
def test_more_is_asked_for_where_a_browser_listens(setting, mode, asked):
    """`Accept-CH` counts on navigations alone, and is sent only when the settings want what it asks for."""
    pipeline = Pipeline(make_settings(device={"client_hints": setting}))
    prepared = pipeline.prepare(post(event(), fetch_mode=mode), STAMP)
    reply = pipeline.decide(prepared, [UNBOUND]).reply
    assert asked == ("Accept-CH" in dict(reply.headers))
    assert "Critical-CH" not in dict(reply.headers)
