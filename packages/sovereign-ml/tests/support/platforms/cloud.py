"""The profile eu on loopback: servers, environment, and a project whose card is answered."""

from __future__ import annotations

import secrets
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
import tomlkit
from botocore.config import Config

import servers
from card_answers import article22_answers, offer_answers
from small_project import PROGRAMS, PROJECT, commit, configure, environment, make_clone
from sovereign_ml.config.settings import ENVIRONMENT

OWN_S3 = ("CHURN_TEST_S3_ENDPOINT", "CHURN_TEST_S3_KEY", "CHURN_TEST_S3_SECRET")
"""A real S3 server instead of the double: give all three, and CHURN_TEST_S3_REGION if it is not us-east-1."""

KEPT = {
    "raw": "P36M",
    "features": "P24M",
    "train_snapshot": "P24M",
    "dvc_cache": "P12M",
    "experiment_log": "P12M",
    "model": "P24M",
    "scores": "P3M",
    "decision_log": "P24M",
}
"""Periods of `[retention]` in config.toml, by the object of the card."""

Done = subprocess.CompletedProcess[str]


def need_servers(lacks: list[str], *, ci: bool) -> None:
    """Skip with the line that installs what is missing; in CI that is a failure."""
    if not lacks:
        return
    message = f"{' and '.join(lacks)} not installed: {servers.INSTALL}"
    if ci:
        pytest.fail(message)
    pytest.skip(message)


@dataclass
class Cloud:
    """Every server of the profile eu."""

    folder: Path
    bucket: str = field(default_factory=lambda: f"churn-test-{secrets.token_hex(4)}")
    password: str = field(default_factory=lambda: secrets.token_hex(16))
    admin: str = field(default_factory=lambda: secrets.token_hex(16))

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.postgres = servers.Postgres()
        self.redis_port, self.mlflow_port, self.feature_port = (
            servers.free_port() for _ in range(3)
        )
        self.redis = servers.redis_server(self.folder, self.redis_port, self.password)
        self._own = [ENVIRONMENT.get(name, "") for name in OWN_S3]
        self._s3 = None
        if all(self._own):
            self.endpoint, self.key, self.secret = self._own
        else:
            port = servers.free_port()
            self.endpoint, self.key, self.secret = f"http://127.0.0.1:{port}", "test", "test"
            self._s3 = servers.s3_server(self.folder, port)

    @property
    def region(self) -> str:
        """What requests are signed with."""
        return ENVIRONMENT.get("CHURN_TEST_S3_REGION", "us-east-1")

    def start(self) -> None:
        """Start PostgreSQL, Redis and S3, and make databases and bucket."""
        self.postgres.start()
        self.postgres.create("decisions")
        passwords = {
            f"{name}_PASSWORD": self.password
            for name in ("MLFLOW_DATABASE", "FEAST_DATABASE", "LOG_OWNER", "LOG_SERVICE")
        }
        self.postgres.run_script(PROJECT / "infra/databases.sql", "decisions", **passwords)
        if self._s3:
            self._s3.start()
        self.redis.start()
        self._buckets: list[str] = []
        self.make_bucket(self.bucket)

    def make_bucket(self, name: str) -> None:
        """A bucket that is removed at the end."""
        self.s3().create_bucket(Bucket=name)
        self._buckets.append(name)

    def stop(self) -> None:
        """Stop everything; a real S3 server gets its bucket emptied."""
        self._empty()
        for process in (self.redis, self._s3):
            if process:
                process.kill()
        self.postgres.remove()

    def _empty(self) -> None:
        api = self.s3()
        for bucket in self._buckets:
            for page in api.get_paginator("list_object_versions").paginate(Bucket=bucket):
                for item in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
                    api.delete_object(Bucket=bucket, Key=item["Key"], VersionId=item["VersionId"])
            api.delete_bucket(Bucket=bucket)

    def s3(self) -> Any:
        """A client of the tests' own."""
        config = Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        keys = {"aws_access_key_id": self.key, "aws_secret_access_key": self.secret}
        return boto3.client(
            "s3", endpoint_url=self.endpoint, region_name=self.region, config=config, **keys
        )

    def environ(self, **more: str) -> dict[str, str]:
        """The secrets of the profile eu."""
        return {
            "CHURN_PROFILE": "eu",
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "MLFLOW_TRACKING_USERNAME": "churn",
            "MLFLOW_TRACKING_PASSWORD": self.password,
            "MLFLOW_AUTH_ADMIN_PASSWORD": self.admin,
            "CHURN_TRACKING_DATABASE_URL": self.postgres.url("mlflow", "mlflow"),
            "CHURN_FEATURE_REGISTRY_URL": self.postgres.url("feast", "feast"),
            "CHURN_ONLINE_STORE_URL": f"redis://:{self.password}@127.0.0.1:{self.redis_port}/0",
            "FEATURE_STORE_TOKEN": self.password,
            "DATABASE_URL": self.postgres.url("decisions", "log_owner"),
            **more,
        }

    def client_environ(self, **more: str) -> dict[str, str]:
        """What a pipeline is given: nothing of the tracking server's database and administrator."""
        given = self.environ(**more)
        del given["CHURN_TRACKING_DATABASE_URL"], given["MLFLOW_AUTH_ADMIN_PASSWORD"]
        return given

    def knobs(self, **more: Any) -> dict[str, Any]:
        """What stands in config.toml for these servers."""
        return {
            "s3.endpoint": self.endpoint,
            "s3.region": self.region,
            "s3.bucket": self.bucket,
            "profile.eu.tracking_uri": f"http://127.0.0.1:{self.mlflow_port}",
            "pipeline.image": "registry.acme.eu/churn@sha256:" + "1" * 64,
            "card.policy.max_fairness_tolerance": 0.5,  # the limit outside the profile local
            **more,
        }

    def tracking_server(self, root: Path) -> servers.Process:
        """MLflow's server for the project in ``root``; not started."""
        return self.program(root, "servers", "tracking", self.mlflow_port, self.environ())

    def feature_server(self, root: Path) -> servers.Process:
        """The feature server for the project in ``root``; not started."""
        return self.program(root, "servers", "features", self.feature_port, self.environ())

    def program(
        self, root: Path, group: str, verb: str, port: int, environ: dict[str, str]
    ) -> servers.Process:
        """One of our own servers; not started."""
        command = [str(PROGRAMS / "churn"), group, verb, "--port", str(port)]
        ready = servers.answers(f"http://127.0.0.1:{port}/health")
        return servers.Process(command, root, ready, environment(root, **environ))


def make_eu_project(root: Path, cloud: Cloud, **more: Any) -> Path:
    """A small project of which every question is answered: real data needs that."""
    make_clone(root)
    answers = offer_answers()
    # What the built-in shop and config.toml say: six countries, rows chosen by consent, periods.
    answers["purpose"]["territories"] = ["AT", "DE", "FR", "NL", "PL", "SE"]
    answers["lawful_basis"]["collect"] = {"basis": "6_1_a", "reference": "consent text C-3"}
    answers["consent"] = article22_answers()["consent"]
    answers["evaluation"]["fairness_tolerance"] = 0.5
    processors = answers["roles"]["processors"]
    processors.append(processors[0] | {"name": "Hetzner"})
    answers["ropa"]["recipients"] += ["Hetzner", "sota.io"]
    answers["retention"]["objects"] = [
        {"object": kind, "period": period, "mechanism": "automatic", "covers_versions": True}
        for kind, period in KEPT.items()
    ]
    (root / "model_card.toml").write_text(tomlkit.dumps(answers), encoding="utf-8")
    configure(root, cloud.knobs(**more))
    commit(root)
    return root
