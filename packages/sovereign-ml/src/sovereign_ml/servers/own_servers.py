"""The servers that we run ourselves: MLflow's with its pages, and Feast's feature server."""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Any

from sovereign_ml.config.connections import FeatureStores, ObjectStorage, Tracking, required
from sovereign_ml.config.connections import database as database_of
from sovereign_ml.config.profiles import Secrets
from sovereign_ml.config.settings import ENVIRONMENT
from sovereign_ml.egress.content_policy import Offline
from sovereign_ml.errors import Misuse
from sovereign_ml.servers.token_auth import Door
from sovereign_ml.storage import s3

ADMINISTRATOR = "admin"
MLFLOW_SERVER = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "_MLFLOW_SGI_NAME": "uvicorn",  # as `mlflow server` says it: without it only the Flask routes are guarded
}
AUTH = """[mlflow]
default_permission = NO_PERMISSIONS
database_uri = {database}
auth_cache_ttl_seconds = 60
"""
"""MLflow's own users, in tables beside its runs. Comparing a password stretches a key: once a minute is enough."""


def tracking_pages(tracking: Tracking, port: int) -> None:
    """Serve MLflow's pages on 127.0.0.1 until interrupted. They load nothing from outside.

    Raises Misuse in a profile that has an MLflow server of its own.
    """
    from mlflow.server import constants

    from sovereign_ml.registry.mlflow import tracking_uri

    uri = tracking_uri(tracking)
    if not uri.startswith("sqlite:"):
        raise Misuse(f"Profile '{tracking.profile}' has an MLflow server: open {uri} in a browser.")
    ENVIRONMENT.update(
        {
            constants.BACKEND_STORE_URI_ENV_VAR: uri,
            constants.ARTIFACT_ROOT_ENV_VAR: "mlflow-artifacts:/",
            constants.ARTIFACTS_DESTINATION_ENV_VAR: (tracking.root / ".mlflow/artifacts").as_uri(),
            constants.SERVE_ARTIFACTS_ENV_VAR: "true",
            **MLFLOW_SERVER,
        }
    )
    with warnings.catch_warnings(action="ignore"):  # MLflow's own use of Starlette
        from mlflow.server.fastapi_app import app
    print(f"MLflow on http://127.0.0.1:{port}", file=sys.stderr, flush=True)  # noqa: T201
    _listen(Offline(app), "127.0.0.1", port)


def tracking_server(storage: ObjectStorage, secrets: Secrets, host: str, port: int) -> None:
    """MLflow's server on PostgreSQL, with its own users and permissions, until interrupted.

    Artifacts pass through it to S3: its clients need no S3 key. A user without permission sees nothing.
    """
    from mlflow.server import constants

    s3.announce(storage)
    database = database_of(secrets.tracking_database, "tracking_database").sqlalchemy
    ENVIRONMENT.update(
        {
            constants.BACKEND_STORE_URI_ENV_VAR: database,
            constants.ARTIFACT_ROOT_ENV_VAR: "mlflow-artifacts:/",
            constants.ARTIFACTS_DESTINATION_ENV_VAR: storage.address("mlflow"),
            constants.SERVE_ARTIFACTS_ENV_VAR: "true",
            "MLFLOW_S3_ENDPOINT_URL": storage.endpoint,
            **MLFLOW_SERVER,
        }
    )
    ENVIRONMENT.setdefault("MLFLOW_SERVER_ALLOWED_HOSTS", f"localhost:{port},127.0.0.1:{port}")
    ENVIRONMENT.setdefault(
        "MLFLOW_FLASK_SERVER_SECRET_KEY", token_hex(32)
    )  # of the form for a new user
    _listen(Offline(_with_users(secrets, database)), host, port)


def _with_users(given: Secrets, database: str) -> Any:
    """The app of `mlflow server --app-name basic-auth`, whose administrator and pipeline have the passwords of now."""
    from mlflow.exceptions import MlflowException

    users = {
        ADMINISTRATOR: given.need("tracking_admin"),
        given.user: given.need("tracking_password"),
    }
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    ENVIRONMENT.update(
        MLFLOW_AUTH_ADMIN_USERNAME=ADMINISTRATOR, MLFLOW_AUTH_ADMIN_PASSWORD=users[ADMINISTRATOR]
    )
    auth = _auth_module(database)
    try:
        app = auth.create_app()
        for name, password in users.items():
            (auth.store.update_user if auth.store.has_user(name) else auth.store.create_user)(
                name, password
            )
    except MlflowException as error:
        raise Misuse(f"MLflow's server does not start: {str(error).splitlines()[0]}") from None
    return app


def _auth_module(database: str) -> Any:
    """It reads its settings from a file while it is imported; the file holds a password and is gone afterwards."""
    with TemporaryDirectory() as folder:  # for its owner only
        path = Path(folder) / "auth.ini"
        path.write_text(AUTH.format(database=database.replace("%", "%%")), encoding="utf-8")
        ENVIRONMENT["MLFLOW_AUTH_CONFIG_PATH"] = str(path)
        from mlflow.server import auth

    return auth


def features(stores: FeatureStores, folder: Path, host: str, port: int) -> None:
    """Serve the app of `feast serve` until interrupted; only the look-up can be reached.

    ``folder`` is the artifact of step 3: with SQLite, registry and values lie beside the snapshots.
    """
    from feast.feature_server import get_app
    from feast.permissions.server.utils import (
        AuthManagerType,
        ServerType,
        init_auth_manager,
        init_security_manager,
    )

    from sovereign_ml.features import feast

    password = required(stores.token, "feature_token")
    with TemporaryDirectory() as elsewhere:
        store = feast.open_store(folder if stores.online == "sqlite" else Path(elsewhere), stores)
        init_security_manager(auth_type=AuthManagerType.NONE, fs=store)
        init_auth_manager(ServerType.REST, AuthManagerType.NONE, store.config.auth_config)
        try:
            closed = Door(
                get_app(store), password, only=("/get-online-features",), open_to_all=("/health",)
            )
        except ValueError as error:
            raise Misuse(str(error)) from None
        _listen(closed, host, port)


def _listen(app: Any, host: str, port: int) -> None:
    import uvicorn

    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False)
