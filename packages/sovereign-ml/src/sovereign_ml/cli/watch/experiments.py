"""churn clearml: copies of MLflow's runs at a ClearML server of the team's own."""

from __future__ import annotations

from typing import Annotated

import typer

from sovereign_ml.cli.profile import ProfileOption, pass_on_settings
from sovereign_ml.errors import Misuse

app = typer.Typer()
clearml = typer.Typer(no_args_is_help=True)
app.add_typer(clearml, name="clearml", help="Copies of MLflow's runs at your ClearML server.")


@clearml.callback()
def about() -> None:
    """Copy MLflow's runs to a ClearML server."""


@clearml.command()
def push(
    run: Annotated[str, typer.Option(help="Id of one run of MLflow.")] = "",
    all_: Annotated[bool, typer.Option("--all", help="All finished runs.")] = False,
    profile: ProfileOption = None,
) -> None:
    """Copy runs of MLflow as tasks, without source, host name or user. A repeat adds nothing."""
    from sovereign_ml.registry import clearml as exporter

    if bool(run) == all_:
        raise Misuse("Name the runs: --run ID for one, or --all for all finished ones.")
    settings = pass_on_settings(profile)
    pushed = exporter.push(settings.clearml_server, settings.tracking, run)
    typer.echo(
        f"{pushed.written} runs copied to {settings.clearml.api}, {pushed.there} were there."
    )
    if pushed.left_out:
        typer.echo(
            f"{pushed.left_out} parameters and metrics were left out: [clearml] parameters names "
            "the further parameters to send, and a name or value with a pseudonym is never sent."
        )
