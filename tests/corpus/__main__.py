"""Says where the cases of the corpus are not what the gateway does, and writes what it does into them: `python -m tests.corpus [--write] [NAME …]`.

Read the difference line by line before you commit it: a file says what is right, not what is.
"""

from __future__ import annotations

import argparse
import asyncio
import difflib
import sys
import tempfile
from pathlib import Path

from tests.corpus.case import Case, read_cases
from tests.corpus.core import make_pipeline, play
from tests.corpus.live import play_all


async def _texts(cases: list[Case], *, is_live: bool) -> dict[str, str]:
    """Give what each file would be: from the pure core, but for cases that only a server can play."""
    pipeline = make_pipeline()
    seen = {case.name: await play(case, pipeline) for case in cases if not (is_live or case.is_live_only)}
    wired = [case for case in cases if is_live or case.is_live_only]
    if wired:
        with tempfile.TemporaryDirectory() as folder:
            live = await play_all(wired, Path(folder), is_fast=True)
        seen |= live.blocks
        sys.stderr.writelines(f"{line}\n" for line in live.faults)
    return {case.name: case.text(seen[case.name]) for case in cases}


def main() -> int:
    """Compare, and write when asked to."""
    parser = argparse.ArgumentParser(prog="python -m tests.corpus", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="beginnings of names, such as browser/; none: all"
    )
    parser.add_argument("--write", action="store_true", help="write what the gateway does into the files")
    parser.add_argument("--live", action="store_true", help="play all of them through a running gateway")
    options = parser.parse_args()
    cases = read_cases(options.names)
    texts = asyncio.run(_texts(cases, is_live=options.live))
    changed = 0
    for case in cases:
        before, after = case.path.read_text(encoding="utf-8"), texts[case.name]
        if before == after:
            continue
        changed += 1
        name = str(case.path.relative_to(Path.cwd())) if case.path.is_relative_to(Path.cwd()) else case.name
        sys.stdout.writelines(
            difflib.unified_diff(
                before.splitlines(keepends=True), after.splitlines(keepends=True), name, name
            )
        )
        if options.write:
            case.path.write_text(after, encoding="utf-8")
    word = "written" if options.write else "different"
    sys.stderr.write(f"{len(cases)} cases, {changed} {word}\n")
    return int(bool(changed) and not options.write)


if __name__ == "__main__":
    sys.exit(main())
