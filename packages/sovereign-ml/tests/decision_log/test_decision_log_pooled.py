"""The decision log behind PgBouncer in transaction mode, as platforms put it before their databases."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from servers import UNPRIVILEGED, free_port, postgres, until
from sovereign_ml.decision_log import Draft, open_log, verify

PGBOUNCER = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin")


@contextmanager
def pooled(folder: Path, server_port: int) -> Iterator[str]:
    port = free_port()
    folder.chmod(0o755)
    config = folder / "pgbouncer.ini"
    config.write_text(
        f"[databases]\npostgres = user={UNPRIVILEGED} host=127.0.0.1 port={server_port}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\n"
        "pool_mode = transaction\ndefault_pool_size = 2\nunix_socket_dir =\n"
    )
    assert PGBOUNCER
    as_user = ["runuser", "-u", UNPRIVILEGED, "--"] if os.geteuid() == 0 else []
    process = subprocess.Popen(
        [*as_user, PGBOUNCER, str(config)], stderr=subprocess.DEVNULL, cwd="/"
    )
    url = f"postgresql://{UNPRIVILEGED}@127.0.0.1:{port}/postgres"

    def answers() -> bool:
        try:
            psycopg.connect(url, prepare_threshold=None).close()
        except psycopg.OperationalError:
            return False
        return True

    try:
        until(answers)
        yield url
    finally:
        process.terminate()
        process.wait()


@pytest.mark.servers
@pytest.mark.skipif(PGBOUNCER is None, reason="apt-get install pgbouncer")
def test_two_instances_behind_a_transaction_pooler_write_one_chain() -> None:
    with (
        postgres() as server,
        TemporaryDirectory(prefix="pooler-") as folder,
        pooled(Path(folder), server.port) as url,
    ):
        logs = open_log(url), open_log(url)
        for turn in range(20):
            logs[turn % 2].append(
                [Draft("decision", f"case-{turn}", "aaaaaaaa", "{}", '{"objected":true}')]
            )
        verdict = verify(logs[0])
        assert verdict.problems == ()
        assert verdict.entries == 20
