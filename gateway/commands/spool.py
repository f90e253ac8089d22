"""`tracking-gateway spool …`: events on their way to the collector, and those that arrived and are kept to be sent again."""

from __future__ import annotations

import typer

from gateway.commands.spool_replay import replay
from gateway.commands.spool_status import status

spool_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Look at the events that wait, and send delivered ones again. Safe while the gateway runs.",
    epilog="Begin with `tracking-gateway spool status`, then `tracking-gateway spool replay --since <moment> --dry-run`.",
)


spool_app.command("replay")(replay)
spool_app.command("status")(status)
