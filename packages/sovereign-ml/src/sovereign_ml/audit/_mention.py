"""An address at a place in the project, and the payload that its context says it carries."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Payload(StrEnum):
    """What goes to an address, the most sensitive first."""

    PERSONAL_DATA = "personal_data"
    MODEL = "model"
    METADATA = "metadata"
    TELEMETRY = "telemetry"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Mention:
    """``address`` as it stands in ``file`` (relative to the project) at ``line`` (from 1; 0 for the environment)."""

    file: str
    line: int
    key: str
    address: str
    kind: str  # url, host, image, action
    component: str
    carries: tuple[Payload, ...]
    s3_endpoint: str | None = None


_P, _M, _D, _T, _C = Payload
# the first rule that fits decides; a place that says nothing carries metadata
_RULES: tuple[tuple[str, str, tuple[Payload, ...]], ...] = (
    (r"owner_declarations|audit\.waivers", "declaration", ()),
    (r"model_card\.toml|project\.urls|homepage|documentation_url|\bprivacy", "link", ()),
    (r"vulnerability_service", "ci", (_D,)),
    (r"telemetry|analytics|sentry|otel|otlp|posthog|segment|datadog|statsd", "telemetry", (_T,)),
    (r"index.?url|find.?links|requirements|trusted.?host|\bpip\b|proxy", "ci", (_C,)),
    (r"mlflow_s3|artifact", "storage", (_M, _D)),
    (r"mlflow|tracking|registry_uri|wandb|comet|neptune|clearml", "tracking", (_M, _D)),
    (
        r"feast|feature_store|redis|online_store|offline_store|connection_string",
        "feature_store",
        (_P,),
    ),
    (r"database|postgres|decision_log|\bdsn\b|sql", "storage", (_P,)),
    (
        r"s3|bucket|endpoint|\.dvc|remote \"|storage|raw|transactions|customers|input",
        "storage",
        (_P, _M, _D),
    ),
    (r"sota|serv(e|ing|ice)|predict|inference|deploy", "serving", (_P, _M)),
    (r"kfp|kubeflow|pipeline", "compute", (_P, _D)),
    (r"monitor|metrics|grafana|prometheus|loki", "monitoring", (_D,)),
    (r"pre-commit|\.git|repo|uses|include|workflow|woodpecker|Dockerfile|template", "ci", (_C,)),
    (r"allowed_hosts|egress|host|allow", "compute", (_P, _D)),
)


_SCHEMES: tuple[tuple[str, str, tuple[Payload, ...]], ...] = (
    (r"redis", "feature_store", (_P,)),
    (r"postgres|mysql|mongodb|snowflake", "storage", (_P,)),
    (r"(s3|gs|gcs|abfs|wasb|adl|az|r2|b2|hf|gdrive|dbfs|oci)", "storage", (_P, _M, _D)),
)


def context(file: str, key: str, address: str) -> tuple[str, tuple[Payload, ...]]:
    """The component and payload of an address: its key decides, then its scheme, then the file. Else metadata."""
    scheme = address.partition(":")[0].lower()
    by_scheme = [row[1:] for row in _SCHEMES if re.match(row[0], scheme)]
    return (*_match(key), *by_scheme, *_match(file), ("other", (_D,)))[0]


def _match(text: str) -> list[tuple[str, tuple[Payload, ...]]]:
    return [row[1:] for row in _RULES if re.search(row[0], text, re.IGNORECASE)]


def mention(file: str, line: int, key: str, address: str, *, kind: str = "url") -> Mention:
    """A mention whose component and payload follow from where it stands."""
    if kind in ("image", "action"):
        return Mention(
            file, line, key, address, kind, "registry" if kind == "image" else "ci", (Payload.CODE,)
        )
    component, carries = context(file, key, address)
    return Mention(file, line, key, address, kind, component, carries)
