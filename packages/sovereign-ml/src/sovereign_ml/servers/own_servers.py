"""Servers that a project runs itself: MLflow with its pages, and Feast's feature server."""

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
AUTH = """[mlflow]
default_permission = NO_PERMISSIONS
database_uri = {database}
auth_cache_ttl_seconds = 60
"""
"""Settings of MLflow's own users, whose tables lie in the database of the runs.

Passwords are hashed slowly on purpose, so that a result is cached for a minute.
"""


def tracking_pages(tracking: Tracking, port: int) -> None:
    """Serve MLflow's pages on 127.0.0.1 until interrupted. They load nothing from outside.

    Raises Misuse in a profile that has an MLflow server of its own.
    """
    from sovereign_ml.registry.mlflow import tracking_uri

    uri = tracking_uri(tracking)
    if not uri.startswith("sqlite:"):
        raise Misuse(f"Profile '{tracking.profile}' has an MLflow server: open {uri} in a browser.")
    _configure_mlflow(uri, (tracking.root / ".mlflow/artifacts").as_uri())
    with warnings.catch_warnings(action="ignore"):  # MLflow's own use of Starlette
        from mlflow.server.fastapi_app import app
    print(f"MLflow on http://127.0.0.1:{port}", file=sys.stderr, flush=True)  # noqa: T201
    _listen(Offline(app), "127.0.0.1", port)


def tracking_server(storage: ObjectStorage, secrets: Secrets, host: str, port: int) -> None:
    """Serve MLflow on PostgreSQL, with its own users and permissions, until interrupted.

    Artifacts pass through the server to S3, so its clients need no S3 key. A user without a
    permission sees nothing.
    """
    s3.announce(storage)
    database = database_of(secrets.tracking_database, "tracking_database").sqlalchemy
    _configure_mlflow(database, storage.address("mlflow"))
    ENVIRONMENT["MLFLOW_S3_ENDPOINT_URL"] = storage.endpoint
    ENVIRONMENT.setdefault("MLFLOW_SERVER_ALLOWED_HOSTS", f"localhost:{port},127.0.0.1:{port}")
    # MLflow signs its form for new users with this key.
    ENVIRONMENT.setdefault("MLFLOW_FLASK_SERVER_SECRET_KEY", token_hex(32))
    _listen(Offline(_with_users(secrets, database)), host, port)


def _configure_mlflow(database: str, artifacts: str) -> None:
    """Write the settings of MLflow's server: address of the database, address of the artifacts."""
    from mlflow.server import constants

    ENVIRONMENT.update(
        {
            constants.BACKEND_STORE_URI_ENV_VAR: database,
            constants.ARTIFACT_ROOT_ENV_VAR: "mlflow-artifacts:/",
            constants.ARTIFACTS_DESTINATION_ENV_VAR: artifacts,
            constants.SERVE_ARTIFACTS_ENV_VAR: "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            # `mlflow server` sets this too. Without it only the Flask routes ask for a password.
            "_MLFLOW_SGI_NAME": "uvicorn",
        }
    )


def _with_users(secrets: Secrets, database: str) -> Any:
    """Return the app of `mlflow server --app-name basic-auth`.

    The administrator and the pipeline's user get the passwords of ``secrets``, also where they had
    others before.
    """
    from mlflow.exceptions import MlflowException

    users = {
        ADMINISTRATOR: secrets.need("tracking_admin"),
        secrets.user: secrets.need("tracking_password"),
    }
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    ENVIRONMENT.update(
        MLFLOW_AUTH_ADMIN_USERNAME=ADMINISTRATOR, MLFLOW_AUTH_ADMIN_PASSWORD=users[ADMINISTRATOR]
    )
    auth = _auth_module(database)
    try:
        app = auth.create_app()
        for name, password in users.items():
            exists = auth.store.has_user(name)
            write = auth.store.update_user if exists else auth.store.create_user
            write(name, password)
    except MlflowException as error:
        raise Misuse(f"MLflow's server does not start: {str(error).splitlines()[0]}") from None
    return app


def _auth_module(database: str) -> Any:
    """Import MLflow's module of users, which reads its settings from a file while it is imported.

    The file holds a password. It lies in a folder for its owner only, which is deleted at once.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "auth.ini"
        # configparser takes a single % for the start of a reference.
        path.write_text(AUTH.format(database=database.replace("%", "%%")), encoding="utf-8")
        ENVIRONMENT["MLFLOW_AUTH_CONFIG_PATH"] = str(path)
        from mlflow.server import auth

    return auth


def features(stores: FeatureStores, folder: Path, host: str, port: int) -> None:
    """Serve the app of `feast serve` until interrupted. Only the look-up can be reached.

    ``folder`` is the artifact of step 3: with SQLite, registry and values lie next to the
    snapshots. Raises Misuse where the password is too short.
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
