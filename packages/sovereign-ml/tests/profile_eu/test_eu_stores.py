"""The online store as infra/ starts it, and PostgreSQL instead of Redis."""

from __future__ import annotations

import subprocess
from pathlib import Path

import yaml

import servers
from cloud import Cloud
from small_project import PROJECT, churn, configure
from sovereign_ml.config.settings import ENVIRONMENT


def test_postgresql_may_be_the_online_store(cloud: Cloud, copy: Path) -> None:
    url = f"{cloud.postgres.url('feast')}?sslmode=disable".replace("@", ":none@")
    given = cloud.client_environ(CHURN_ONLINE_STORE_URL=url)
    configure(copy, {"profile.eu.online_store": "postgresql"})
    assert churn(copy, "servers", "materialise", "--profile", "eu", **given).returncode == 0
    assert churn(copy, "servers", "parity", "--profile", "eu", **given).returncode == 0


def test_redis_starts_as_the_compose_file_says_and_lets_nobody_in_without_the_password(
    tmp_path: Path,
) -> None:
    service = yaml.safe_load((PROJECT / "infra/compose.yaml").read_text())["services"]["redis"]
    shell, option, script = service["command"]
    port, password = servers.free_port(), "r" * 48

    def asked(command: str) -> str:
        environ = {"PATH": ENVIRONMENT["PATH"], "REDIS_PASSWORD": password}
        text = command.replace("$$", "$").replace("redis-cli", f"redis-cli -p {port}")
        return subprocess.run(
            ["sh", "-c", text], env=environ, capture_output=True, text=True, check=False
        ).stdout

    script = script.replace("$$", "$") + f" --bind 127.0.0.1 --port {port}"
    environ = {"PATH": ENVIRONMENT["PATH"], "REDIS_PASSWORD": password}
    probe = service["healthcheck"]["test"][1]
    running = servers.Process(
        [shell, option, script], tmp_path, lambda: asked(f"{probe} && echo yes") == "yes\n", environ
    )
    try:
        running.start()
        assert "NOAUTH" in asked("redis-cli ping")
    finally:
        running.kill()
