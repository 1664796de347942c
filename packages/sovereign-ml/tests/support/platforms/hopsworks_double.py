"""A double of the REST server of Hopsworks' online feature store. No Hopsworks server was used for these tests.

It is held to the published contract: route, header, request and answer as ``README_feature_store.md`` of the repository
logicalclocks/rondb documents them (0.1.0, read in November 2026). What the contract does not know is refused: another
route (404), a missing or wrong key (401), an unknown field of the request, store, view or version (400).
"""

from __future__ import annotations

import json
import ssl
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from jsonschema import Draft202012Validator, ValidationError
from pydantic import SecretStr

from feature_server import answering
from loopback import certificate
from sovereign_ml.config.connections import HopsworksPlatform

ROUTE = "/0.1.0/batch_feature_store"
API_KEY = "hw." + "k" * 40
VIEW: dict[str, Any] = {
    "featureStoreName": "acme_featurestore",
    "featureViewName": "customer_snapshot",
    "featureViewVersion": 1,
}
NAMES = ("featureName", "featureType")
OPTIONS = ("validatePassedFeatures", "includeDetailedStatus")
REQUEST = Draft202012Validator(
    {
        "type": "object",
        "required": [*VIEW, "entries"],
        "additionalProperties": False,
        "properties": {
            "featureStoreName": {"type": "string"},
            "featureViewName": {"type": "string"},
            "featureViewVersion": {"type": "integer"},
            "entries": {"type": "array", "minItems": 1, "items": {"type": "object"}},
            "passedFeatures": {"type": "array"},
            "metadataOptions": {
                "propertyNames": {"enum": NAMES},
                "additionalProperties": {"type": "boolean"},
            },
            "options": {
                "propertyNames": {"enum": OPTIONS},
                "additionalProperties": {"type": "boolean"},
            },
        },
    }
)
ANSWER = Draft202012Validator(
    {
        "type": "object",
        "required": ["features", "metadata", "status"],
        "additionalProperties": False,
        "properties": {
            "features": {"type": "array", "items": {"type": ["array", "null"]}},
            "metadata": {
                "type": ["array", "null"],
                "items": {"required": NAMES, "propertyNames": {"enum": NAMES}},
            },
            "status": {"type": "array", "items": {"enum": ["COMPLETE", "MISSING", "ERROR"]}},
            "detailedStatus": {"type": ["array", "null"]},
        },
    }
)


def vectors(known: Mapping[str, Mapping[str, Any]], customers: list[str]) -> dict[str, Any]:
    """The documented answer about ``customers``, of whom the view holds the ``known`` ones."""
    names = list(next(iter(known.values())))
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    kinds = {"customer_id": "string", "event_timestamp": "timestamp"}
    return {
        "features": [
            [one, now, *(known[one][name] for name in names)]
            if one in known
            else [one, *[None] * (len(names) + 1)]
            for one in customers
        ],
        "metadata": [
            {"featureName": name, "featureType": kinds.get(name, "double")}
            for name in (*kinds, *names)
        ],
        "status": ["COMPLETE" if one in known else "MISSING" for one in customers],
        "detailedStatus": [],
    }


@contextmanager
def hopsworks(
    known: Mapping[str, Mapping[str, Any]],
    change: Callable[[dict[str, Any]], Any] | None = None,
    **how: Any,
) -> Iterator[str]:
    """The address of a running double; ``change`` spoils its answer, or returns another status and body."""

    def handle(path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        asked = json.loads(body)
        if path != ROUTE:
            return 404, b"{}"
        if headers.get("x-api-key") != API_KEY:
            return 401, b"Unauthorized"
        try:
            REQUEST.validate(asked)
        except ValidationError:
            return 400, b"Error: unknown field"
        if any(asked[name] != value for name, value in VIEW.items()):
            return 400, b'{"code": 2, "message": "", "reason": "Feature store does not exist."}'
        if any(set(entry) != {"customer_id"} for entry in asked["entries"]):
            return 400, b'{"code": 12, "message": "", "reason": "Incorrect primary key."}'
        answer = vectors(known, [entry["customer_id"] for entry in asked["entries"]])
        ANSWER.validate(answer)
        spoilt = change(answer) if change else None
        return spoilt if isinstance(spoilt, tuple) else (200, json.dumps(answer).encode())

    with answering(handle, **how) as address:
        yield address


CLIENT_KEY = "k" * 16 + "." + "s" * 40
"""The API key of the platform's double, in the form that the client wants."""


@contextmanager
def platform(folder: Path, clients: str | Path, *more: str) -> Iterator[HopsworksPlatform]:
    """Run the double of the whole platform, and yield the server as config.toml would name it.

    It runs in the environment of the client below ``clients``. Its certificate is put into ``folder``.
    """
    pair = certificate(folder, "localhost", datetime.now(UTC) + timedelta(days=1))
    program = Path(__file__).with_name("hopsworks_platform.py")
    python = Path(clients, "hopsworks/bin/python")
    command = [str(python), str(program), *map(str, pair), CLIENT_KEY, *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            port = int(running.stdout.readline() if running.stdout else "")
            yield HopsworksPlatform(
                host="localhost",
                port=port,
                project="acme",
                rest=f"https://localhost:{port}",
                trust_store=str(pair[0]),
                view="customer_snapshot",
                private=folder / "private",
                key=SecretStr(CLIENT_KEY),
            )
        finally:
            running.terminate()


def tell(server: HopsworksPlatform, verb: str, **order: Any) -> dict[str, Any]:
    """Give the platform an order: ``state``, ``expire`` or ``kill``. Return what it holds."""
    context = ssl.create_default_context(cafile=server.trust_store)
    content: dict[str, Any] = httpx.post(
        f"{server.rest}/{verb}", json=order, verify=context, timeout=30
    ).json()
    return content


def knobs(server: HopsworksPlatform) -> dict[str, Any]:
    """What config.toml says for the platform's double."""
    table = {name: getattr(server, name) for name in ("host", "port", "project", "rest")}
    table["trust_store"] = server.trust_store
    named = {f"hopsworks.{name}": value for name, value in table.items()}
    return {"profile.local.online_store": "hopsworks", **named}
