"""Browsers inside apps: which app's own window a page was opened in, as its user agent tells.

There cookies are the app's, not the browser's: a visitor who comes from a chat and later in the browser is two UIDs until the sign-in.
"""

from __future__ import annotations

import re

# The first that fits is it: Messenger says also that it is Facebook's, and each of Android's says that it is a web view.
_APPS = (
    ("zalo", r"\bZalo(?:Theme/|Language/|[ /])"),
    ("line", r"\bLine/\d"),
    ("messenger", r"FBAN/Messenger|FB_IAB/(?:MESSENGER|Orca)|FBAN/Orca|MetaIAB Messenger"),
    ("instagram", r"\bInstagram \d"),
    ("threads", r"\bBarcelona \d"),
    ("facebook", r"\bFBA[NV]/|\bFB_IAB/|\bFBIOS\b|MetaIAB Facebook"),
    ("tiktok", r"\bmusical_ly|BytedanceWebview|\btrill_|\bTikTok\b|\bByteLocale/"),
    ("wechat", r"\bMicroMessenger/"),
    ("kakaotalk", r"\bKAKAOTALK\b"),
    ("snapchat", r"\bSnapchat(?:[/ ]|$)"),
    ("pinterest", r"\bPinterest(?:/| for )"),
    ("twitter", r"\bTwitter for i|\bTwitterAndroid\b"),
    ("linkedin", r"\bLinkedInApp\b"),
    ("viber", r"\bViber/\d"),
    ("telegram", r"\bTelegram-Android/"),
    ("naver", r"\bNAVER\(inapp"),
    ("google", r"\bGSA/\d"),
    ("android_webview", r"; wv\)"),
    (
        "ios_webview",
        r"\((?:iPhone|iPad|iPod)[^)]*\) AppleWebKit/(?!.*\b(?:Safari|Version|CriOS|FxiOS|EdgiOS)/)",
    ),
)
_ANY = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in _APPS))
_EACH = tuple((name, re.compile(pattern)) for name, pattern in _APPS)


def app_of(user_agent: str) -> str:
    """Give the app whose own window sent this user agent, by a word of a closed set; empty for a browser of its own."""
    if not user_agent.startswith("Mozilla/") or not _ANY.search(user_agent):
        return ""
    return next(name for name, pattern in _EACH if pattern.search(user_agent))
