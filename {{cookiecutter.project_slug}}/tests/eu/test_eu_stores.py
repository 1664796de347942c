"""The online store may be PostgreSQL instead of Redis."""

from __future__ import annotations

from pathlib import Path

from cloud import Cloud

from small_project import churn, configure


def test_postgresql_may_be_the_online_store(cloud: Cloud, copy: Path) -> None:
    url = f"{cloud.postgres.url('feast')}?sslmode=disable".replace("@", ":none@")
    given = cloud.client_environ(CHURN_ONLINE_STORE_URL=url)
    configure(copy, {"profile.eu.online_store": "postgresql"})
    assert churn(copy, "materialise", "--profile", "eu", **given).returncode == 0
    assert churn(copy, "parity", "--profile", "eu", **given).returncode == 0
