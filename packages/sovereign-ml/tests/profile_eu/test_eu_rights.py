"""The drill on servers with S3 versioning on: decide, erase three people, look into every version and every table."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest
import redis

import servers
from cloud import Cloud, Done
from cluster_double import Cluster
from searching import held
from shipped import service
from small_project import KEY, churn, commit, configure, environment
from sovereign_ml.bundle.sealed import read_bundle
from sovereign_ml.cli.composition import project_stores
from sovereign_ml.config.settings import load
from sovereign_ml.data_subjects import receipts, retention
from sovereign_ml.decision_log import open_log, verify
from sovereign_ml.decision_log.entries import Draft
from sovereign_ml.privacy import retention_plan
from world import decide, inputs

DATABASES = {
    "CHURN_TRACKING_DATABASE_URL": "mlflow3",
    "CHURN_FEATURE_REGISTRY_URL": "feast3",
    "DATABASE_URL": "log3",
}
HANDED_ON = "pipelines/acme-churn/run-1/features/snapshots.parquet"
BOOKKEEPING = ("data/source.json", "dvc.lock", "s3 governance/")


@dataclass(frozen=True)
class Eu:
    """The project and its servers, restored from a backup of the shared ones, so that these stay as they are."""

    cloud: Cloud
    root: Path
    bucket: str
    environ: dict[str, str]

    def churn(self, *arguments: str) -> Done:
        return churn(self.root, *arguments, "--profile", "eu", **self.environ)

    def must(self, *arguments: str) -> str:
        done = self.churn(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def versions(self) -> list[dict[str, Any]]:
        pages = self.cloud.s3().get_paginator("list_object_versions").paginate(Bucket=self.bucket)
        return [item for page in pages for item in page.get("Versions", ())]

    def content(self, item: dict[str, Any]) -> bytes:
        given = {"Bucket": self.bucket, "Key": item["Key"], "VersionId": item["VersionId"]}
        return bytes(self.cloud.s3().get_object(**given)["Body"].read())

    @property
    def keys(self) -> redis.Redis:
        return redis.Redis.from_url(self.environ["CHURN_ONLINE_STORE_URL"])

    def dump(self, name: str) -> bytes:
        return subprocess.run(
            ["pg_dump", f"--dbname={self.environ[name]}"], check=True, capture_output=True
        ).stdout

    def hits(self, people: list[str]) -> list[str]:
        """Places that hold somebody, found without the product's own code."""
        words = [form for one in people for form in (one, one.encode().hex())]
        found = [f"s3 {item['Key']}" for item in self.versions() if held(self.content(item), words)]
        found += [f"postgresql {name}" for name in DATABASES if held(self.dump(name), words)]
        stored = [(key, self.keys.hgetall(key)) for key in self.keys.scan_iter()]
        found += ["redis" for key, values in stored if held(key + repr(values).encode(), words)]
        files = (path for path in self.root.rglob("*") if path.is_file() and not path.is_symlink())
        return found + [
            str(path.relative_to(self.root)) for path in files if held(path.read_bytes(), words)
        ]

    def state(self, people: list[str]) -> dict[str, str]:
        """A hash of everything that is about nobody of ``people``; of tables, the rows about everybody else."""
        found = {
            f"s3 {i['Key']}": _rest(self.content(i), people)
            for i in self.versions()
            if i["IsLatest"]
        }
        found |= {
            f"redis {key!r}": repr(sorted(self.keys.hgetall(key).items()))
            for key in self.keys.scan_iter()
        }
        found |= {name: _sorted(self.dump(name)) for name in DATABASES if name != "DATABASE_URL"}
        files = (
            path for path in self.root.rglob("*") if path.is_file() and ".dvc" not in path.parts
        )
        found |= {
            str(path.relative_to(self.root)): _rest(path.read_bytes(), people) for path in files
        }
        return {name: value for name, value in found.items() if not held(name.encode(), people)}


def _rest(content: bytes, people: list[str]) -> str:
    if content[:4] == b"PAR1":
        import io

        table = pd.read_parquet(io.BytesIO(content))
        content = (
            table[~table["customer_id"].isin(people)].to_csv(index=False).encode()
            if "customer_id" in table
            else content
        )
    return hashlib.sha256(content).hexdigest()


def _sorted(dump: bytes) -> str:
    return "\n".join(line for line in dump.decode().splitlines() if "restrict " not in line)


@pytest.fixture(scope="module")
def eu(
    cloud: Cloud, root: Path, flow: Done, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Eu]:
    folder = tmp_path_factory.mktemp("rights")
    assert churn(root, "push", "--profile", "eu", **cloud.client_environ()).returncode == 0
    backup = churn(
        root, "servers", "backup", str(folder / "backup"), "--profile", "eu", **cloud.environ()
    )
    assert backup.returncode == 0, backup.stderr
    copy = folder / "acme-churn"
    shutil.copytree(root, copy)
    bucket = f"{cloud.bucket}-rights"
    cloud.make_bucket(bucket)
    cloud.s3().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    cloud.postgres.create(*DATABASES.values())
    urls = {name: cloud.postgres.url(database) for name, database in DATABASES.items()}
    online = f"redis://:{cloud.password}@127.0.0.1:{cloud.redis_port}/3"
    environ = cloud.environ(CHURN_ONLINE_STORE_URL=online, **urls)
    port = servers.free_port()
    configure(copy, {"s3.bucket": bucket, "profile.eu.tracking_uri": f"http://127.0.0.1:{port}"})
    commit(copy, "A project on its own servers")
    made = Eu(cloud, copy, bucket, environ)
    made.must("servers", "restore", str(folder / "backup"))
    made.must("servers", "materialise")
    server = cloud.program(copy, "servers", "tracking", port, environ)
    server.start()
    decide(copy, environ["DATABASE_URL"])
    _history(made)
    try:
        yield made
    finally:
        server.kill()
        api, given = cloud.s3(), {"Bucket": bucket}
        for page in api.get_paginator("list_object_versions").paginate(**given):
            for item in [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]:
                api.delete_object(**given, Key=item["Key"], VersionId=item["VersionId"])


def _history(made: Eu) -> None:
    """What years leave in a bucket with versions: a Feast file overwritten, a DVC object deleted, a task's artifact."""
    api = made.cloud.s3()
    [snapshots] = [item for item in made.versions() if item["Key"].startswith("feast/")]
    content = made.content(snapshots)
    api.put_object(Bucket=made.bucket, Key=snapshots["Key"], Body=content)
    api.put_object(Bucket=made.bucket, Key="dvc/files/md5/ab/" + "c" * 30, Body=content)
    api.delete_object(Bucket=made.bucket, Key="dvc/files/md5/ab/" + "c" * 30)
    api.put_object(Bucket=made.bucket, Key=HANDED_ON, Body=content)


@pytest.fixture(scope="module")
def people(eu: Eu) -> list[str]:
    """Three people who are in every store."""
    return sorted(pd.read_parquet(eu.root / "data/8_scores/scores.parquet")["customer_id"])[:3]


def _erase(eu: Eu, people: list[str]) -> Done:
    return eu.churn(
        "data-subject",
        "erase",
        "--pseudonyms",
        *(word for one in people for word in ("--subject", one)),
    )


def test_three_people_are_gone_from_every_server_and_everything_else_is_the_same(
    eu: Eu, people: list[str]
) -> None:
    before, rest = eu.hits(people), eu.state(people)
    assert {"redis", "postgresql DATABASE_URL"} <= set(before)
    assert (
        sum("feast/" in place for place in before) == 2
        and sum("dvc/" in place for place in before) > 3
    )
    assert f"s3 {HANDED_ON}" in before
    planted = "exports/mine.parquet"
    eu.cloud.s3().put_object(
        Bucket=eu.bucket, Key=planted, Body=(eu.root / "data/8_scores/scores.parquet").read_bytes()
    )

    failed = _erase(eu, people)
    assert failed.returncode == 1 and planted in failed.stderr, failed.stdout + failed.stderr
    eu.cloud.s3().delete_object(Bucket=eu.bucket, Key=planted)
    assert eu.churn("data-subject", "erase").returncode == 1, (
        "the deleted copy is still there as a version"
    )
    [copy] = [item for item in eu.versions() if item["Key"] == planted]
    eu.cloud.s3().delete_object(Bucket=eu.bucket, Key=planted, VersionId=copy["VersionId"])
    eu.must("data-subject", "erase")
    assert eu.hits(people) == []

    path = sorted((eu.root / "governance/receipts").glob("*.json"))[-1]
    receipt = receipts.Receipt.model_validate_json(path.read_text(encoding="utf-8"))
    assert receipt.status == "complete"
    stores = {trace.store for trace in receipt.removed}
    assert stores >= {
        "object storage",
        "online store",
        "decision log",
        "data versions",
        "files of the project",
    }
    places = " ".join(trace.place for trace in receipt.removed)
    named = {place.removeprefix("s3 ") for place in before if place.startswith("s3 ")}
    assert all(place in places for place in named)
    after = eu.state(people)
    changed = {
        name for name, value in rest.items() if after.get(name) != value and "dvc/files" not in name
    }
    assert {
        name for name in changed if not name.startswith((".git", ".churn", *BOOKKEEPING))
    } == set()
    with_log = open_log(eu.environ["DATABASE_URL"])
    assert verify(with_log).holds and not any(with_log.of_subject(one) for one in people)
    with_log.close()


def _features(eu: Eu, someone: str) -> dict[str, Any]:
    rows = pd.read_parquet(eu.root / "data/3_features/snapshots.parquet").sort_values(
        "event_timestamp"
    )
    return inputs(rows[rows["customer_id"] == someone].iloc[-1])


def test_the_flow_runs_on_and_serves_without_them(eu: Eu, people: list[str]) -> None:
    former = read_bundle(eu.root / "data/7_bundle").manifest.version
    said = eu.must("run")
    assert "train" in said
    assert int(read_bundle(eu.root / "data/7_bundle").manifest.version) > int(former)
    eu.must("push")
    eu.must("servers", "materialise")
    port = servers.free_port()
    features = eu.cloud.program(eu.root, "servers", "features", port, eu.environ)
    connected = {
        "FEATURE_STORE_URI": f"http://127.0.0.1:{port}",
        "FEATURE_STORE_TOKEN": eu.cloud.password,
    }
    connected["FEATURE_STORE_TIMEOUT_S"] = (
        "30"  # the first answer of a cold server on a busy machine
    )
    stays = pd.read_parquet(eu.root / "data/8_scores/scores.parquet").iloc[0]
    try:
        features.start()
        with service(eu.root / "data/7_bundle", eu.environ["DATABASE_URL"], **connected) as running:
            answer = running.post("/v1/score", {"customer_id": stays["customer_id"]})
            assert answer.status_code == 200, answer.text
            assert answer.json()["score"] == pytest.approx(stays["score"], abs=1e-6)
            assert [
                running.post("/v1/score", {"customer_id": one}).status_code for one in people
            ] == [404] * 3
            sent = [
                {"customer_id": one, "features": _features(eu, stays["customer_id"])}
                for one in people
            ]
            assert [running.post("/v1/score", one).status_code for one in sent] == [410] * 3
    finally:
        features.kill()
    assert eu.hits(people) == []


def test_the_daily_run_on_a_cluster_leaves_out_who_was_erased_and_who_objected_since_its_image_was_built(
    eu: Eu, people: list[str], tmp_path: Path
) -> None:
    """The source still has them; the image has no tombstone, and the objection came after the bundle."""
    commit(eu.root, "After the erasure")
    former = set(pd.read_parquet(eu.root / "data/8_scores/scores.parquet")["customer_id"])
    objector = min(former)
    log = open_log(eu.environ["DATABASE_URL"])
    log.append([Draft("objection", "objection-1", objector, "{}")])
    log.close()
    settings = load("eu", eu.root, environment(eu.root, **eu.environ))
    cluster = Cluster(eu.root, tmp_path / "cluster", eu.environ | {"CHURN_PSEUDONYM_KEY": KEY})
    cluster.submit(settings, "score", "bundle")
    scored = set(pd.read_parquet(cluster.outputs["score.scores"] / "scores.parquet")["customer_id"])
    assert scored == former - {objector}
    assert not scored & set(people)


def test_what_a_backup_brings_back_is_erased_again(eu: Eu, people: list[str], root: Path) -> None:
    """Objects as the restore of an old backup puts them, and the log's entries from before."""
    for path in sorted((eu.root.parent / "backup/objects").rglob("*.parquet")):
        key = str(path.relative_to(eu.root.parent / "backup/objects"))
        eu.cloud.s3().put_object(Bucket=eu.bucket, Key=key, Body=path.read_bytes())
    assert eu.hits(people)
    eu.must("data-subject", "erase", "--again")
    assert eu.hits(people) == []
    assert "No erased person" in eu.must("data-subject", "erase", "--again")


def test_a_year_later_the_dry_run_is_what_is_deleted_from_the_bucket(
    eu: Eu, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(eu.root, {"retention.features.period": "P14M"})
    commit(eu.root, "After the erasure")
    for name, value in eu.environ.items():
        monkeypatch.setenv(name, value)
    settings = load("eu", eu.root, environment(eu.root, **eu.environ))
    later = datetime.now(UTC) + timedelta(days=367)
    planned = retention.plan(project_stores(settings), later)
    before = {f"s3: {item['Key']}?versionId={item['VersionId']}" for item in eu.versions()}
    eu.must("retain", "--apply", "--at", f"{later:%Y-%m-%d}")
    after = {f"s3: {item['Key']}?versionId={item['VersionId']}" for item in eu.versions()}
    assert before - after == {one.place for one in planned if one.place in before}
    assert [
        one
        for one in planned
        if one.data_class == "features" and one.place.startswith("s3: feast/")
    ]
    assert [one for one in planned if one.data_class == "copies" and HANDED_ON in one.place]
    assert [one.place for one in retention.plan(project_stores(settings), later)] == []
    found = retention_plan.last_run(settings.root / retention_plan.LAST_RUN)
    assert found and not any(found.overdue.values())


def test_an_answer_to_a_request_holds_the_decisions_of_the_server(eu: Eu) -> None:
    someone = sorted(pd.read_parquet(eu.root / "data/1_raw/transactions.parquet")["customer_id"])[
        -1
    ]
    with psycopg.connect(eu.environ["DATABASE_URL"]) as connection:
        row = connection.execute(
            "SELECT count(*) FROM decision_log WHERE subject = %s", [someone]
        ).fetchone()
    eu.must(
        "data-subject", "access", "--subject", someone, "--pseudonyms", "--output", "build/answer"
    )
    answer = json.loads((eu.root / "build/answer/access.json").read_text())
    assert row and len(answer["decisions"]) == row[0]
