"""The shipped program as a real process on loopback."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx

from servers import free_port, until
from service_desk import KEYS, write_bundle
from small_project import CACHES, LIBRARY, PROJECT


@dataclass
class Service:
    """``python -m sovereign_ml.service`` with its environment."""

    environment: dict[str, str]
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    output: int | IO[bytes] = subprocess.DEVNULL
    """Where both of its streams go."""

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it is ready."""
        command = [sys.executable, "-m", "sovereign_ml.service", "--port", str(self.port)]
        self.process = subprocess.Popen(
            command, env=self.environment, stdout=self.output, stderr=self.output
        )
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

    def post(self, path: str, content: Any, scope: str = "score", **headers: str) -> httpx.Response:
        """POST with the key of ``scope``; ``customer_id=…`` is the header customer-id."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        headers["authorization"] = f"Bearer {KEYS[scope][0]}"
        return httpx.post(self.url + path, json=content, headers=headers, timeout=15)


def environment(bundle: Path, log: str, **more: str) -> dict[str, str]:
    """What the program is given: nothing of ours but what is needed."""
    keys = "\n".join(line for _, line in KEYS.values())
    in_eu = more.get("CHURN_PROFILE") == "eu" and log.startswith("postgres")
    where = "DATABASE_URL" if in_eu else "CHURN_LOG"
    return {
        **{name: os.environ[name] for name in ("PATH", *CACHES) if name in os.environ},
        "PYTHONPATH": f"{PROJECT / 'serve'}:{LIBRARY}",
        "BUNDLE_DIR": str(bundle),
        "CHURN_KEYS": keys,
        "CHURN_RATE_PER_SECOND": "1000000",
        where: log,
        **more,
    }


@contextmanager
def service(
    bundle: Path, log: str, *, output: int | IO[bytes] = subprocess.DEVNULL, **more: str
) -> Iterator[Service]:
    """A running service; killed at the end if it still runs."""
    running = Service(environment(bundle, log, **more), output=output)
    try:
        running.start()
        yield running
    finally:
        running.kill()


@contextmanager
def reviewed(folder: Path) -> Iterator[Service]:
    """A running service whose decisions all wait for a person, none of them seeded with an error."""
    bundle = write_bundle(folder / "bundle", significant_effect=True)
    with service(bundle, str(folder / "decisions.db"), CHURN_SEED_SHARE="0") as opened:
        yield opened
