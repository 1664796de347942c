"""The online store: rebuilt after a flush, and PostgreSQL instead of Redis."""

from __future__ import annotations

import shutil
from pathlib import Path

import redis
from cloud import Cloud, Done

from small_project import churn, configure


def test_a_flushed_redis_is_rebuilt_by_materialise_without_running_a_step(cloud: Cloud, root: Path, flow: Done) -> None:
    redis.Redis(port=cloud.redis_port, password=cloud.password).flushall()
    empty = churn(root, "parity", "--profile", "eu", **cloud.client_environ())
    assert empty.returncode == 1
    assert "churn materialise" in empty.stderr
    again = churn(root, "materialise", "--profile", "eu", **cloud.client_environ())
    assert again.returncode == 0, again.stderr
    assert churn(root, "parity", "--profile", "eu", **cloud.client_environ()).returncode == 0


def test_postgresql_may_be_the_online_store(cloud: Cloud, root: Path, flow: Done, tmp_path: Path) -> None:
    copy = tmp_path / "acme-churn"
    shutil.copytree(root, copy)
    url = f"{cloud.postgres.url('feast')}?sslmode=disable".replace("@", ":none@")
    given = cloud.client_environ(CHURN_ONLINE_STORE_URL=url)
    configure(copy, {"profile.eu.online_store": "postgresql"})
    assert churn(copy, "materialise", "--profile", "eu", **given).returncode == 0
    assert churn(copy, "parity", "--profile", "eu", **given).returncode == 0
