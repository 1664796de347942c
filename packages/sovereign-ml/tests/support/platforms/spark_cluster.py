"""A standalone cluster of Spark on loopback: a master and two workers as processes."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from servers import free_port, until
from sovereign_ml.config.settings import ENVIRONMENT

CLIENTS = Path(ENVIRONMENT.get("SHIPPED_ENVIRONMENTS", ""))
SECRET = "a-secret-of-the-test"
CHEAP = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xss512k"
"""Options of Java for processes that live for seconds: less is compiled."""


def needs_java() -> None:
    """Skip a test on a machine without Java, or where Spark was not installed for lack of it."""
    if not shutil.which("java"):
        pytest.skip(
            "Spark needs Java: apt-get install --no-install-recommends openjdk-17-jre-headless"
        )
    if not (CLIENTS / "spark/bin/python").exists():
        pytest.skip(f"{CLIENTS / 'spark'} has no Spark: `make shipped` installs it beside Java")


@contextmanager
def standalone(folder: Path) -> Iterator[str]:
    """Run a master and two workers of one core each, and yield the master's address."""
    home = next((CLIENTS / "spark/lib").glob("python*/site-packages/pyspark"))
    conf = folder / "conf"
    conf.mkdir()
    (conf / "spark-defaults.conf").write_text(
        f"spark.authenticate true\nspark.authenticate.secret {SECRET}\n"
        "spark.network.crypto.enabled true\nspark.log.level ERROR\n"
    )
    env = {
        "PATH": ENVIRONMENT["PATH"],
        "SPARK_HOME": str(home),
        "SPARK_CONF_DIR": str(conf),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LOCAL_DIRS": str(folder / "scratch"),
        "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_DAEMON_JAVA_OPTS": CHEAP,
    }
    port = free_port()
    master = f"spark://127.0.0.1:{port}"
    place = ["--host", "127.0.0.1", "--webui-port", "0"]
    size = ["--cores", "1", "--memory", "600m"]
    commands = [["master.Master", *place, "--port", str(port)]]
    commands += [
        ["worker.Worker", *place, *size, "--work-dir", str(folder / f"work-{n}"), master]
        for n in (1, 2)
    ]
    with ExitStack() as running:
        for name, *options in commands:
            log = running.enter_context((folder / f"{name}.log").open("ab"))
            command = [str(home / "bin/spark-class"), f"org.apache.spark.deploy.{name}", *options]
            process = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=folder)
            running.callback(process.wait)
            running.callback(process.terminate)
            until(lambda: socket.create_connection(("127.0.0.1", port), 1).close() is None)
        yield master


def listening() -> set[str]:
    """The addresses (in hexadecimal) on which Java processes of this user listen."""
    sockets = {
        target
        for comm in Path("/proc").glob("[0-9]*/comm")
        if _text(comm) == "java"
        for target in _targets(comm.parent / "fd")
    }
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    return {
        row[1].partition(":")[0]
        for row in rows
        if row[3] == "0A" and f"socket:[{row[9]}]" in sockets
    }


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _targets(folder: Path) -> list[str]:
    """What the descriptors of a process are; one that is closed meanwhile is none."""
    targets = []
    with suppress(OSError):
        for path in folder.iterdir():
            with suppress(OSError):
                targets.append(str(path.readlink()))
    return targets
