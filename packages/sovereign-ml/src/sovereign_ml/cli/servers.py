"""churn doctor, churn servers and churn kubeflow: the commands of the profile eu."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sovereign_ml.cli.profile import ProfileOption, pass_on_settings
from sovereign_ml.errors import Misuse, Refused

if TYPE_CHECKING:
    from sovereign_ml.config.connections import HopsworksPlatform
    from sovereign_ml.config.settings import Settings

app = typer.Typer()
servers = typer.Typer(
    no_args_is_help=True, help="Tracking and features, parity, backup and restore."
)
kubeflow = typer.Typer(
    no_args_is_help=True, help="The flow as a pipeline: run, compile, submit, Katib."
)
app.add_typer(servers, name="servers")
app.add_typer(kubeflow, name="kubeflow")
SHOWN = 20  # differences that are printed; --output has them all
HostOption = Annotated[str, typer.Option(help="The address to listen on.")]
PortOption = Annotated[int, typer.Option(min=1, max=65535)]


@servers.command("tracking")
def tracking_server(
    host: HostOption = "127.0.0.1", port: PortOption = 5000, profile: ProfileOption = None
) -> None:
    """Run MLflow's server on PostgreSQL and S3, with users and permissions of its own."""
    from sovereign_ml.servers import own_servers

    settings = pass_on_settings(profile)
    own_servers.tracking_server(settings.storage, settings.secrets, host, port)


@servers.command("features")
def feature_server(
    host: HostOption = "127.0.0.1", port: PortOption = 6566, profile: ProfileOption = None
) -> None:
    """Run Feast's feature server behind FEATURE_STORE_TOKEN. Only the look-up is reachable."""
    from sovereign_ml.servers import own_servers

    settings = pass_on_settings(profile)
    own_servers.features(settings.feature_stores, settings.path("features"), host, port)


@servers.command()
def materialise(profile: ProfileOption = None) -> None:
    """Fill the online store again from the offline store, without new computation."""
    from sovereign_ml.features.parity import materialise_again
    from sovereign_ml.project import load_project

    settings = pass_on_settings(profile)
    definitions = partial(
        load_project(settings.root).module("feature_repo").definitions,
        inputs=settings.features.inputs,
    )
    stores = settings.feature_stores
    customers = materialise_again(settings.path("features"), stores, definitions)
    if stores.hopsworks:
        customers = _publish(settings, stores.hopsworks)
    typer.echo(f"{customers:,} customers are in the online store: {stores.online}.")


def _publish(settings: Settings, server: HopsworksPlatform) -> int:
    """Publish the newest snapshots at Hopsworks and return the number of customers."""
    from datetime import UTC, datetime

    from sovereign_ml.features import feast, hopsworks
    from sovereign_ml.project import load_project
    from sovereign_ml.storage.artifacts import read_json

    project = load_project(settings.root).with_inputs(settings.features.inputs)
    folder = settings.path("features")
    current = read_json(folder / "summary.json")["current"]
    now = datetime.now(UTC)
    # Hopsworks counts in days, and the months of a period are not equally long.
    days = (now - settings.retention.features.before(now)).days
    snapshots = folder / feast.SNAPSHOTS
    return hopsworks.publish(server, snapshots, current, project.feature_names, days)


@servers.command()
def parity(
    profile: ProfileOption = None,
    output: Annotated[
        Path | None, typer.Option(help="Write every difference as JSON here.")
    ] = None,
) -> None:
    """Compare all features of current customers, offline with online. Exit 1 if one differs."""
    from sovereign_ml.features.parity import compare
    from sovereign_ml.project import load_project

    settings = pass_on_settings(profile)
    project = load_project(settings.root).with_inputs(settings.features.inputs)
    stores = settings.feature_stores
    report = compare(settings.path("features"), stores, project.feature_names)
    for name in report.features:
        typer.echo(
            f"{name:<22} {report.customers:>8,} compared  {report.differing(name):>6,} differ"
        )
    if output is not None:
        # Written before the refusal, since it is needed most then.
        output.write_text(json.dumps(asdict(report), indent=2) + "\n", encoding="utf-8")
    for row in report.differences[:SHOWN]:
        typer.echo(f"{row.customer_id}  {row.feature}: offline {row.offline}, online {row.online}")
    if report.differences:
        raise Refused(
            f"{len(report.differences):,} values differ as of {report.as_of}: "
            "`churn servers materialise` fills the online store again."
        )
    typer.echo(
        f"No difference: {report.customers:,} customers, {len(report.features)} features, "
        f"as of {report.as_of}."
    )


@app.command()
def doctor(
    profile: ProfileOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For another program.")] = False,
) -> None:
    """Check every server and its jurisdiction. Exit 1 if one fails."""
    from sovereign_ml.servers.doctor import examine

    settings = pass_on_settings(profile)
    card = settings.root / "model_card.toml"
    lines = []
    alarms = settings.monitor.alarm
    for line in examine(settings.profile, settings.secrets, settings.tracking, card, alarms):
        lines.append(line)
        # Printed one by one: a server that does not answer keeps the rest waiting for seconds.
        if not as_json:
            notes = "; ".join(
                part for part in (line.found, f"do: {line.do}" if line.do else "") if part
            )
            typer.echo(
                f"{line.state:<5}{line.name}  {line.host}  {line.jurisdiction}  "
                f"{line.milliseconds} ms  {notes}"
            )
    if as_json:
        typer.echo(json.dumps([asdict(line) for line in lines], indent=2))
    failed = [line.name for line in lines if line.state == "fail"]
    if failed:
        raise Refused(f"{len(failed)} of {len(lines)} checks failed: {', '.join(failed)}.")


@kubeflow.command("run")
def run_pipeline(profile: ProfileOption = None) -> None:
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


@kubeflow.command("compile")
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


RevisionOption = Annotated[str, typer.Option(help="The git revision whose data version is used.")]
FolderOption = Annotated[Path, typer.Option(help="Folder for the compiled YAML.")]


@kubeflow.command()
def submit(
    revision: RevisionOption = "HEAD",
    schedules: Annotated[
        bool, typer.Option("--schedules", help="Set up the recurring runs instead.")
    ] = False,
    output: FolderOption = Path("build"),
    profile: ProfileOption = None,
) -> None:
    """Submit the flow to Kubeflow for the data version of a git revision."""
    from sovereign_ml.cli.composition import cluster
    from sovereign_ml.kubeflow import submit as runs
    from sovereign_ml.project import load_project

    settings = pass_on_settings(profile)
    folder, project = settings.root / output, load_project(settings.root)
    target, paths = cluster(settings), settings.paths
    if schedules:
        for name in runs.schedule(project, target, paths.bundle, revision, folder):
            typer.echo(f"Recurring run: {name}")
    else:
        run = runs.submit(project, target, paths.raw, revision, folder)
        typer.echo(f"Submitted run {run} to {settings.pipeline.host}")


@kubeflow.command("launcher")
def kfp_launcher(output: FolderOption = Path("build"), profile: ProfileOption = None) -> None:
    """Write the settings by which Kubeflow stores task outputs in the bucket, per namespace."""
    from sovereign_ml.kubeflow.resources import launcher

    settings = pass_on_settings(profile)
    path = output / "kfp-launcher.yaml"
    _write_manifest(settings.root, path, launcher(settings.pipeline, settings.storage))


@kubeflow.command()
def katib(
    revision: RevisionOption = "HEAD",
    output: FolderOption = Path("build"),
    result: Annotated[
        Path | None, typer.Option(help="Print the best value of this finished experiment instead.")
    ] = None,
    profile: ProfileOption = None,
) -> None:
    """Write the search for the regularisation as a Katib experiment, or read its result."""
    from sovereign_ml.kubeflow.katib import experiment, setting
    from sovereign_ml.storage import dvc

    settings = pass_on_settings(profile)
    if result is not None:
        text = result.read_text(encoding="utf-8", errors="replace")
        typer.echo(setting(text, settings.project.name))
        return
    # Trials run on the cluster: they read the features of this version from the bucket.
    version = dvc.pinned(settings.root, revision, str(settings.paths.features))
    manifest = experiment(settings.project.name, settings.train, settings.pipeline, version)
    _write_manifest(settings.root, output / "katib.yaml", manifest)


def _write_manifest(root: Path, name: Path, manifest: dict[str, Any]) -> None:
    import yaml

    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(manifest, sort_keys=False), encoding="utf-8")
    # An --output elsewhere is named as it is.
    shown = path.relative_to(root) if path.is_relative_to(root) else path
    typer.echo(f"Wrote {shown}: kubectl apply -f it")


# Hidden: Katib's experiment calls it, never a person.
@kubeflow.command(hidden=True)
def trial(
    c: Annotated[float, typer.Option(min=0, help="Inverse strength of the regularisation.")],
    features_version: Annotated[str, typer.Option(help="DVC hash of the features.")],
    profile: ProfileOption = None,
) -> None:
    """Run one trial of the Katib experiment, and print the mean log loss over the folds."""
    import tempfile

    from sovereign_ml.project import load_project
    from sovereign_ml.storage import dvc

    settings = pass_on_settings(profile)
    with tempfile.TemporaryDirectory() as folder:
        features = Path(folder) / "features"
        dvc.fetch(settings.storage, features_version, features)
        step = load_project(settings.root).module("steps._4_train")
        # Katib tries one value at a time, so the search has one row.
        one_value = settings.train.model_copy(update={"regularisation": (c,)})
        [row] = step.search_on(features, one_value)
    # Katib reads the metric from this line.
    typer.echo(f"log_loss={row['log_loss']}")


@servers.command()
def backup(
    folder: Annotated[Path, typer.Argument(help="A new folder.")], profile: ProfileOption = None
) -> None:
    """Copy the databases and the bucket into a folder, with a hash of every file."""
    from sovereign_ml.servers.backup import backup as make

    settings = pass_on_settings(profile)
    manifest = make(
        folder, project=settings.project.name, secrets=settings.secrets, storage=settings.storage
    )
    typer.echo(
        f"{len(manifest['files'])} files in {folder}. It holds personal data: encrypt it, "
        "and keep the key apart."
    )


@servers.command()
def restore(
    folder: Annotated[Path, typer.Argument(help="A backup.")], profile: ProfileOption = None
) -> None:
    """Put a backup into empty databases and an empty bucket."""
    from sovereign_ml.cli.composition import governance_copy
    from sovereign_ml.servers.backup import restore as put

    settings = pass_on_settings(profile)
    manifest = put(
        folder,
        secrets=settings.secrets,
        storage=settings.storage,
        governance=governance_copy(settings),
    )
    typer.echo(
        f"{len(manifest['files'])} files of {manifest['made']} are back. "
        "Next: churn data-subject erase --again, churn servers materialise, churn decisions verify"
    )
