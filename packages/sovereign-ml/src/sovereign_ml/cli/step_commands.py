"""churn <verb>: the eight steps, all of them, and the data's versions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sovereign_ml.cli.profile import ProfileOption, pass_on_settings
from sovereign_ml.cli.records import card_app
from sovereign_ml.errors import Misuse
from sovereign_ml.project import Step

if TYPE_CHECKING:
    from sovereign_ml.config.settings import Settings
    from sovereign_ml.project import Project

app = typer.Typer()
DataOption = Annotated[
    str | None, typer.Option(help="Transactions file, instead of the one in config.toml.")
]
CustomersOption = Annotated[str | None, typer.Option(help="Customers file; '' for none.")]
CountOption = Annotated[int | None, typer.Option(min=1, help="Size of the built-in shop.")]


STEPS_PANEL = "The flow"
data_app = typer.Typer(invoke_without_command=True)


def _run(verb: str, settings: Settings) -> None:
    from sovereign_ml.cli import console
    from sovereign_ml.project import load_project

    console.warn_placeholders(settings.profile_name, settings.project)
    _step(verb, settings, load_project(settings.root))


def _step(verb: str, settings: Settings, project: Project) -> None:
    from sovereign_ml.cli import console
    from sovereign_ml.pipeline import flow, source

    if verb == "data":
        # The pin in data/source.json must name the present input before the step reads it.
        source.refresh(settings)
    with console.working(project.step(verb)) as done:
        done(flow.run_step(verb, settings, project))


def run_stale_steps(settings: Settings, project: Project) -> None:
    """Run the steps whose inputs, code or parameters have changed, in this process."""
    from sovereign_ml.storage import dvc

    # DVC by itself would start a process for each stage, which imports everything again.
    steps = {
        f"churn {step.verb}": partial(_step, step.verb, settings, project) for step in project.steps
    }
    dvc.reproduce(settings.root, steps)


def add_steps(target: typer.Typer, steps: Sequence[Step]) -> None:
    """Add one command for each step of the project's table, in the order of the flow."""
    for step in steps:
        text = f"{step.number}. {step.summary}"
        # These two steps have subcommands, such as `churn card answer`.
        if group := {"card": card_app, "data": data_app}.get(step.verb):
            target.add_typer(group, name=step.verb, help=text, rich_help_panel=STEPS_PANEL)
            continue
        # Of the others only this step has an option of its own.
        function = _score if step.verb == "score" else _command(step.verb)
        target.command(step.verb, help=text, rich_help_panel=STEPS_PANEL)(function)


def _command(verb: str) -> Callable[..., None]:
    def command(profile: ProfileOption = None) -> None:
        _run(verb, pass_on_settings(profile))

    return command


@data_app.callback()
def data_step(
    context: typer.Context,
    profile: ProfileOption = None,
    data: DataOption = None,
    customers_file: CustomersOption = None,
    customers: CountOption = None,
) -> None:
    """Run step 1, on the input that the call names."""
    # The group is a command of its own where no other command follows.
    if context.invoked_subcommand:
        return
    chosen = {"data": data, "customers": customers_file, "synthetic_customers": customers}
    _run("data", pass_on_settings(profile, **chosen))


@data_app.command("suggest")
def suggest(
    file: Annotated[
        str, typer.Argument(help="Your transactions: CSV or Parquet, a pattern or a folder.")
    ],
    event: Annotated[
        str, typer.Option(help="FILE holds events beside the purchases: the name of their table.")
    ] = "",
    customers: Annotated[str, typer.Option(help="Your customers table, if there is one.")] = "",
    answers: Annotated[
        list[str] | None, typer.Option("--set", help="Your decision: KEY=VALUE; may be repeated.")
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(help="Write the proposal to this new file, without sample rows in clear."),
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Put the proposal into config.toml, after a question.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before --apply.")] = False,
    show_values: Annotated[
        bool, typer.Option("--show-values", help="Show sample rows in clear; on a terminal only.")
    ] = False,
    profile: ProfileOption = None,
) -> None:
    """Propose the mapping of a file for config.toml. Nothing is applied without you."""
    from sovereign_ml.cli import console
    from sovereign_ml.config import settings as configuration
    from sovereign_ml.pipeline import source
    from sovereign_ml.pipeline.suggest import suggestions
    from sovereign_ml.storage.artifacts import replaced

    if show_values and (write or not console.out.is_terminal):
        raise Misuse(
            "--show-values shows personal data, so it works on a terminal only, "
            "not into a file, a pipe or a log."
        )
    if write and write.exists():
        raise Misuse(f"{write} exists already: name a new file.")
    if event and customers:
        raise Misuse("--customers goes with the transactions: leave it out with --event.")
    settings = configuration.load(profile)
    files, decided = source.input_files(settings), suggestions.parse_answers(answers or [])
    if event:
        proposal = suggestions.suggest_events(files, file, event, decided, in_clear=show_values)
    else:
        proposal = suggestions.suggest(files, file, customers, decided, in_clear=show_values)
    text = proposal.toml()
    if write:
        write.write_text(text, encoding="utf-8")
        typer.echo(f"Wrote {write}: {len(proposal.open)} lines need your decision.")
    else:
        typer.echo(text, nl=False)
    if not apply:
        return
    config = settings.root / "config.toml"
    changed = proposal.applied_to(config.read_text(encoding="utf-8"))
    # A proposal that config.toml would not accept is never written.
    configuration.check_text(changed, profile)
    if not yes and not (console.out.is_terminal and typer.confirm("Put this into config.toml?")):
        raise Misuse("Not applied: answer yes, or use --yes where no terminal is.")
    # Replaced as a whole, because a cut config.toml would stop every command.
    replaced(config, lambda beside: beside.write_text(changed, encoding="utf-8"))
    first = f"a feature that uses {event}, docs/extending.md; then " if event else ""
    console.err.print(f"config.toml has the proposal. Next: {first}churn data")


def _score(
    profile: ProfileOption = None,
    old_features: Annotated[
        bool, typer.Option("--old-features", help="Score although the features are too old.")
    ] = False,
) -> None:
    """Run step 8. Scores carry the date of their features."""
    _run("score", pass_on_settings(profile, old_features="allow" if old_features else None))


@card_app.callback()
def card(
    context: typer.Context,
    profile: ProfileOption = None,
    open_: Annotated[
        bool, typer.Option("--open", help="List the open questions with their articles.")
    ] = False,
) -> None:
    """Run step 6, or list the open questions."""
    if context.invoked_subcommand:
        return
    settings = pass_on_settings(profile)
    if open_:
        from sovereign_ml.cli.card import list_open
        from sovereign_ml.cli.card_output import rebuilt

        list_open(rebuilt(settings))
    else:
        _run("card", settings)


@app.command()
def run(
    profile: ProfileOption = None,
    data: DataOption = None,
    customers_file: CustomersOption = None,
    customers: CountOption = None,
) -> None:
    """Run all steps whose inputs, code or settings have changed."""
    import time

    from sovereign_ml.cli import console
    from sovereign_ml.pipeline import source
    from sovereign_ml.pipeline.validation_report import forget_refusal
    from sovereign_ml.project import load_project

    settings = pass_on_settings(
        profile, data=data, customers=customers_file, synthetic_customers=customers
    )
    console.warn_placeholders(settings.profile_name, settings.project)
    source.refresh(settings)
    project = load_project(settings.root)
    # The clock on the wall, because it is compared with the end that each step noted.
    start = time.time()
    run_stale_steps(settings, project)
    # All steps have passed, so reports of an earlier refusal are outdated.
    for noun in ("raw", "valid"):
        forget_refusal(settings.path(noun))
    console.table(settings, project.steps, start)


@app.command()
def stages(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 if dvc.yaml is out of date.")
    ] = False,
    profile: ProfileOption = None,
) -> None:
    """Write dvc.yaml from the table of steps and their imports."""
    from sovereign_ml.pipeline import stages as dvc_stages
    from sovereign_ml.project import load_project

    root = pass_on_settings(profile).root
    if check:
        dvc_stages.check(root, load_project(root))
        typer.echo("dvc.yaml is up to date.")
    else:
        typer.echo(f"Wrote {dvc_stages.write(root, load_project(root)).name}")


@app.command()
def push(profile: ProfileOption = None) -> None:
    """Copy the data's versions to the profile's DVC remote."""
    from sovereign_ml.cli.composition import governance_copy
    from sovereign_ml.storage import dvc

    settings = pass_on_settings(profile)
    count = dvc.push(settings.data_versions)
    # Runs on a cluster have no git: they learn from this copy who was erased.
    governance_copy(settings).publish(pushed=True)
    typer.echo(f"{count} files went to the DVC remote '{settings.profile.dvc_remote}'.")


@app.command()
def pull(profile: ProfileOption = None) -> None:
    """Fetch the data's versions of this commit from the DVC remote."""
    from sovereign_ml.storage import dvc

    settings = pass_on_settings(profile)
    count = dvc.pull(settings.data_versions)
    typer.echo(f"{count} changes in data/ from the DVC remote '{settings.profile.dvc_remote}'.")


@app.command()
def ui(
    port: Annotated[int, typer.Option(min=1, max=65535)] = 5000, profile: ProfileOption = None
) -> None:
    """Show runs and registry: MLflow on 127.0.0.1."""
    from sovereign_ml.servers import own_servers

    own_servers.tracking_pages(pass_on_settings(profile).tracking, port)
