"""Settings that switch off telemetry, update checks and announcements of every tool used.

The values were tested with the locked versions inside a sealed network namespace. Several that are
widely recommended do nothing: MLflow ignores ``DO_NOT_TRACK=1``, BentoML's library calls ignore
``BENTOML_DO_NOT_TRACK=1``, DVC's update check ignores ``DVC_NO_ANALYTICS``. Child processes inherit
the variables, so call ``silence`` first.

No variable stops a page that loads from outside: see ``sovereign_ml.egress.content_policy``.
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
"""Settings that replace those of the user."""

DEFAULTS: Mapping[str, str] = MappingProxyType(
    {
        # DVC's update check has no variable, only a configuration file.
        "DVC_SYSTEM_CONFIG_DIR": str(Path(__file__).parent / "quiet" / "dvc"),
        "AWS_EC2_METADATA_DISABLED": "true",
        # Several EU object stores refuse boto's newer default.
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
    }
)
"""Settings for variables that the user has not set.

A machine that takes its keys from its instance role sets AWS_EC2_METADATA_DISABLED itself.
"""


def silence(environ: MutableMapping[str, str]) -> None:
    """Write the settings into ``environ``, normally ``os.environ``, also for child processes."""
    environ.update(SWITCHES)
    for name, value in DEFAULTS.items():
        environ.setdefault(name, value)
