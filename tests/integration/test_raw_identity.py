"""Raw addresses stay out of everything that the gateway writes or says, but where a policy lets them pass."""

from __future__ import annotations

import aiohttp
import orjson

from tests.builders import PORTAL_ID, PROP_ID, event
from tests.processes import running_collector, running_gateway_process, until

EMAILS = ("Canary.One@Example.com", "canary.two@example.com", "canary.three@bücher.example")
PHONES = ("0912 345 678", "+84987654321", "0356789012")
# As they were typed, as they are normalised, and their telling parts.
NEEDLES = (
    "canary", "xn--bcher", "bücher",
    "0912345678", "0912 345 678", "912345678", "987654321", "356789012",
)  # fmt: skip


def bodies():
    """Give requests in which addresses stand in every place where one might."""
    for number, (email, phone) in enumerate(zip(EMAILS, PHONES, strict=True)):
        uid = str(10**12 + number)
        customer = {"email": email, "phone": phone, "customer_id": ""}
        yield event("user", "sign_in", uid=uid, dims={"customers": customer})
        yield event(
            "user", "sign_in", uid=uid, dims={"customers": {"email": f"other.{email}", "phone": phone}}
        )
        yield event("user", "sign_in", uid=uid, cid=email, extra={"identify_id": phone})
        yield event("user", "sign_in", uid=uid, cid=phone.replace(" ", ""))
        yield event(
            "product", "purchase", uid=uid, dims={"purchase": {"customer_id": email}}, extra={"email": email}
        )
        yield event(uid=email)
        yield event(uid=phone.replace(" ", ""))
        yield event(uid=f"{email} {phone}")
        yield event(email, phone, uid=uid)
        yield event(uid=uid, sid=email, en=phone)
        yield event(uid=uid, extra=email)
        yield event(uid=uid, items=email)
        yield {"uid": uid, email: phone}
        yield event(
            uid=uid, extra={email: {email: [email]}} | {f"{email}{index}": index for index in range(3000)}
        )


async def test_no_log_line_metric_or_error_answer_holds_a_raw_address(tmp_path):
    """Three people's addresses go in by every door, also the broken ones; none comes out where it should not."""
    said = []
    async with (
        running_collector() as collector,
        running_gateway_process(tmp_path, collector.url) as gateway,
        aiohttp.ClientSession() as session,
    ):

        async def send(method, url, **request):
            async with session.request(method, url, allow_redirects=False, **request) as response:
                headers = {name: value for name, value in response.headers.items() if name != "Set-Cookie"}
                said.append(f"{response.status} {headers} {(await response.read()).decode('latin-1')}")

        for body in bodies():
            text = orjson.dumps(body)
            email = EMAILS[0]
            headers = {
                "User-Agent": email,
                "Referer": f"https://shop.example/?email={email}",
                "X-Forwarded-For": email,
            }
            await send("POST", gateway.collect_url(email), data=text, headers=headers)
            await send("POST", gateway.collect_url(), data=text[:-1], headers=headers)
            await send("POST", f"{gateway.url}/event?portal_id={email}&prop_id={PHONES[0]}", data=text)
            await send("POST", gateway.collect_url(response_type=email), data=text)
        for email in EMAILS:
            query = f"portal_id={PORTAL_ID}&prop_id={PROP_ID}&email={email}&ec=a&ea=b&uid=123456789"
            await send("GET", f"{gateway.url}/event?{query}")
            await send(
                "GET",
                f"{gateway.url}/event?{query}&resp_type=redirect&redirect_url=https://evil.example/{email}",
            )
            await send("GET", f"{gateway.url}/event?{query}&extra={email}")
            await send("GET", f"{gateway.url}/{email}")
            await send("DELETE", f"{gateway.url}/event?{query}")

        async def drained():
            metrics = await gateway.metrics()
            accepted = metrics['tracking_gateway_events_total{outcome="accepted",reason="ok"}']
            return accepted and metrics['tracking_gateway_deliveries_total{result="delivered"}'] == accepted

        await until(drained, "everything was delivered")
        metrics = str(await gateway.metrics())
        forwarded = await collector.get("/events")
        assert await gateway.stop() == 0
    log = gateway.log()
    assert log.count("\n") > 100
    for needle in NEEDLES:
        assert needle.lower() not in log.lower()
        assert needle.lower() not in metrics.lower()
        assert not [each for each in said if needle.lower() in each.lower()]
    # What went on holds addresses only in free texts that no policy names: never in a field of identity.
    for each in forwarded:
        customer = (each["body"].get("dims") or {}).get("customers", {})
        identity = orjson.dumps(
            [customer, each["body"].get("cid"), each["body"]["uid"], each["query"].get("email")]
        ).decode()
        assert not [needle for needle in NEEDLES if needle.lower() in identity.lower()]
    for name in ("ledger.db", "ledger.db-wal"):
        path = gateway.data_dir / name
        content = path.read_bytes().lower() if path.exists() else b""
        assert not [needle for needle in NEEDLES if needle.lower().encode() in content]
