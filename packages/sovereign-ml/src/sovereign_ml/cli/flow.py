"""churn <verb>: the eight steps, all of them, and the data's versions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from sovereign_ml.cli.profile import ProfileOption, pass_on_settings
from sovereign_ml.errors import Misuse
from sovereign_ml.project import Step

if TYPE_CHECKING:
    from sovereign_ml.config.settings import Settings

app = typer.Typer()
DataOption = Annotated[
    str | None, typer.Option(help="Transactions file, instead of the one in config.toml.")
]
CustomersOption = Annotated[str | None, typer.Option(help="Customers file; '' for none.")]
CountOption = Annotated[int | None, typer.Option(min=1, help="Size of the built-in shop.")]


STEPS_PANEL = "The flow, step by step"
card_app = typer.Typer(invoke_without_command=True)


def _run(verb: str, settings: Settings) -> None:
    from sovereign_ml.cli import console
    from sovereign_ml.pipeline import flow, source
    from sovereign_ml.project import load_project

    console.warn_placeholders(settings.profile_name, settings.project)
    project = load_project(settings.root)
    if verb == "data":
        source.refresh(settings)
    with console.working(project.step(verb)) as done:
        done(flow.run_step(verb, settings, project))


def add_steps(target: typer.Typer, steps: Sequence[Step]) -> None:
    """Add one command for each step of the project's table, in the order of the flow."""
    for step in steps:
        text = f"{step.number}. {step.summary}"
        if step.verb == "card":
            target.add_typer(card_app, name="card", help=text, rich_help_panel=STEPS_PANEL)
            continue
        special: dict[str, Callable[..., None]] = {"data": _data, "score": _score}
        function = special.get(step.verb) or _command(step.verb)
        target.command(step.verb, help=text, rich_help_panel=STEPS_PANEL)(function)


def _command(verb: str) -> Callable[..., None]:
    def command(profile: ProfileOption = None) -> None:
        _run(verb, pass_on_settings(profile))

    return command


def _data(
    profile: ProfileOption = None,
    data: DataOption = None,
    customers_file: CustomersOption = None,
    customers: CountOption = None,
) -> None:
    """Run step 1, on the input that the call names."""
    chosen = {"data": data, "customers": customers_file, "synthetic_customers": customers}
    _run("data", pass_on_settings(profile, **chosen))


def _score(
    profile: ProfileOption = None,
    old_features: Annotated[
        bool,
        typer.Option("--old-features", help="Score although the features are too old."),
    ] = False,
) -> None:
    """Run step 8; scores carry the date of their features."""
    asked = "allow" if old_features else None
    _run("score", pass_on_settings(profile, old_features=asked))


@card_app.callback()
def card(
    context: typer.Context,
    profile: ProfileOption = None,
    open_: Annotated[
        bool, typer.Option("--open", help="List what is still open, with its article.")
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


@app.command(rich_help_panel="The flow")
def run(
    profile: ProfileOption = None,
    data: DataOption = None,
    customers_file: CustomersOption = None,
    customers: CountOption = None,
) -> None:
    """Run all eight steps; what is unchanged is not run again."""
    import time

    from sovereign_ml.cli import console
    from sovereign_ml.pipeline import source
    from sovereign_ml.pipeline.validation_report import forget_refusal
    from sovereign_ml.project import load_project
    from sovereign_ml.storage import dvc

    settings = pass_on_settings(
        profile, data=data, customers=customers_file, synthetic_customers=customers
    )
    console.warn_placeholders(settings.profile_name, settings.project)
    source.refresh(settings)
    start = time.time()
    dvc.reproduce(settings.root)
    for noun in ("raw", "valid"):
        forget_refusal(settings.path(noun))
    console.table(settings, load_project(settings.root).steps, start)


@app.command(rich_help_panel="The flow")
def pipeline(profile: ProfileOption = None) -> None:
    """Run the same steps as a Kubeflow pipeline under the local runner."""
    from sovereign_ml.cli import console
    from sovereign_ml.kubeflow.local_runner import run_locally
    from sovereign_ml.project import load_project

    settings = pass_on_settings(profile)
    console.err.print(
        "Running the steps under Kubeflow's local runner; log: .churn/pipeline/log.txt"
    )
    project = load_project(settings.root)
    artifacts = run_locally(settings.root, project, settings.project, settings.pipeline)
    console.pipeline_result(settings.project.title, project.steps, artifacts)


@app.command("compile", rich_help_panel="The flow")
def compile_pipeline(
    output: Annotated[str, typer.Argument(help="The YAML file to write.")] = "build/pipeline.yaml",
    profile: ProfileOption = None,
) -> None:
    """Compile the Kubeflow pipeline to YAML."""
    from sovereign_ml.kubeflow.local_runner import compile_to
    from sovereign_ml.project import load_project

    settings = pass_on_settings(profile)
    target = settings.root / output
    if target.suffix not in (".yaml", ".yml"):
        raise Misuse(f"{output} must end in .yaml.")
    target.parent.mkdir(parents=True, exist_ok=True)
    compile_to(target, load_project(settings.root), settings.project, settings.pipeline)
    typer.echo(f"Wrote {output}")


@app.command(rich_help_panel="The flow")
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


@app.command(rich_help_panel="The flow")
def push(profile: ProfileOption = None) -> None:
    """Copy the data's versions to the profile's DVC remote; runs on a cluster learn who is erased."""
    from sovereign_ml.cli.composition import governance_copy
    from sovereign_ml.storage import dvc

    settings = pass_on_settings(profile)
    count = dvc.push(settings.data_versions)
    governance_copy(settings).publish(pushed=True)
    typer.echo(f"{count} files went to the DVC remote '{settings.profile.dvc_remote}'.")


@app.command(rich_help_panel="The flow")
def pull(profile: ProfileOption = None) -> None:
    """Fetch the data's versions of this commit from the profile's DVC remote."""
    from sovereign_ml.storage import dvc

    settings = pass_on_settings(profile)
    count = dvc.pull(settings.data_versions)
    typer.echo(f"{count} changes in data/ from the DVC remote '{settings.profile.dvc_remote}'.")


@app.command(rich_help_panel="The flow")
def ui(
    port: Annotated[int, typer.Option(min=1, max=65535)] = 5000,
    profile: ProfileOption = None,
) -> None:
    """Show runs and registry: MLflow's pages on 127.0.0.1."""
    from sovereign_ml.servers import own_servers

    own_servers.tracking_pages(pass_on_settings(profile).tracking, port)


@app.command(rich_help_panel="The flow")
def pseudonym(
    customer_id: Annotated[str, typer.Argument(help="The customer id as in your transactions.")],
) -> None:
    """Print the pseudonym under which a customer stands in the data, scores and service."""
    from sovereign_ml.pseudonyms import plain_id, pseudonyms

    typer.echo(pseudonyms([plain_id(customer_id)], pass_on_settings(None).pseudonym_key())[0])
