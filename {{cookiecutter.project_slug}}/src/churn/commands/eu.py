"""churn tracking-server, feature-server, materialise, parity, doctor, submit: what the profile eu adds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from churn.settings import Settings

app = typer.Typer()
PANEL = "The profile eu"
ProfileOption = Annotated[str | None, typer.Option(help="local or eu; default: CHURN_PROFILE, else local.")]
HostOption = Annotated[str, typer.Option(help="The address to listen on.")]
PortOption = Annotated[int, typer.Option(min=1, max=65535)]


def _settings(profile: str | None) -> Settings:
    from churn import settings

    settings.pass_on(profile=profile)
    return settings.load()


@app.command("tracking-server", rich_help_panel=PANEL)
def tracking_server(host: HostOption = "127.0.0.1", port: PortOption = 5000, profile: ProfileOption = None) -> None:
    """Run MLflow's server on PostgreSQL and S3, behind MLFLOW_TRACKING_PASSWORD."""
    from churn.tools import servers

    servers.tracking(_settings(profile), host, port)


@app.command("feature-server", rich_help_panel=PANEL)
def feature_server(host: HostOption = "127.0.0.1", port: PortOption = 6566, profile: ProfileOption = None) -> None:
    """Run Feast's feature server, behind FEATURE_STORE_TOKEN; only the look-up can be reached."""
    from churn.tools import servers

    servers.features(_settings(profile), host, port)
