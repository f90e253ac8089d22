"""How commands speak: text and tables for people, one JSON document for programs, a sentence for what went wrong."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NoReturn, cast

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence


class explained:  # noqa: N801 -- reads as a word: `with explained():`
    """Turns what the world does to a command into a sentence and exit code 1; anything else is a fault and keeps its trace."""

    def __init__(self, *, as_json: bool = False) -> None:
        self._as_json = as_json

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, OSError):
            what = f"{error.strerror or error}"
            fail(f"{what}{f': {error.filename}' if error.filename else ''}", as_json=self._as_json)
        if type(error).__module__.startswith("gateway."):
            hint = getattr(error, "hint", "")
            fail(f"{error}{f' ({hint})' if hint and hint not in str(error) else ''}", as_json=self._as_json)


def fail(message: str, *, code: int = 1, as_json: bool = False) -> NoReturn:
    """Say what went wrong, on standard error or as the JSON document, and end with this exit code."""
    if as_json:
        print_json({"ok": False, "error": message})
    else:
        sys.stderr.write(f"tracking-gateway: {plain(message)}\n")
    raise typer.Exit(code)


def plain(text: str) -> str:
    """Give a text as a terminal may have it: what is neither printable nor the end of a line is written as its code, so that nothing in it acts."""
    if text.isprintable():
        return text
    return "".join(mark if mark.isprintable() or mark == "\n" else f"\\u{ord(mark):04x}" for mark in text)


def print_json(value: Any) -> None:
    """Print the one JSON document of a command."""
    sys.stdout.buffer.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def asked(question: str) -> bool:
    """Ask on the terminal, beside the output, and give whether the answer is a yes. Raises `typer.Abort` where there is none."""
    sys.stderr.write(f"{question} [y/N]: ")
    sys.stderr.flush()
    try:
        answer = sys.stdin.readline()
    except KeyboardInterrupt:
        answer = ""
    if not answer:
        sys.stderr.write("\n")
        raise typer.Abort
    return answer.strip().lower() in {"y", "yes"}


def print_cut_short(how: str, *, as_json: bool) -> None:
    """Say that somebody ended a command before it was done: `aborted`, `interrupted`."""
    if as_json:
        print_json({"ok": False, "error": how})
    else:
        sys.stderr.write(f"tracking-gateway: {how}\n")


def print_wrong_argument(error: typer.TyperException, message: str) -> None:
    """Say on standard error what is wrong with a command line: `message`, in place of what `error` says, which may hold an address."""
    ctx = getattr(error, "ctx", None)
    # Where a command was left out its help has been printed already.
    if type(error).__name__ != "NoArgsIsHelpError":
        from typer.rich_utils import rich_format_error  # noqa: PLC0415 -- a tenth of a gateway's start, for a mistake

        shown = typer.TyperException(message)
        shown.ctx = ctx  # type: ignore[attr-defined]  # its usage line is printed
        rich_format_error(cast("Any", shown))


def print_rows(title: str, rows: Sequence[dict[str, Any]]) -> None:
    """Print a table, one row each."""
    # In a pipe there is no width to fit into.
    console = Console(width=None if sys.stdout.isatty() else 240)
    console.print(f"[bold]{escape(title)}[/bold]")
    if rows:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for name in rows[0]:
            table.add_column(name, overflow="fold")
        for row in rows:
            table.add_row(*(escape(plain(str(value))) for value in row.values()))
        console.print(table)


def print_cards(title: str, cards: Sequence[dict[str, Any]]) -> None:
    """Print a few lines each, for what is too wide for a table: the first value is the heading."""
    console = Console(width=None if sys.stdout.isatty() else 240, highlight=False)
    console.print(f"[bold]{escape(title)}[/bold]")
    for card in cards:
        (_, heading), *rest = card.items()
        console.print(f"\n[cyan]{escape(plain(str(heading)))}[/cyan]")
        grid = Table.grid(padding=(0, 2))
        for name, value in rest:
            if value not in (None, ""):
                grid.add_row(f"  [dim]{escape(name)}[/dim]", escape(plain(str(value))))
        console.print(grid)


def flat(value: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Give nested tables as dotted keys with their values, in order."""
    rows: list[tuple[str, Any]] = []
    for name, each in value.items():
        if isinstance(each, dict):
            rows += flat(each, f"{prefix}{name}.")
        elif isinstance(each, list) and each and isinstance(each[0], dict):
            for index, item in enumerate(each):
                rows += flat(item, f"{prefix}{name}[{index}].")
        else:
            rows.append((prefix + name, each))
    return rows
