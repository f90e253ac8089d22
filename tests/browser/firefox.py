"""Firefox, driven by WebDriver BiDi: Playwright drives only a Firefox of its own, and this is Debian's.

One WebSocket carries commands and their answers, matched by id, and events (W3C, WebDriver BiDi). Only what the script's tests need is here.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_START_SECONDS = 60
_COMMAND_SECONDS = 30
_LISTENING = re.compile(r"WebDriver BiDi listening on (ws://\S+)")
_PREFERENCES: dict[str, object] = {
    # Nothing of its own on the net, and no pages of its own in the way.
    "app.normandy.enabled": False,
    "app.update.disabledForTesting": True,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
    "toolkit.telemetry.enabled": False,
    # The names of the tests lead to this machine.
    "network.dns.localDomains": ",".join(
        f"{host}{domain}.example" for host in ("", "www.", "track.") for domain in ("shop", "sister")
    ),
    "network.proxy.type": 0,
}


class FirefoxError(Exception):
    """Firefox refused a command, or the page's code threw."""


class Firefox:
    """A running Firefox; `tab` opens one in a profile of its own."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.errors: list[str] = []
        """Uncaught errors of all pages."""

    @classmethod
    @asynccontextmanager
    async def running(cls, executable: str, profile: Path) -> AsyncIterator[Self]:
        """Start it without a window, with an empty profile in a folder; it ends with the block."""
        lines = [f"user_pref({json.dumps(key)}, {json.dumps(value)});" for key, value in _PREFERENCES.items()]
        (profile / "user.js").write_text("\n".join(lines), encoding="utf-8")
        process = await asyncio.create_subprocess_exec(
            executable, "--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port", "0",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(_START_SECONDS):
                address = await _listening(process)
            async with aiohttp.ClientSession() as session, session.ws_connect(f"{address}/session") as socket:
                self = cls(socket)
                # What it goes on to say on its error stream tells nothing, but a full pipe would stop it.
                tasks = [asyncio.create_task(self._read()), asyncio.create_task(_heard(process))]
                await self.command("session.new", capabilities={})
                await self.command("session.subscribe", events=["log.entryAdded"])
                yield self
                for task in tasks:
                    task.cancel()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def command(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and give its result; raises `FirefoxError` for one that is refused."""
        number = next(self._ids)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(_COMMAND_SECONDS):
            said = await answer
        if said["type"] == "error":
            raise FirefoxError(f"{method}: {said['error']}: {said['message']}")
        return said["result"]

    @asynccontextmanager
    async def tab(self) -> AsyncIterator[FirefoxTab]:
        """Open a tab that shares cookies and storage with no other; it is closed with the block."""
        made = await self.command("browser.createUserContext")
        profile = made["userContext"]
        opened = await self.command("browsingContext.create", type="tab", userContext=profile)
        yield FirefoxTab(self, opened["context"], profile)
        await self.command("browser.removeUserContext", userContext=profile)

    async def _read(self) -> None:
        async for message in self._socket:
            said = json.loads(message.data)
            if said["type"] == "event":
                entry = said["params"]
                if entry.get("type") == "javascript" and entry.get("level") == "error":
                    self.errors.append(entry["text"])
            elif (answer := self._waiting.pop(said["id"], None)) is not None and not answer.done():
                answer.set_result(said)


class FirefoxTab:
    """One tab."""

    def __init__(self, firefox: Firefox, context: str, profile: str) -> None:
        self._firefox, self._context, self._profile = firefox, context, profile

    async def goto(self, url: str) -> None:
        """Load a page, to its end."""
        await self._firefox.command(
            "browsingContext.navigate", context=self._context, url=url, wait="complete"
        )

    async def evaluate(self, expression: str) -> Any:
        """Give the value of an expression in the page, by way of JSON; a promise is awaited."""
        told = await self._firefox.command(
            "script.evaluate",
            expression=f"(async () => JSON.stringify([await ({expression})]))()",
            target={"context": self._context},
            awaitPromise=True,
        )
        if told["type"] != "success":
            raise FirefoxError(told["exceptionDetails"]["text"])
        return json.loads(told["result"]["value"])[0]

    async def prepare(self, script: str) -> None:
        """Run JavaScript in each page from now on, before its own."""
        await self._firefox.command(
            "script.addPreloadScript",
            functionDeclaration=f"() => {{ {script} }}",
            userContexts=[self._profile],
        )

    async def set_offline(self, offline: bool) -> None:
        """Take the network away, or give it back."""
        await self._firefox.command(
            "emulation.setNetworkConditions",
            networkConditions={"type": "offline"} if offline else None,
            userContexts=[self._profile],
        )


async def _heard(process: asyncio.subprocess.Process) -> None:
    assert process.stderr is not None
    while await process.stderr.read(4_096):
        pass


async def _listening(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    async for line in process.stderr:
        if found := _LISTENING.search(line.decode("utf-8", "replace")):
            return found[1]
    raise FirefoxError("firefox ended before it listened")
