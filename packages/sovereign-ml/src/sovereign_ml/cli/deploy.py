"""churn deploy, with status, rollback and kserve: the service on sota.io or on Kubernetes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sovereign_ml.cli.card_output import show
from sovereign_ml.cli.profile import ProfileOption, load_settings
from sovereign_ml.errors import Misuse, Refused

if TYPE_CHECKING:
    from sovereign_ml.config.deployment import Deploy
    from sovereign_ml.config.settings import Settings
    from sovereign_ml.deploy.run import Clock
    from sovereign_ml.deploy.send import Shipment
    from sovereign_ml.deploy.sota_api import SotaApi

app = typer.Typer()
deploy_app = typer.Typer(invoke_without_command=True)
app.add_typer(
    deploy_app, name="deploy", help="Ship the service with its bundle to sota.io or KServe."
)
VersionOption = Annotated[
    str,
    typer.Option(
        help="Registry version or alias; default: production, in the profile local candidate."
    ),
]
BundleOption = Annotated[
    Path | None, typer.Option(help="A bundle folder instead of the registry's.")
]


@deploy_app.callback()
def deploy(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print everything, send nothing.")
    ] = False,
    version: VersionOption = "",
    bundle: BundleOption = None,
    profile: ProfileOption = None,
) -> None:
    """Ship the service with a registered bundle to sota.io, and wait until it answers."""
    # Typer calls this function before each of its subcommands too.
    if context.invoked_subcommand:
        return
    from sovereign_ml.deploy import run

    settings = load_settings(profile)
    with _one_line():
        shipment = _shipment(settings, bundle or _registered(settings, version))
        if dry_run:
            plan = run.dry_run(shipment, **_files(settings))
            typer.echo("\n".join(plan))
            if any(line.startswith("REFUSED") for line in plan):
                raise Refused(
                    "`churn deploy` would be refused: see the lines above that begin with REFUSED."
                )
            return
        release = run.deploy(
            shipment,
            _api(settings.deploy.api_url),
            **_files(settings),
            clock=_clock(settings.deploy),
            say=typer.echo,
        )
    typer.echo(f"{release.bundle} runs at {shipment.url} (deployment {release.deployment})")


@deploy_app.command("status")
def deploy_status(
    as_json: Annotated[bool, typer.Option("--json", help="For another program.")] = False,
    profile: ProfileOption = None,
) -> None:
    """List the newest deployments with their bundles."""
    import json

    from sovereign_ml.deploy.rollback import status

    settings = load_settings(profile)
    with _one_line():
        files = _files(settings)
        api, hidden = _api(settings.deploy.api_url), _secrets(settings).values()
        rows = status(api, link=files["link"], releases=files["releases"], hidden=hidden)
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    columns = ("deployment", "status", "created_at", "bundle", "kind", "smoke", "error")
    show(columns, [tuple(str(row[name]) for name in columns) for row in rows])


@deploy_app.command()
def rollback(profile: ProfileOption = None) -> None:
    """Bring back the previous deployment and the variables it was released with."""
    from sovereign_ml.deploy.rollback import rollback as go_back

    settings = load_settings(profile)
    with _one_line():
        release = go_back(
            _api(settings.deploy.api_url),
            **_files(settings),
            service_url=settings.deploy.service_url,
            clock=_clock(settings.deploy),
            say=typer.echo,
            hidden=_secrets(settings).values(),
        )
    typer.echo(f"{release.bundle} runs again (deployment {release.deployment})")


@deploy_app.command("kserve")
def deploy_kserve(profile: ProfileOption = None) -> None:
    """Print the KServe manifests for `kubectl apply -f -`."""
    from sovereign_ml.deploy.kserve import render_kserve

    settings = load_settings(profile)
    table = settings.deploy
    with _one_line():
        text = render_kserve(
            table.slug, table.kserve, table.variables, settings.root / "deploy" / "kserve"
        )
    typer.echo(text, nl=False)


@contextmanager
def _one_line() -> Iterator[None]:
    """Turn a refusal into exit code 1 and a wrong configuration into 2, each with one line."""
    from sovereign_ml.deploy import DeployError

    try:
        yield
    except DeployError as error:
        raise Refused(str(error)) from None
    except ValueError as error:
        raise Misuse(str(error)) from None


def _registered(settings: Settings, version: str) -> Path:
    """Return the bundle of the chosen registry version, fetched below ``build/``."""
    from sovereign_ml.registry import bundle_store

    # Locally nothing is promoted yet, so the newest registered version is used.
    chosen = version or ("candidate" if settings.profile_name == "local" else "production")
    folder = bundle_store.fetch(settings.tracking, chosen, settings.root / "build" / "bundle")
    typer.echo(f"Bundle of version '{chosen}' from the registry {settings.profile.tracking_uri}")
    return folder


def _shipment(settings: Settings, bundle: Path) -> Shipment:
    from sovereign_ml.deploy.send import Shipment
    from sovereign_ml.deploy.stage import stage

    root, table = settings.root, settings.deploy
    staged = stage(
        bundle=bundle,
        serve_dir=root / "serve",
        vendor=root / "vendor",
        serve_lock=root / "requirements" / "serve.lock",
        templates=root / "deploy",
        base_image=table.base_image,
        out=root / "build" / "deploy",
    )
    return Shipment(
        staged=staged,
        name=settings.project.title,
        slug=table.slug,
        variables=table.variables,
        secrets=_secrets(settings),
        service_url=table.service_url,
        api_url=table.api_url,
        cli=table.sota_cli,
    )


def _secrets(settings: Settings) -> dict[str, str]:
    """Return the value of each variable in [deploy] secrets, empty where it is not set."""
    from sovereign_ml.config.settings import ENVIRONMENT

    # Empty ones are refused later, all of them in one message.
    return {name: ENVIRONMENT.get(name, "") for name in settings.deploy.secrets}


def _files(settings: Settings) -> dict[str, Path]:
    """Return the file that names the sota project, and the file of releases."""
    # Both belong in version control: a colleague needs them for a rollback.
    root = settings.root
    return {"link": root / ".sota.json", "releases": root / "deploy" / "releases.json"}


def _clock(table: Deploy) -> Clock:
    from sovereign_ml.deploy.run import Clock

    return Clock(poll_s=table.poll_s, timeout_s=table.timeout_s, smoke_s=table.smoke_s)


def _api(url: str) -> SotaApi:
    from sovereign_ml.config.settings import ENVIRONMENT
    from sovereign_ml.deploy.sota_api import SotaApi
    from sovereign_ml.deploy.transport import Transport

    token = ENVIRONMENT.get("SOTA_API_KEY", "")
    if not token:
        raise Misuse(
            "SOTA_API_KEY is not set: make a key at sota.io and put it into the environment."
        )
    return SotaApi(Transport(url, token, say=typer.echo))
