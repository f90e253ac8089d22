"""Who sent a visitor: the page or app before this one, by its host, as search, social, email, AI assistant, advertising, the site itself or unknown.

What always holds: only the host decides, whole labels of it (`google.evil.example` is not Google); what the settings say comes first, then
what stands here, then the list of `gateway.events.referrer_list`; the longer of two names wins (`mail.google.com` before `google.*`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from gateway.events.referrer_list import LISTED
from gateway.events.screening import host_matches

if TYPE_CHECKING:
    from collections.abc import Mapping

# What the list has not, or names otherwise than people do now. Hosts, and the packages of Android apps (`android-app://com.zing.zalo/`).
_OWN = {
    "search": (
        "Google: com.google.android.googlequicksearchbox; Cốc Cốc: coccoc.com com.coccoc.trinhduyet; Bing: bing.com com.microsoft.bing; "
        "DuckDuckGo: duckduckgo.com com.duckduckgo.mobile.android; Baidu: baidu.com; Naver: naver.com com.nhn.android.search; Daum: daum.net; "
        "Yandex: yandex.* ya.ru; Sogou: sogou.com; Yahoo: yahoo.*; Ecosia: ecosia.org; Brave Search: search.brave.com; Startpage: startpage.com; "
        "Qwant: qwant.com; Seznam: seznam.cz; Petal Search: petalsearch.com; 360 Search: so.com; Kagi: kagi.com"
    ),
    "social": (
        "Zalo: zalo.me zaloapp.com com.zing.zalo; Facebook: facebook.com fb.com fb.me fb.watch com.facebook.katana com.facebook.lite; "
        "Messenger: messenger.com m.me com.facebook.orca; "
        "Instagram: instagram.com com.instagram.android; Threads: threads.net threads.com com.instagram.barcelona; "
        "TikTok: tiktok.com com.zhiliaoapp.musically com.ss.android.ugc.trill; LINE: line.me lin.ee liff.line.me jp.naver.line.android; "
        "LinkedIn: linkedin.com lnkd.in com.linkedin.android; X: x.com twitter.com t.co com.twitter.android; "
        "Reddit: reddit.com com.reddit.frontpage; "
        "YouTube: youtube.com youtu.be com.google.android.youtube; Pinterest: pinterest.* pin.it com.pinterest; Snapchat: snapchat.com com.snapchat.android; "
        "Telegram: t.me telegram.org web.telegram.org org.telegram.messenger org.telegram.messenger.web; WhatsApp: whatsapp.com wa.me com.whatsapp; "
        "Viber: viber.com com.viber.voip; KakaoTalk: kakao.com com.kakao.talk; WeChat: weixin.qq.com wechat.com com.tencent.mm; "
        "Lemon8: lemon8-app.com; Discord: discord.com com.discord; Bluesky: bsky.app"
    ),
    "email": (
        "Gmail: mail.google.com com.google.android.gm; Outlook: outlook.live.com outlook.office.com outlook.office365.com mail.live.com "
        "com.microsoft.office.outlook; Yahoo Mail: mail.yahoo.com com.yahoo.mobile.client.android.mail; Proton Mail: mail.proton.me; "
        "iCloud Mail: icloud.com; GMX: gmx.net gmx.com"
    ),
    "ai_assistant": (
        "ChatGPT: chatgpt.com chat.openai.com com.openai.chatgpt; Perplexity: perplexity.ai ai.perplexity.app.android; "
        "Gemini: gemini.google.com bard.google.com com.google.android.apps.bard; NotebookLM: notebooklm.google.com; "
        "Copilot: copilot.microsoft.com copilot.cloud.microsoft com.microsoft.copilot; Claude: claude.ai com.anthropic.claude; "
        "DeepSeek: deepseek.com com.deepseek.chat; Grok: grok.com ai.x.grok; Meta AI: meta.ai; Le Chat: chat.mistral.ai; Qwen: chat.qwen.ai qwen.ai; "
        "Kimi: kimi.com moonshot.cn; Doubao: doubao.com; You: you.com; Poe: poe.com; Phind: phind.com; iAsk: iask.ai; ChatGLM: chatglm.cn"
    ),
}
_URL = re.compile(r"(https?|android-app|ios-app)://([^/?#\\\s]{1,255})", re.IGNORECASE)
# A country's part of a name: `vn`, `com`, `co.uk`, `com.vn`.
_COUNTRY = re.compile(r"(?:[a-z]{2}|com?|(?:com?|org|net)\.[a-z]{2})\Z")
_MOST_LABELS = 8


class Referrer(NamedTuple):
    """Who sent the visitor: `kind` is one of `KINDS`, `name` the service's, empty when it is not known; `host` as it came, or an app's package."""

    kind: str
    name: str
    host: str


KINDS = frozenset({"search", "social", "email", "ai_assistant", "ad", "internal", "unknown"})
"""The kinds; the set is closed."""


class Referrers:
    """Knows services by their hosts; `own` are the settings' additions, host to kind and name."""

    def __init__(self, own: Mapping[str, tuple[str, str]], internal_hosts: tuple[str, ...] = ()) -> None:
        self._internal = internal_hosts
        self._hosts: dict[str, tuple[str, str]] = {}
        self._families: dict[str, tuple[str, str]] = {}
        # What is read later takes the place of what was read before.
        for lists in (LISTED, _OWN):
            for kind, text in lists.items():
                self._learn("unknown" if kind == "other" else kind, text)
        self._hosts.update({host.lower(): said for host, said in own.items()})
        self._names = {name.lower(): kind for kind, name in (*self._families.values(), *self._hosts.values())}
        self._names |= {name.replace(" ", ""): kind for name, kind in self._names.items()}
        self._names |= {"fb": "social", "ig": "social", "coccoc": "search", "twitter": "social"}

    def _learn(self, kind: str, text: str) -> None:
        for source in text.replace("\n", " ").split(";"):
            name, _, hosts = source.partition(":")
            for host in hosts.split():
                said = (kind, name.strip())
                if host.endswith(".*"):
                    self._families[host[:-2]] = said
                else:
                    self._hosts[host] = said

    def classify(self, url: str, site: str, page: str) -> Referrer | None:
        """Say who a referrer is; `None` when there is none, or it is no address of a page or an app.

        `site` is the property's, `page` the URL of the page that was reached: its own host is internal too.
        """
        scheme, host = _parts(url)
        if not host:
            return None
        if scheme.startswith("http") and (
            (site and host_matches(host, (site, f"*.{site}")))
            or host_matches(host, self._internal)
            or host == _parts(page)[1]
        ):
            return Referrer("internal", "", host)
        kind, name = self.of_host(host) or ("unknown", "")
        return Referrer(kind, name, host)

    def of_host(self, host: str) -> tuple[str, str] | None:
        """Give kind and name of the service that a host, or one above it, belongs to."""
        labels = host.split(".")
        for start in range(max(0, len(labels) - _MOST_LABELS), len(labels)):
            said = self._hosts.get(".".join(labels[start:]))
            if (
                said is None
                and labels[start] in self._families
                and _COUNTRY.match(".".join(labels[start + 1 :]))
            ):
                said = self._families[labels[start]]
            if said is not None:
                return said
        return None

    def kind_of_source(self, source: str) -> str:
        """Give the kind of what `utm_source` names, a service or its host; empty when it is not known."""
        lowered = source.strip().lower()
        kind = self._names.get(lowered, "")
        if not kind and "." in lowered:
            kind = (self.of_host(lowered) or ("", ""))[0]
        return "" if kind == "unknown" else kind


def _parts(url: str) -> tuple[str, str]:
    """Give scheme and host of a URL, in lower case, without user, port and a dot behind; empty texts for what is none."""
    found = _URL.match(url.strip())
    if found is None:
        return "", ""
    host = found[2].rpartition("@")[2].partition(":")[0].rstrip(".").lower()
    return found[1].lower(), host.removeprefix("[")
