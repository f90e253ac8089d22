"""`tracking-gateway plan …`: tracking plans for the people who write them."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 -- typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.options import DEFAULT_CONFIG, ConfigOption, JsonOption, counted, load
from gateway.commands.plan_infer import infer
from gateway.commands.plan_words import fail_of, fields_of, meaning, read_or_fail, rows
from gateway.terminal import explained, fail, print_json, print_rows

if TYPE_CHECKING:
    from gateway.events.tracking_plan import CompiledPlan

plan_app = typer.Typer(
    no_args_is_help=True,
    help="The tracking plan: which fields each event needs, and what may stand in them.\n\n"
    "A plan is a TOML file, named by `tracking_plan.file` in the settings.",
)


@plan_app.command("check")
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The plan, a TOML file.")],
    *,
    against: Annotated[
        Path | None,
        typer.Option(
            help="Count what these events would break: an archive's folder (data_dir/archive), or a file with an event as JSON in each line."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Say whether a plan can be used, and show what it asks. Exit code 2 when something is wrong with it.

    Each problem names the key, what stands there and what to write instead. With `--against`, exit code 1 when events break it.

    Example: `tracking-gateway plan check config/tracking_plan.toml --against data/archive`
    """
    read = read_or_fail(file, as_json=json)
    document: dict[str, Any] = {"ok": True, "file": str(file), "events": len(read.plan.events), "fields": fields_of(read.plan)}  # fmt: skip
    found = None
    if against is not None:
        with explained(as_json=json):
            from gateway.events.tracking_plan import CompiledPlan  # noqa: PLC0415 -- `--help` need not wait for it
            from gateway.plans.counting import count_violations  # noqa: PLC0415

            found = _counted(count_violations, CompiledPlan([(read.plan, None)], read.schemas), against, as_json=json)  # fmt: skip
        document["against"] = found
        document["ok"] = not found["violating"]
    if json:
        print_json(document)
    else:
        print_rows(f"{file} can be used: {counted(len(read.plan.events), 'kind')} of event, {counted(fields_of(read.plan), 'field')}", rows(read.plan))  # fmt: skip
        if found is not None:
            title = f"{counted(found['violating'], 'event')} of {found['events']:,} would break it"
            print_rows(title, found["violations"])
            if found["unreadable"]:
                typer.echo(f"{counted(found['unreadable'], 'line')} could not be read")
    if not document["ok"]:
        raise typer.Exit(1)


def _counted(count: Any, plan: CompiledPlan, against: Path, *, as_json: bool) -> dict[str, Any]:
    from gateway.commands.progress import Bar  # noqa: PLC0415 -- see `check`

    if not against.exists():
        fail(f"--against: there is no {against}", code=2, as_json=as_json)
    with Bar("reading", 0, as_json=as_json) as bar:
        result: dict[str, Any] = count(plan, against, bar.at_of)
    return result


plan_app.command("infer")(infer)


@plan_app.command("show")
def show(
    event: Annotated[
        str, typer.Argument(metavar="CATEGORY/ACTION", help="The event, such as product/purchase.")
    ],
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    prop_id: Annotated[str, typer.Option(help="As it holds in this property; else in the first.")] = "",
    json: JsonOption = False,
) -> None:
    """Show every rule that an event is held to now: the standard's, and those of your own plan.

    Example: `tracking-gateway plan show product/purchase`
    """
    from gateway.plans.keeper import compile_plans  # noqa: PLC0415 -- see `check`
    from gateway.plans.reading import PlanUnusable  # noqa: PLC0415

    category, slash, action = event.partition("/")
    if not slash or not category or not action:
        fail("write category/action, such as product/purchase", code=2, as_json=json)
    loaded = load(config, as_json=json)
    try:
        plan, _ = compile_plans(loaded)
    except PlanUnusable as error:
        fail_of(error, as_json=json)
    owner = next((each for each in loaded.properties if prop_id in {"", each.prop_id}), None)
    if owner is None:
        fail(f"--prop-id: no property {prop_id} is configured", code=2, as_json=json)
    rules = plan.rules_of(owner.portal_id, owner.prop_id, category, action) if plan is not None else []
    found = [
        {
            "field": path,
            "must be": meaning(field),
            "severity": field.severity or severity,
            "example": "" if field.example is None else str(field.example),
            "about": field.about or rule.about,
        }
        for rule, severity in rules
        for path, field in rule.fields.items()
    ]
    if json:
        print_json({"ok": True, "event": event, "prop_id": owner.prop_id, "rules": found})
    else:
        print_rows(f"{event} in property {owner.prop_id}: {counted(len(found), 'rule')}", found)
