"""Publishing at Hopsworks by its real client, against a double: written, read back, erased, expired."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from hopsworks_double import CLIENT_KEY, platform, tell
from loopback import certificate
from sovereign_ml.config.connections import HopsworksPlatform
from sovereign_ml.config.other_platforms import HopsworksSettings
from sovereign_ml.config.retention_periods import RetentionPeriod
from sovereign_ml.config.settings import ENVIRONMENT
from sovereign_ml.data_subjects.retention_servers import PublishedFeatures
from sovereign_ml.data_subjects.stores.hopsworks_rows import PublishedRows
from sovereign_ml.decisions import hopsworks_look_up
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.features import hopsworks

CLIENTS = ENVIRONMENT.get("SHIPPED_ENVIRONMENTS", "")
ANNA, BERT, CARL = "a" * 32, "b" * 32, "c" * 32
DAY, BEFORE = "2026-06-30", "2024-01-31"
FEATURES = ("recency_days", "category")


@pytest.fixture(autouse=True)
def _clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENVIRONMENT, "CHURN_CLIENTS", CLIENTS)


@pytest.fixture
def snapshots(tmp_path: Path) -> Path:
    """Two customers of the day, one of whom lacks a value, and one of long ago."""
    path = tmp_path / "snapshots.parquet"
    days = pd.to_datetime([DAY, DAY, BEFORE]).as_unit("us")
    columns = {"recency_days": [1.5, None, 3.0], "category": ["tea", None, "tea"]}
    rows = {"customer_id": [ANNA, BERT, CARL], "event_timestamp": days, **columns}
    pd.DataFrame(rows).to_parquet(path, index=False)
    return path


def test_rows_are_published_read_back_erased_and_expired(
    tmp_path: Path, snapshots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(shared))
    with platform(tmp_path, CLIENTS) as server:
        store = PublishedRows(server)
        assert store.find([ANNA]) == [], "nothing was published"
        assert hopsworks.publish(server, snapshots, DAY, FEATURES, 730) == 2
        known = hopsworks.look_up(server, [ANNA, BERT, CARL])
        assert {c: [row[name] for name in FEATURES] for c, row in known.items()} == {
            ANNA: [1.5, "tea"],
            BERT: [None, None],
        }
        (group,) = tell(server, "state")["groups"].values()
        assert (group["onlineEnabled"], group["timeTravelFormat"]) == (True, "NONE")
        assert (group["ttl"], group["statisticsConfig"]["enabled"]) == (730 * 86400, False)

        traces = store.find([ANNA])
        assert [(t.action, t.count) for t in traces] == [("rows removed", 1), ("by hand", 1)]
        store.remove([ANNA], traces)
        assert set(hopsworks.look_up(server, [ANNA, BERT])) == {BERT}
        # The deletion is a message about the person too, and only the topic's retention ends both.
        (left,) = store.find([ANNA])
        assert (left.action, left.count, left.unit) == ("by hand", 2, "messages")
        assert "119_15_customer_snapshot_1_onlinefs" in left.place
        assert ANNA not in left.place
        store.remove([ANNA], [*traces, left])
        assert store.find([ANNA]) == [left], "another deletion would be another message about her"

        rule = RetentionPeriod(period="P24M", start="cut_off")
        keeper = PublishedFeatures("features", rule, tmp_path, server, tmp_path)
        assert keeper.due(datetime(2026, 11, 27, tzinfo=UTC)) == [], "Carl was never published"
        (due,) = keeper.due(datetime(2028, 11, 27, tzinfo=UTC))
        assert (due.place, due.count) == ("Hopsworks", 1)
        keeper.expire([due])
        assert tell(server, "state")["table"] == []
        assert list(shared.iterdir()) == [], "nothing was in the shared temporary folder"
        assert list(server.private.iterdir()) == [], "the keys of the project are gone"
        assert server.private.stat().st_mode & 0o777 == 0o700


def test_what_is_not_read_back_is_refused(
    tmp_path: Path, snapshots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hopsworks, "WAIT_S", 1)
    with platform(tmp_path, CLIENTS, "reads-nothing") as server:
        with pytest.raises(Refused, match="2 of 2 customers cannot be read back"):
            hopsworks.publish(server, snapshots, DAY, FEATURES, 730)
        wrong = replace(server, key=type(server.key)("no"))  # type: ignore[misc]
        with pytest.raises(Misuse, match="refuses the key: check CHURN_HOPSWORKS_API_KEY"):
            hopsworks.messages(wrong, [ANNA])
        with pytest.raises(Misuse, match="401"):
            hopsworks.look_up(wrong, [ANNA])
        (tmp_path / "other").mkdir()
        other = certificate(tmp_path / "other", "localhost", datetime.now(UTC))
        distrusts = replace(server, trust_store=str(other[0]))
        before = len(tell(server, "state")["requests"])
        with pytest.raises(Misuse, match="no authority that this machine trusts"):
            hopsworks.messages(distrusts, [ANNA])
        with pytest.raises(Misuse, match="does not answer"):
            hopsworks.look_up(distrusts, [ANNA])
        assert len(tell(server, "state")["requests"]) == before + 1, "no request came with the key"
        away = replace(server, port=9, rest="http://127.0.0.1:9")
        with pytest.raises(Misuse, match="Hopsworks"):
            hopsworks.remove(away, [ANNA])


def test_the_double_of_the_platform_refuses_what_the_client_never_asks(tmp_path: Path) -> None:
    with platform(tmp_path, CLIENTS) as server:
        context = ssl.create_default_context(cafile=server.trust_store)
        key = {"authorization": f"ApiKey {CLIENT_KEY}"}
        with httpx.Client(base_url=f"{server.rest}/hopsworks-api/api", verify=context) as api:
            statuses = [
                api.get(path, headers=headers).status_code
                for path, headers in (
                    ("/variables/versions", key),
                    ("/variables/versions", {}),
                    ("/project/getProjectInfo/other", key),
                    ("/project/119/dataset", key),
                )
            ]
    assert statuses == [200, 401, 404, 404]


def test_a_row_that_the_look_up_still_has_stays_on_the_receipt(
    tmp_path: Path, snapshots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with platform(tmp_path, CLIENTS, "deletes-nothing") as server:
        hopsworks.publish(server, snapshots, DAY, FEATURES, 730)
        monkeypatch.setattr(hopsworks, "WAIT_S", 1)
        store = PublishedRows(server)
        before = store.find([ANNA])
        store.remove([ANNA], before)
        (row, _) = store.find([ANNA])
        assert row == before[0], "so the erasure ends as incomplete and the next call goes on"


def test_a_server_that_is_not_named_is_one_line(tmp_path: Path, snapshots: Path) -> None:
    empty = HopsworksPlatform("", 443, "", "", "", "customer_snapshot", tmp_path)
    with pytest.raises(Misuse, match=r"set host, project and rest in \[hopsworks\]"):
        hopsworks.publish(empty, snapshots, DAY, FEATURES, 730)


Spoil = Callable[[dict[str, Any]], Any]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda answer: answer | {"features": answer["features"][:1]},
        lambda answer: answer | {"status": ["COMPLETE", "ERROR"]},
        lambda answer: answer | {"status": ["COMPLETE", "MISSING"]},
        lambda answer: answer | {"features": answer["features"][::-1]},
        lambda answer: answer | {"metadata": None},
        lambda answer: [],
    ],
)
def test_an_answer_that_is_not_whole_is_never_taken_for_missing(spoil: Spoil) -> None:
    names = ["customer_id", "event_timestamp", "recency_days"]
    answer = {
        "metadata": [{"featureName": name, "featureType": "string"} for name in names],
        "features": [[ANNA, DAY, 1.0], [BERT, DAY, 2.0]],
        "status": ["COMPLETE", "COMPLETE"],
    }
    rows = hopsworks_look_up.rows(answer, [ANNA, BERT])
    assert [row and row["recency_days"] for row in rows] == [1.0, 2.0]
    with pytest.raises((ValueError, TypeError, KeyError)):
        list(hopsworks_look_up.rows(json.loads(json.dumps(spoil(answer))), [ANNA, BERT]))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("host", "c.app.hopsworks.ai"),
        ("host", "https://hopsworks.acme.example"),
        ("host", "user@hopsworks.acme.example"),
        ("rest", "http://hopsworks.acme.example:4406"),
        ("rest", "https://x.hops.works"),
    ],
)
def test_no_server_but_one_of_the_team_is_taken(key: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"name a server|name of the host|without TLS"):
        HopsworksSettings.model_validate({key: value})
