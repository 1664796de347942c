"""Hopsworks as an online store: a copy of the newest snapshots, for the service and colleagues.

The offline side stays DuckDB over the project's Parquet files. The client is for writing and runs
in an environment of its own. Reading is Hopsworks' REST server, by which the service looks up too.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sovereign_ml.config.connections import HopsworksPlatform, required
from sovereign_ml.decisions import hopsworks_look_up
from sovereign_ml.decisions.hopsworks_look_up import AS_OF, KEY
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.supply_chain import client_environment

PROGRAM = Path(__file__).with_name("hopsworks_client.py")
VERSION = 1
"""Version of the feature group and of the feature view."""
AT_ONCE = 200
WAIT_S = 120
"""How long written and deleted rows may take until they can be read."""
Row = dict[str, Any]


def publish(
    server: HopsworksPlatform, snapshots: Path, as_of: str, features: Sequence[str], ttl_days: int
) -> int:
    """Write the snapshots of the day ``as_of``, read all back, and return the customers.

    The server removes a row ``ttl_days`` after its day. Raises Refused where what is read differs
    from what was written after `WAIT_S` seconds.
    """
    expected = _expected(snapshots, as_of, features)
    job = {"path": str(snapshots.absolute()), "as_of": as_of, "features": list(features)}
    _ask(server, do="publish", ttl_days=ttl_days, **job)
    ends = time.monotonic() + WAIT_S
    remaining = dict(expected)
    while remaining := _differing(remaining, look_up(server, list(remaining))):
        if time.monotonic() > ends:
            raise Refused(
                f"{len(remaining):,} of {len(expected):,} customers cannot be read back from "
                "Hopsworks as they were written. Its OnlineFS may be slow: "
                "`churn servers parity` compares again."
            )
        time.sleep(1)
    return len(expected)


def look_up(server: HopsworksPlatform, customers: Sequence[str]) -> dict[str, Row]:
    """Return what the online store has of each customer. One that it does not know is absent.

    Raises Misuse where the server does not answer, or answers anything else than it documents.
    """
    import httpx

    context: ssl.SSLContext | bool = True
    if server.rest.startswith("https"):
        file = server.trust_store
        context = ssl.create_default_context(cafile=file) if file else httpx.create_ssl_context()
    headers = {"x-api-key": required(server.key, "hopsworks_key")}
    store = f"{server.project}_featurestore"
    known: dict[str, Row] = {}
    try:
        with httpx.Client(
            base_url=server.rest, headers=headers, trust_env=False, verify=context, timeout=30
        ) as api:
            for part in _parts(customers):
                body = hopsworks_look_up.request(store, server.view, VERSION, part)
                response = api.post(hopsworks_look_up.PATH, json=body)
                # Before the first publication there is no view, so it has nobody.
                if response.status_code == 400 and "does not exist" in response.text:
                    return {}
                response.raise_for_status()
                rows = hopsworks_look_up.rows(response.json(), part)
                known |= {
                    name: row for name, row in zip(part, rows, strict=True) if row is not None
                }
    except httpx.HTTPStatusError as error:
        raise Misuse(
            f"Hopsworks' REST server {server.rest}: {error.response.status_code}. "
            "Check CHURN_HOPSWORKS_API_KEY, [hopsworks] project and rest."
        ) from None
    except httpx.HTTPError as error:
        raise Misuse(
            f"Hopsworks' REST server {server.rest} does not answer: "
            f"{str(error) or type(error).__name__}."
        ) from None
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Misuse(
            f"Hopsworks' REST server {server.rest} answers anything else than it documents. "
            "Nothing was concluded from it."
        ) from None
    return known


def remove(server: HopsworksPlatform, people: Sequence[str]) -> bool:
    """Delete the rows of ``people``, and return whether the look-up then knows none of them."""
    _ask(server, do="remove", people=list(people))
    ends = time.monotonic() + WAIT_S
    while look_up(server, people):
        if time.monotonic() > ends:
            return False
        time.sleep(1)
    return True


def messages(server: HopsworksPlatform, people: Sequence[str]) -> tuple[str, int]:
    """Return the Kafka topic of the rows, and how many messages in it are about ``people``."""
    answer = _ask(server, do="messages", people=list(people))
    return str(answer["topic"]), int(answer["count"])


def _parts(customers: Sequence[str]) -> list[list[str]]:
    return [list(customers[i : i + AT_ONCE]) for i in range(0, len(customers), AT_ONCE)]


def _expected(snapshots: Path, as_of: str, features: Sequence[str]) -> dict[str, Row]:
    import pandas as pd

    rows = pd.read_parquet(snapshots, columns=[KEY, AS_OF, *features])
    rows = rows[rows[AS_OF] == pd.Timestamp(as_of)]
    day = pd.Timestamp(as_of).strftime("%Y-%m-%d")
    expected: dict[str, Row] = {}
    for row in rows.to_dict("records"):
        values = {name: None if pd.isna(row[name]) else row[name] for name in features}
        expected[str(row[KEY])] = {**values, AS_OF: day}
    return expected


def _differing(expected: Mapping[str, Row], known: Mapping[str, Row]) -> dict[str, Row]:
    """Return the customers whose row is absent or differs in a value or in its day."""
    return {
        customer: row
        for customer, row in expected.items()
        if customer not in known or not _same(row, known[customer])
    }


def _same(row: Row, read: Row) -> bool:
    return str(read[AS_OF])[:10] == row[AS_OF] and all(
        read[name] == value for name, value in row.items() if name != AS_OF
    )


def _ask(server: HopsworksPlatform, **more: Any) -> Any:
    if not (server.host and server.project and server.rest):
        raise Misuse(
            "online_store is 'hopsworks', and config.toml does not say where: set host, project "
            "and rest in [hopsworks]."
        )
    job = {
        "host": server.host,
        "port": server.port,
        "project": server.project,
        "trust_store": server.trust_store,
        "view": server.view,
        "version": VERSION,
        "key": required(server.key, "hopsworks_key"),
        **more,
    }
    hosts = [server.host, urlsplit(server.rest).hostname or ""]
    folder = server.private
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700, parents=True)
    return client_environment.ask("hopsworks", PROGRAM, job, hosts, within=folder)
