"""The shipped program and a PostgreSQL server as real processes on loopback."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from service_desk import KEYS

PROJECT = Path(__file__).parents[2]
POSTGRES = Path("/usr/lib/postgresql/15/bin")
UNPRIVILEGED = "postgres"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@dataclass
class Service:
    """``python -m churn_service`` with its environment."""

    environment: dict[str, str]
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it is ready."""
        command = [sys.executable, "-m", "churn_service", "--port", str(self.port)]
        self.process = subprocess.Popen(command, env=self.environment, stderr=subprocess.DEVNULL)
        until(lambda: httpx.get(f"{self.url}/readyz").status_code == 200)

    def kill(self) -> None:
        """kill -9."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self) -> int:
        """Ask it to end; returns the exit code."""
        assert self.process
        self.process.terminate()
        return self.process.wait(timeout=15)

    def post(self, path: str, content: Any, scope: str = "score") -> httpx.Response:
        """POST with the key of ``scope``."""
        headers = {"authorization": f"Bearer {KEYS[scope][0]}"}
        return httpx.post(self.url + path, json=content, headers=headers, timeout=15)


def environment(bundle: Path, log: str, **more: str) -> dict[str, str]:
    """What the program is given: nothing of ours but what is needed."""
    keys = "\n".join(line for _, line in KEYS.values())
    where = "DATABASE_URL" if log.startswith("postgres") else "CHURN_LOG"
    return {
        "PATH": os.environ["PATH"],  # noqa: TID251
        "PYTHONPATH": f"{PROJECT / 'serve'}:{PROJECT / 'src'}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "BUNDLE_DIR": str(bundle),
        "CHURN_KEYS": keys,
        "CHURN_RATE_PER_SECOND": "1000000",
        where: log,
        **more,
    }


@contextmanager
def service(bundle: Path, log: str, **more: str) -> Iterator[Service]:
    """A running service; killed at the end if it still runs."""
    running = Service(environment(bundle, log, **more))
    try:
        running.start()
        yield running
    finally:
        running.kill()


def until(what: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until ``what`` holds; network errors count as not yet."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if what():
                return
        except (httpx.HTTPError, OSError):
            pass
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


class Postgres:
    """One PostgreSQL cluster in ``folder``, owned by an unprivileged user when we are root."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self.url = f"postgresql://{UNPRIVILEGED}@127.0.0.1:{self.port}/postgres"
        if os.geteuid() == 0:
            shutil.chown(folder, UNPRIVILEGED)
        self._run("initdb", "-D", str(self._folder), "-A", "trust", "-U", UNPRIVILEGED, "--no-sync")

    def start(self) -> None:
        """Start the server."""
        options = f"-p {self.port} -k {self._folder} -c listen_addresses=127.0.0.1"
        self._run("pg_ctl", "-D", str(self._folder), "-o", options, "-l", str(self._folder / "log"), "-w", "start")

    def kill(self) -> None:
        """As a crash: no chance to finish anything."""
        self._run("pg_ctl", "-D", str(self._folder), "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        as_user = ["runuser", "-u", UNPRIVILEGED, "--"] if os.geteuid() == 0 else []
        subprocess.run([*as_user, str(POSTGRES / program), *arguments], check=True, capture_output=True, cwd="/")


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL."""
    with TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as folder:
        server = Postgres(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.kill()
