"""churn <verb>: the eight steps, all of them, and the data's versions."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from sovereign_ml.errors import Misuse

app = typer.Typer()
ProfileOption = Annotated[
    str | None, typer.Option(help="local or eu; default: CHURN_PROFILE, else local.")
]
DataOption = Annotated[
    str | None, typer.Option(help="Transactions file, instead of the one in config.toml.")
]
CustomersOption = Annotated[str | None, typer.Option(help="Customers file; '' for none.")]
CountOption = Annotated[int | None, typer.Option(min=1, help="Size of the built-in shop.")]


def _settings(profile: str | None, **given: str | int | None) -> Any:
    """Settings with the call's own values, which steps that DVC starts see too."""
    from sovereign_ml.config import settings

    settings.pass_on(profile=profile, **given)
    return settings.load()


def _run(verb: str, settings: Any) -> None:
    from sovereign_ml.cli import console
    from sovereign_ml.pipeline import flow, source

    console.warn_placeholders(settings)
    if verb == "data":
        source.refresh(settings)
    with console.working(verb) as done:
        done(flow.run_step(verb, settings))


@app.command(rich_help_panel="The flow, step by step")
def data(
    profile: ProfileOption = None,
    data: DataOption = None,
    customers_file: CustomersOption = None,
    customers: CountOption = None,
) -> None:
    """1. Read transactions: pseudonyms, EUR, UTC; consent, objection and erasure applied."""
    _run(
        "data",
        _settings(profile, data=data, customers=customers_file, synthetic_customers=customers),
    )


@app.command(rich_help_panel="The flow, step by step")
def validate(profile: ProfileOption = None) -> None:
    """2. Check every row against the contract; reject, report, stop past the limit."""
    _run("validate", _settings(profile))


@app.command(rich_help_panel="The flow, step by step")
def features(profile: ProfileOption = None) -> None:
    """3. Point-in-time features and labels; fill the online store."""
    _run("features", _settings(profile))


@app.command(rich_help_panel="The flow, step by step")
def train(profile: ProfileOption = None) -> None:
    """4. Fit the scorecard and its benchmark."""
    _run("train", _settings(profile))


@app.command(rich_help_panel="The flow, step by step")
def evaluate(profile: ProfileOption = None) -> None:
    """5. Measure on the newest cut-off, with intervals, slices and group gaps."""
    _run("evaluate", _settings(profile))


card_app = typer.Typer(invoke_without_command=True)
app.add_typer(card_app, name="card", rich_help_panel="The flow, step by step")


@card_app.callback()
def card(
    context: typer.Context,
    profile: ProfileOption = None,
    open_: Annotated[
        bool, typer.Option("--open", help="List what is still open, with its article.")
    ] = False,
) -> None:
    """6. Write the model card; `--open` lists what people still have to answer."""
    if context.invoked_subcommand:
        return
    settings = _settings(profile)
    if open_:
        from sovereign_ml.cli.card import list_open

        list_open(settings)
    else:
        _run("card", settings)


@app.command(rich_help_panel="The flow, step by step")
def register(profile: ProfileOption = None) -> None:
    """7. Refuse or register: quality gate, rules, bundle, registry version."""
    _run("register", _settings(profile))


@app.command(rich_help_panel="The flow, step by step")
def score(profile: ProfileOption = None) -> None:
    """8. Score everyone who may be scored today, with reasons."""
    _run("score", _settings(profile))


@app.command(rich_help_panel="The flow")
def run(
    profile: ProfileOption = None,
    data: DataOption = None,
    customers_file: CustomersOption = None,
    customers: CountOption = None,
) -> None:
    """Run all eight steps; what is unchanged is not run again."""
    import time

    from churn.steps._2_validate import forget_refusal
    from sovereign_ml.cli import console
    from sovereign_ml.pipeline import source
    from sovereign_ml.storage import dvc

    settings = _settings(
        profile, data=data, customers=customers_file, synthetic_customers=customers
    )
    console.warn_placeholders(settings)
    source.refresh(settings)
    start = time.time()
    dvc.reproduce(settings.root)
    forget_refusal(settings.path("valid"))
    console.table(settings, start)


@app.command(rich_help_panel="The flow")
def pipeline(profile: ProfileOption = None) -> None:
    """Run the same steps as a Kubeflow pipeline under the local runner."""
    from sovereign_ml.cli import console
    from sovereign_ml.kubeflow.local_runner import run_locally

    settings = _settings(profile)
    console.err.print(
        "Running the eight steps under Kubeflow's local runner; log: .churn/pipeline/log.txt"
    )
    console.pipeline_result(settings, run_locally(settings))


@app.command("compile", rich_help_panel="The flow")
def compile_pipeline(
    output: Annotated[str, typer.Argument(help="The YAML file to write.")] = "build/pipeline.yaml",
    profile: ProfileOption = None,
) -> None:
    """Compile the Kubeflow pipeline to YAML."""
    from sovereign_ml.kubeflow.local_runner import compile_to

    settings = _settings(profile)
    target = settings.root / output
    if target.suffix not in (".yaml", ".yml"):
        raise Misuse(f"{output} must end in .yaml.")
    target.parent.mkdir(parents=True, exist_ok=True)
    compile_to(target, settings)
    typer.echo(f"Wrote {output}")


@app.command(rich_help_panel="The flow")
def push(profile: ProfileOption = None) -> None:
    """Copy the data's versions to the profile's DVC remote; runs on a cluster learn who is erased."""
    from sovereign_ml.data_subjects import bucket_sync
    from sovereign_ml.storage import dvc

    settings = _settings(profile)
    count = dvc.push(settings)
    bucket_sync.publish(settings, pushed=True)
    typer.echo(f"{count} files went to the DVC remote '{settings.profile.dvc_remote}'.")


@app.command(rich_help_panel="The flow")
def pull(profile: ProfileOption = None) -> None:
    """Fetch the data's versions of this commit from the profile's DVC remote."""
    from sovereign_ml.storage import dvc

    settings = _settings(profile)
    count = dvc.pull(settings)
    typer.echo(f"{count} changes in data/ from the DVC remote '{settings.profile.dvc_remote}'.")


@app.command(rich_help_panel="The flow")
def ui(
    port: Annotated[int, typer.Option(min=1, max=65535)] = 5000,
    profile: ProfileOption = None,
) -> None:
    """Show runs and registry: MLflow's pages on 127.0.0.1."""
    from sovereign_ml.registry import mlflow

    mlflow.serve_ui(_settings(profile), port)


@app.command(rich_help_panel="The flow")
def pseudonym(
    customer_id: Annotated[str, typer.Argument(help="The customer id as in your transactions.")],
) -> None:
    """Print the pseudonym under which a customer stands in the data, scores and service."""
    from sovereign_ml.pseudonyms import pseudonyms

    typer.echo(pseudonyms([customer_id.strip()], _settings(None).pseudonym_key())[0])
