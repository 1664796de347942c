"""Switch off telemetry, update checks and announcements of every tool in the stack, in one place.

The values were tried against the locked versions inside a sealed network namespace. Several that are widely
recommended do nothing: MLflow ignores ``DO_NOT_TRACK=1``, BentoML's library calls ignore ``BENTOML_DO_NOT_TRACK=1``,
DVC's update check ignores ``DVC_NO_ANALYTICS``. Children inherit the variables: call ``silence`` before all else.

What no variable can stop, pages that load from outside: see ``sovereign_ml.egress.content_policy``.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from pathlib import Path
from types import MappingProxyType

SWITCHES: Mapping[str, str] = MappingProxyType(
    {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_MODEL_CATALOG_URI": "",  # empty on purpose: any other value is fetched
        "DO_NOT_TRACK": "true",  # MLflow compares with "true"
        "BENTOML_DO_NOT_TRACK": "True",  # "1" silences the CLI only
        "DVC_NO_ANALYTICS": "1",
        "GX_ANALYTICS_ENABLED": "false",
        "ENABLE_HOPSWORKS_USAGE": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
)
"""Forced, whatever the user has set."""

DEFAULTS: Mapping[str, str] = MappingProxyType(
    {
        "DVC_SYSTEM_CONFIG_DIR": str(
            Path(__file__).parent / "quiet" / "dvc"
        ),  # the update check has no variable
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",  # several EU object stores refuse boto's newer default
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
    }
)
"""Set unless the user chose another value: a machine that takes its keys from its instance role needs one."""


def silence(environ: MutableMapping[str, str]) -> None:
    """Write the settings into ``environ`` (normally ``os.environ``) for this process and its children."""
    environ.update(SWITCHES)
    for name, value in DEFAULTS.items():
        environ.setdefault(name, value)
