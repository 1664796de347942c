"""The two servers that we run ourselves in the profile eu: MLflow's, and Feast's feature server. Both closed."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from churn.errors import Misuse
from churn.settings import ENVIRONMENT, Settings
from churn.tools import s3
from sovereign.door import Door


def tracking(settings: Settings, host: str, port: int) -> None:
    """MLflow's server on PostgreSQL until interrupted. Artifacts pass through it to S3: its clients need no S3 key."""
    from mlflow.server import constants

    s3.announce(settings)
    database = settings.secrets.need("tracking_database").replace("postgresql://", "postgresql+psycopg://", 1)
    ENVIRONMENT.update(
        {
            constants.BACKEND_STORE_URI_ENV_VAR: database,
            constants.ARTIFACT_ROOT_ENV_VAR: "mlflow-artifacts:/",
            constants.ARTIFACTS_DESTINATION_ENV_VAR: settings.s3.address("mlflow"),
            constants.SERVE_ARTIFACTS_ENV_VAR: "true",
            "MLFLOW_S3_ENDPOINT_URL": settings.s3.endpoint,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
    )
    ENVIRONMENT.setdefault("MLFLOW_SERVER_ALLOWED_HOSTS", f"localhost:{port},127.0.0.1:{port}")
    from mlflow.server.fastapi_app import app

    _listen(app, settings.secrets.need("tracking_password"), host, port, open_to_all=("/health",))


def features(settings: Settings, host: str, port: int) -> None:
    """The feature server until interrupted: the app of `feast serve`, of which only the look-up can be reached."""
    from feast.feature_server import get_app
    from feast.permissions.server.utils import AuthManagerType, ServerType, init_auth_manager, init_security_manager

    from churn.tools import feast

    password = settings.secrets.need("feature_token")
    with TemporaryDirectory() as elsewhere:
        beside = settings.profile.online_store == "sqlite"  # then registry and values lie beside the snapshots
        store = feast.store(settings.path("features") if beside else Path(elsewhere), settings)
        init_security_manager(auth_type=AuthManagerType.NONE, fs=store)
        init_auth_manager(ServerType.REST, AuthManagerType.NONE, store.config.auth_config)
        _listen(get_app(store), password, host, port, only=("/get-online-features",), open_to_all=("/health",))


def _listen(app: Any, password: str, host: str, port: int, **paths: tuple[str, ...]) -> None:
    import uvicorn

    try:
        closed = Door(app, password, **paths)
    except ValueError as error:
        raise Misuse(str(error)) from None
    uvicorn.run(closed, host=host, port=port, log_level="warning", access_log=False)
