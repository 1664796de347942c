"""MLflow's own server application over the store of a project, in this process, and the variables of a tracked job."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

from werkzeug.serving import make_server

from sovereign_ml.registry import mlflow

KEY = bytes(range(32))


@contextmanager
def mlflow_server(project: Any) -> Iterator[str]:
    """MLflow's own server application over the store of ``project``, in this process."""
    from mlflow.server import app, handlers

    handlers._tracking_store = handlers._get_tracking_store(
        mlflow.tracking_uri(project.tracking), (project.root / ".mlflow/artifacts").as_uri()
    )
    server = make_server("127.0.0.1", 0, app, threaded=True)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        handlers._tracking_store = None


def variables(address: str) -> dict[str, str]:
    return {"MLFLOW_TRACKING_URI": address, "BOTH_TRACKS_KEY": KEY.hex()}
