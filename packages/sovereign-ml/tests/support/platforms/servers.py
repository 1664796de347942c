"""PostgreSQL, Redis, an S3 server, MLflow and the feature server as real processes on free loopback ports."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from sovereign_ml.config.settings import ENVIRONMENT

INSTALL = "apt-get install --no-install-recommends postgresql redis-server"
UNPRIVILEGED = "postgres"


def postgres_programs() -> Path | None:
    """The newest PostgreSQL of Debian or Fedora, or the one on PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


def missing() -> list[str]:
    """The servers that this machine lacks."""
    lacks = [] if postgres_programs() else ["PostgreSQL"]
    return lacks if shutil.which("redis-server") else [*lacks, "Redis"]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def until(what: Callable[[], bool], seconds: float = 180) -> None:
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


class Process:
    """A program that can be killed and started again on the same port."""

    def __init__(
        self, command: list[str], folder: Path, ready: Callable[[], bool], environ: dict[str, str]
    ) -> None:
        self._command, self._folder, self._ready, self._environ = command, folder, ready, environ
        self._process: subprocess.Popen[bytes] | None = None
        # Beside the folder: in a project an audit would read the addresses in it.
        self.log = folder.parent / f"{Path(command[0]).name}-{free_port()}.log"

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._environ,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            until(self._running_and_ready)
        except AssertionError:
            self.kill()
            raise AssertionError(f"{self._command}: {self.log.read_text()[-2000:]}") from None

    def _running_and_ready(self) -> bool:
        assert self._process
        if self._process.poll() is not None:
            raise AssertionError("it ended")
        return self._ready()

    def kill(self) -> None:
        """kill -9, with its children."""
        if self._process and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class Postgres:
    """One PostgreSQL cluster; owned by an unprivileged user when we are root, which the server refuses to run as."""

    def __init__(self) -> None:
        programs = postgres_programs()
        assert programs
        # Not below pytest's folder: that is closed to the other user.
        self._programs, self._folder, self.port = (
            programs,
            Path(tempfile.mkdtemp(prefix="churn-pg-")),
            free_port(),
        )
        if os.geteuid() == 0:
            shutil.chown(self._folder, UNPRIVILEGED)
        self._run("initdb", "-D", str(self._folder), "-A", "trust", "-U", UNPRIVILEGED, "--no-sync")

    def url(self, database: str = "postgres", role: str = UNPRIVILEGED) -> str:
        """The address of a database."""
        return f"postgresql://{role}@127.0.0.1:{self.port}/{database}"

    def run_script(self, script: Path, database: str, **variables: str) -> None:
        """Run a file of SQL as the image of PostgreSQL does when it makes its databases."""
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", UNPRIVILEGED, "-d", database]
        subprocess.run(
            [str(self._programs / "psql"), "-v", "ON_ERROR_STOP=1", "--no-psqlrc", "-q", *where],
            stdin=script.open(),
            env={**ENVIRONMENT, **variables},
            check=True,
            capture_output=True,
        )

    def create(self, *databases: str) -> None:
        """Make databases."""
        for name in databases:
            self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", UNPRIVILEGED, name)

    def start(self) -> None:
        """Start the server."""
        options = f"-p {self.port} -k {self._folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._run(
            "pg_ctl",
            "-D",
            str(self._folder),
            "-o",
            options,
            "-l",
            str(self._folder / "log"),
            "-w",
            "start",
        )

    def kill(self) -> None:
        """As a crash: no chance to finish anything."""
        self._run("pg_ctl", "-D", str(self._folder), "-m", "immediate", "stop")

    def remove(self) -> None:
        """Stop it and leave nothing behind."""
        self.kill()
        shutil.rmtree(self._folder)

    def _run(self, program: str, *arguments: str) -> None:
        as_user = ["runuser", "-u", UNPRIVILEGED, "--"] if os.geteuid() == 0 else []
        subprocess.run(
            [*as_user, str(self._programs / program), *arguments],
            check=True,
            capture_output=True,
            cwd="/",
        )


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL, gone afterwards."""
    server = Postgres()
    server.start()
    try:
        yield server
    finally:
        server.remove()


@contextmanager
def postgres_or_skip() -> Iterator[Postgres]:
    """Run PostgreSQL; the test is skipped where this machine has none."""
    if postgres_programs() is None:
        pytest.skip("needs PostgreSQL")
    with postgres() as server:
        yield server


def redis_server(folder: Path, port: int, password: str) -> Process:
    """Redis that keeps nothing on disk."""
    import redis

    def ready() -> bool:
        try:
            return bool(redis.Redis(port=port, password=password).ping())
        except redis.RedisError:
            return False

    program = shutil.which("redis-server")
    assert program
    options = ["--port", str(port), "--bind", "127.0.0.1", "--requirepass", password, "--save", ""]
    return Process([program, *options], folder, ready, {"PATH": ENVIRONMENT["PATH"]})


def s3_server(folder: Path, port: int) -> Process:
    """moto, a double of S3 in memory; its keys are not checked."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    return Process(
        command,
        folder,
        answers(f"http://127.0.0.1:{port}/moto-api/"),
        {"PATH": ENVIRONMENT["PATH"]},
    )


def answers(url: str) -> Callable[[], bool]:
    """Whether ``url`` answers 200."""
    return lambda: httpx.get(url, timeout=5, trust_env=False).status_code == 200


PGBOUNCER = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin")


@contextmanager
def pooled(server: Postgres, size: int) -> Iterator[str]:
    """Give the address of PgBouncer before ``server``: transaction mode, ``size`` connections in its pool."""
    if PGBOUNCER is None:
        pytest.skip("apt-get install pgbouncer")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="pooler-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        config = folder / "pgbouncer.ini"
        config.write_text(
            f"[databases]\npostgres = user={UNPRIVILEGED} host=127.0.0.1 port={server.port}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\n"
            f"pool_mode = transaction\ndefault_pool_size = {size}\nunix_socket_dir =\n"
        )
        as_user = ["runuser", "-u", UNPRIVILEGED, "--"] if os.geteuid() == 0 else []
        process = subprocess.Popen(
            [*as_user, PGBOUNCER, str(config)], stderr=subprocess.DEVNULL, cwd="/"
        )

        def listens() -> bool:
            socket.create_connection(("127.0.0.1", port)).close()
            return True

        try:
            until(listens)
            yield f"postgresql://{UNPRIVILEGED}@127.0.0.1:{port}/postgres"
        finally:
            process.terminate()
            process.wait()


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """Give a file system of its own that PostgreSQL may use; the test is skipped without the right to mount."""
    folder = Path(tempfile.mkdtemp(prefix="churn-disk-"))
    options = f"size={megabytes}m,mode=0700,uid={UNPRIVILEGED}"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        folder.rmdir()
        pytest.skip("needs the right to mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


@contextmanager
def filled_up(folder: Path) -> Iterator[None]:
    """Leave no byte free on the file system of ``folder``."""
    ballast = folder / "ballast"
    try:
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        yield
    finally:
        ballast.unlink()
