"""A double of Hopsworks for its own client. No Hopsworks server was used for these tests.

It is a program for the environment of the client: the API over TLS, Kafka by the mock broker of
librdkafka, OnlineFS by a reader of the topic that applies rows and deletions to a table, and the
REST server of the online store on that table. Routes and answers are those that the client's own
fixtures record (repository logicalclocks/hopsworks-api, ``python/tests/fixtures``). Another route,
a wrong key and another project are refused.

    python hopsworks_platform.py CERTIFICATE KEY API_KEY [reads-nothing | deletes-nothing]

prints its port. ``GET /state`` returns the table, the requests and the schema. ``POST /expire`` ends the retention of the
topic. ``POST /kill`` with ``{"path": ..., "group": ...}`` kills that process group when the path is next asked for.
"""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import ssl
import sys
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from confluent_kafka import Consumer, Producer
from fastavro import parse_schema, schemaless_reader

CERTIFICATE, KEY, API_KEY = sys.argv[1:4]
FAULT = sys.argv[4:]
PROJECT, STORE = "acme", 67
STORES = f"/project/119/featurestores/{STORE}"
AVRO = {
    "string": "string",
    "double": "double",
    "timestamp": {"type": "long", "logicalType": "timestamp-micros"},
}
groups: dict[str, dict[str, Any]] = {}
views: dict[str, dict[str, Any]] = {}
table: dict[str, dict[str, Any]] = {}
requests: list[str] = []
brokers: list[Producer] = []
"""Kafka, and before it those whose messages are past their retention."""
doomed: dict[str, int] = {}
"""Process group that ends when a path is asked for."""


def start_kafka() -> None:
    """Start a broker without any message. It replaces the one before."""
    brokers.append(Producer({"test.mock.num.brokers": 1, "log_level": 0}))


def bootstrap() -> str:
    """Return the address of the broker."""
    (broker,) = brokers[-1].list_topics(timeout=20).brokers.values()
    return f"{broker.host}:{broker.port}"


def schema() -> dict[str, Any]:
    """Return the Avro schema of the feature group: every field but the key may be null."""
    (group,) = groups.values()
    fields = [{"name": f["name"], "type": ["null", AVRO[f["type"]]]} for f in group["features"]]
    return {"type": "record", "name": group["name"], "fields": fields}


def online_fs(topic: str) -> None:
    """Apply every message of ``topic`` to the table, as OnlineFS does."""
    settings = {"bootstrap.servers": bootstrap(), "group.id": "onlinefs", "log_level": 0}
    consumer = Consumer({**settings, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    while True:
        message = consumer.poll(0.2)
        if message is None or message.error():
            continue
        headers = dict(message.headers() or [])
        if headers.get("storage") == b"offline":
            continue
        row = schemaless_reader(io.BytesIO(message.value()), parse_schema(schema()), None)
        if headers.get("operation") == b"delete":
            if FAULT != ["deletes-nothing"]:
                table.pop(row["customer_id"], None)
        else:
            table[row["customer_id"]] = row


def follow(topic: str) -> None:
    """Start OnlineFS on ``topic``, unless this platform applies nothing."""
    if FAULT != ["reads-nothing"]:
        threading.Thread(target=online_fs, args=[topic], daemon=True).start()


def control(path: str, body: str) -> Any:
    """Answer a request of the tests."""
    if path == "/expire":
        start_kafka()
        for group in groups.values():
            follow(group["onlineTopicName"])
    elif path == "/kill":
        order = json.loads(body)
        doomed[order["path"]] = order["group"]
    return {"table": list(table), "requests": requests, "groups": groups}


def answer(method: str, path: str, body: str) -> Any:
    """Return the answer, or a pair of status and answer, or None for an unknown route."""
    fixed = {
        "/variables/versions": [{"software": "hopsworks", "version": "5.2.1"}],
        f"/project/getProjectInfo/{PROJECT}": {"projectId": 119, "projectName": PROJECT},
        "/project": [{"user": {"username": "meb10000"}}],
        "/project/119/credentials": {
            **dict.fromkeys(("kStore", "tStore"), base64.b64encode(b"store").decode()),
            **dict.fromkeys(("password", "caChain", "clientCert", "clientKey"), "secret"),
        },
        f"{STORES}/storageconnectors/kafka_connector/byok": {
            "type": "featurestoreKafkaConnectorDTO",
            "featurestoreId": STORE,
            "id": 1,
            "name": "kafka_connector",
            "storageConnectorType": "KAFKA",
            "bootstrapServers": bootstrap(),
            "securityProtocol": "PLAINTEXT",
            "sslEndpointIdentificationAlgorithm": "",
            "options": [],
            "externalKafka": True,
        },
    }
    if method == "GET" and path in fixed:
        return fixed[path]
    if method == "GET" and path in (STORES, f"/project/119/featurestores/{PROJECT}_featurestore"):
        numbers = dict.fromkeys(
            ("numFeatureGroups", "numTrainingDatasets", "numStorageConnectors", "numFeatureViews"),
            0,
        )
        names = {"projectName": PROJECT, "projectId": 119, "onlineEnabled": True}
        store = {"featurestoreId": STORE, "featurestoreName": f"{PROJECT}_featurestore"}
        more = {"offlineFeaturestoreName": f"{PROJECT}_featurestore", "created": "2026-11-01"}
        return {**store, **names, **numbers, **more, "onlineFeaturestoreName": PROJECT}
    if path.startswith(f"{STORES}/featuregroups"):
        return feature_groups(method, path.removeprefix(f"{STORES}/featuregroups"), body)
    if path.startswith(f"{STORES}/featureview"):
        return feature_views(method, path.removeprefix(f"{STORES}/featureview"), body)
    if path.startswith(f"{STORES}/kafka/subjects/"):
        return {"id": 3, "schema": json.dumps(schema()), "version": 1}
    return None


def feature_groups(method: str, path: str, body: str) -> Any:
    """Answer below ``featuregroups``."""
    if method == "POST" and not path:
        group = json.loads(body)
        topic = f"119_15_{group['name']}_{group['version']}_onlinefs"
        group |= {"id": 15, "onlineTopicName": topic, "created": "2026-11-01T00:00:00Z"}
        groups[group["name"]] = group
        follow(topic)
        return group
    if path.endswith("/expectationsuite"):
        return {"count": 0, "items": []}
    if method == "POST" and path == "/15/online_ingestion":
        return {**json.loads(body), "id": 5}
    name = path.strip("/")
    if method == "GET" and name in groups:
        return [groups[name]]
    return 404, {"errorCode": 270009, "errorMsg": "Featuregroup wasn't found."}


def feature_views(method: str, path: str, body: str) -> Any:
    """Answer below ``featureview``."""
    if method == "POST" and not path:
        view = json.loads(body)
        views[view["name"]] = {**view, "id": 8}
        return views[view["name"]]
    if method == "GET" and path.endswith("/preparedstatement"):
        return {"count": 0, "items": []}
    name = path.strip("/").split("/")[0]
    if method == "GET" and name in views:
        return views[name]
    return 404, {"errorCode": 270181, "errorMsg": "Feature view wasn't found."}


def vectors(body: str) -> Any:
    """Answer the look-up of the online store's REST server."""
    asked = json.loads(body)
    if (
        asked["featureStoreName"] != f"{PROJECT}_featurestore"
        or asked["featureViewName"] not in views
    ):
        return 400, {"code": 2, "message": "", "reason": "Feature view does not exist."}
    names = [field["name"] for field in schema()["fields"]]
    customers = [entry["customer_id"] for entry in asked["entries"]]
    rows = [table.get(customer) for customer in customers]
    return {
        "metadata": [{"featureName": name, "featureType": "string"} for name in names],
        "features": [
            [readable(row[name]) for name in names] if row else [c, *[None] * (len(names) - 1)]
            for c, row in zip(customers, rows, strict=True)
        ],
        "status": ["COMPLETE" if row else "MISSING" for row in rows],
        "detailedStatus": [],
    }


def readable(value: Any) -> Any:
    """Return a value as the REST server writes it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    return value


class Handler(BaseHTTPRequestHandler):
    """The API and the REST server on one port."""

    def log_message(self, *_: Any) -> None:
        """Stay quiet."""

    def _do(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        path = urlsplit(self.path).path
        requests.append(f"{self.command} {path} {body}")
        for end in [end for end in doomed if path.endswith(end)]:
            os.killpg(doomed.pop(end), signal.SIGKILL)
        if path in ("/state", "/expire", "/kill"):
            content: Any = control(path, body)
        elif path == "/0.1.0/batch_feature_store":
            good = self.headers.get("x-api-key") == API_KEY
            content = vectors(body) if good else (401, {"code": 1, "reason": "Unauthorized"})
        elif self.headers.get("authorization") != f"ApiKey {API_KEY}":
            content = 401, {"errorCode": 320003, "errorMsg": "Api key not found"}
        else:
            content = answer(self.command, path.removeprefix("/hopsworks-api/api"), body)
            content = content or (404, {"errorCode": 120001, "errorMsg": f"No route {path}"})
        status, content = content if isinstance(content, tuple) else (200, content)
        text = json.dumps(content, default=str).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self) -> None:
        """Answer a GET."""
        self._do()

    def do_POST(self) -> None:
        """Answer a POST."""
        self._do()


def main() -> None:
    """Serve until the process is ended."""
    start_kafka()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, KEY)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
