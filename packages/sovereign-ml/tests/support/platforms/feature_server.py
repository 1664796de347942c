"""A double of Feast's feature server on loopback that can be slow, broken or wrong."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loopback import Quiet, listening

Reply = Callable[[list[str]], tuple[int, bytes]]


def answer(
    known: dict[str, dict[str, Any]],
    *,
    redis: bool = False,
    dates: Mapping[str, str] | None = None,
    **status: str,
) -> Reply:
    """What the real server answers for ``known`` customers; ``status`` overrides that of a feature.

    ``dates`` are those of the values of a customer, or of one feature; all others are of this hour.
    With ``redis`` as its store it calls the others too old, by the first second of the epoch.
    """
    of = dates or {}
    hour = datetime.now(UTC).strftime("%Y-%m-%dT%H:00:00Z")
    absent = ("OUTSIDE_MAX_AGE", "1970-01-01T00:00:00Z") if redis else ("NOT_FOUND", hour)

    def reply(customers: list[str]) -> tuple[int, bytes]:
        names = list(next(iter(known.values())))
        results = [
            {
                "values": [known.get(customer, {}).get(name) for customer in customers],
                "statuses": [
                    _status(known, customer, name, status) or absent[0] for customer in customers
                ],
                "event_timestamps": [
                    of.get(name, of.get(one, hour)) if one in known else absent[1]
                    for one in customers
                ],
            }
            for name in names
        ]
        ids = {
            "values": customers,
            "statuses": ["PRESENT"] * len(customers),
            "event_timestamps": [],
        }
        content = {
            "metadata": {"feature_names": ["customer_id", *names]},
            "results": [ids, *results],
        }
        return 200, json.dumps(content).encode()

    return reply


def _status(
    known: dict[str, dict[str, Any]], customer: str, name: str, status: dict[str, str]
) -> str:
    if customer not in known:
        return ""
    return status.get(name, "PRESENT" if known[customer][name] is not None else "NULL_VALUE")


@contextmanager
def feature_server(reply: Reply, *, delay_s: float = 0, drip: bool = False) -> Iterator[str]:
    """The address of a running double."""

    def handle(path: str, _headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        asked = json.loads(body)
        assert path == "/get-online-features"
        assert asked["feature_service"] == "churn_v1"
        return reply(asked["entities"]["customer_id"])

    with answering(handle, delay_s=delay_s, drip=drip) as address:
        yield address


@contextmanager
def answering(
    handle: Callable[[str, Mapping[str, str], bytes], tuple[int, bytes]],
    *,
    delay_s: float = 0,
    drip: bool = False,
    tls: tuple[Path, Path] | None = None,
) -> Iterator[str]:
    """The address of a server that answers a POST with what ``handle`` makes of path, headers and body."""

    class Handler(Quiet):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"]))
            status, body = handle(self.path, self.headers, content)
            time.sleep(delay_s)
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            try:
                for part in [body[i : i + 20] for i in range(0, len(body), 20)] if drip else [body]:
                    self.wfile.write(part)
                    time.sleep(0.1 if drip else 0)
            except OSError:
                return

    with listening(Handler, tls) as address:
        yield address
