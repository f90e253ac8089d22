"""What holds of the rules about identity, whatever comes: no finding and no story quotes an address, and who does everything right hears nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import PORTAL_ID, PROP_ID
from tests.qa_rules import OWN_HOST, Visit, event, of_md5, of_sha256, reset, view, visit_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

QUERY = f"portal_id={PORTAL_ID}&prop_id={PROP_ID}"
EMAILS = ("Lan.Nguyen@Example.com", "minh+shop@mail.example.vn", " tuấn@thư.example ")
PHONES = ("0912345678", "+84 98 765 43 21", "+6591234567")
ADDRESSES = (*EMAILS, *PHONES)


@pytest.fixture(scope="module")
def play(tmp_path_factory) -> Iterator[Callable[..., Visit]]:
    """Give a function that plays one visit after another to one gateway."""
    with asyncio.Runner() as runner:
        opened = visit_of(tmp_path_factory.mktemp("qa"))
        gateway = runner.run(opened.__aenter__())

        def played(story: Callable[[Visit], Coroutine[Any, Any, None]]) -> Visit:
            visit = gateway.anew()
            runner.run(story(visit))
            visit.end()
            return visit

        yield played
        runner.run(opened.__aexit__(None, None, None))


def written(address: str) -> st.SearchStrategy[str]:
    """Give ways in which an address stands in a text."""
    return st.sampled_from(
        (
            address,
            address.upper(),
            f"mail {address} now",
            f"https://shop.example/?email={address}&a=1",
            f"https://shop.example/{quote(address)}#top",
            orjson.dumps({"customer": {"email": address}}).decode(),
        )
    )


addresses = st.sampled_from(ADDRESSES).flatmap(written)
texts = st.one_of(
    addresses,
    addresses,
    st.sampled_from(("", "undefined", of_md5("a"), "Shoe", "https://shop.example/shoes")),
)
names = st.one_of(
    st.sampled_from(
        (
            "email",
            "phone",
            "customer_id",
            "id",
            "identify_id",
            "type",
            "url",
            "note",
            "uid",
            "customers",
            "purchase",
        )
    ),
    st.sampled_from(ADDRESSES),
)
values = st.recursive(
    st.one_of(texts, st.integers(0, 10**12), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=4)),
    max_leaves=12,
)
objects = st.dictionaries(names, values, max_size=4)
events = st.fixed_dictionaries(
    {"ec": st.one_of(st.just("user"), addresses), "ea": st.sampled_from(("identify", "sign_in", "sign_out"))},
    optional={
        "uid": texts,
        "aid": texts,
        "cid": texts,
        "sid": texts,
        "items": st.lists(objects, max_size=2),
        "dims": st.fixed_dictionaries({}, optional={"customers": objects, "purchase": objects}),
        "extra": objects,
        "context": st.fixed_dictionaries(
            {}, optional={"navigation": objects, "referrer": texts, "x": values}
        ),
    },
)


@settings(max_examples=60, deadline=None)
@given(
    events=st.lists(events, min_size=1, max_size=4), is_get=st.booleans(), parameter=st.tuples(names, texts)
)
def test_no_finding_and_no_story_quotes_an_address(play, events, is_get, parameter):
    """In whatever place, form and name it came."""

    async def story(visit: Visit) -> None:
        more = urlencode([parameter])
        for fields in events:
            headers = (("user-agent", "Chrome"), ("referer", f"https://www.shop.example/?email={EMAILS[0]}"))
            if is_get:
                text = {
                    name: value if isinstance(value, str) else orjson.dumps(value).decode()
                    for name, value in fields.items()
                }
                await visit.see(None, query=f"{QUERY}&{more}&{urlencode(text)}", headers=headers)
            else:
                await visit.see(fields, query=f"{QUERY}&{more}", headers=headers)
            visit.passed("/logout")

    visit = play(story)
    told = f"{visit.findings} {visit.session.story.told()}".lower()
    for address in ADDRESSES:
        bare = address.strip().lower()
        assert bare not in told
        assert quote(bare) not in told
        assert bare.replace(" ", "") not in told


class Browser:
    """A browser on a well-made site: its events carry hashes alone, and each sign-out has its reset."""

    def __init__(self, number: int) -> None:
        self.number, self.count, self.cid = number, 0, ""
        self.headers = (("user-agent", "Chrome/141.0"), ("origin", "https://www.shop.example"))
        self.uid = self.fresh()
        self.page = "https://www.shop.example/"

    def fresh(self) -> str:
        self.count += 1
        return f"7{self.number:05}{self.count:05}"

    async def does(self, visit: Visit, deed: str) -> None:
        """Do one thing that visitors do."""
        host = OWN_HOST if self.number % 2 else "a.cdp.asia"
        common: dict[str, Any] = {
            "host": host,
            "peer": "127.0.0.1",
            "headers": self.headers,
            "page": self.page,
        }
        if deed in {"home", "shoes"}:
            before, self.page = self.page, f"https://www.shop.example/{deed}"
            visit.passed(f"/{deed}", peer="127.0.0.1")
            fields = view(self.uid, cid=self.cid, context=self.context(before))
        elif deed == "sign_in" and not self.cid:
            self.cid = of_md5(f"customer {self.number}/{self.count}@example.com")
            customer = {
                "customer_id": self.cid,
                "email": of_sha256(f"{self.number}/{self.count}@example.com"),
            }
            fields = event("user", "sign_in", self.uid, dims={"customers": customer}, context=self.context())
        elif deed == "sign_out" and self.cid:
            old, self.uid, self.cid = self.uid, self.fresh(), ""
            visit.passed("/logout", peer="127.0.0.1")
            fields = reset(old, self.uid, context=self.context())
        else:
            fields = event("product", "view", self.uid, cid=self.cid, context=self.context())
        await visit.see(fields, **common)

    def context(self, before: str = "") -> dict[str, Any]:
        return {"navigation": {"url": self.page, "title": "Shop"}, "referrer": before}


deeds = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(("home", "shoes", "sign_in", "sign_out", "product"))),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(deeds=deeds)
def test_who_does_everything_right_hears_nothing(play, deeds):
    """Three browsers behind one proxy, of one kind, each with its visitor, page by page and in turns."""

    async def story(visit: Visit) -> None:
        browsers = [Browser(number) for number in range(3)]
        for number in range(3):
            await browsers[number].does(visit, "home")
        for number, deed in deeds:
            await browsers[number].does(visit, deed)

    visit = play(story)
    assert [] == visit.findings
    assert len(visit.session.story.told().visitors) == 3
