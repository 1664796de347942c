"""One set of servers for all tests of the profile eu, and one run of the flow on them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import servers
import warm_churn
from cloud import Cloud, Done, make_eu_project, need_servers
from small_project import churn, commit
from sovereign_ml.config.settings import ENVIRONMENT
from sovereign_ml.decision_log import open_log
from sovereign_ml.decision_log.entries import Draft


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.servers)
            item.add_marker(pytest.mark.flow)


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """PostgreSQL, Redis and S3."""
    need_servers(servers.missing(), ci=bool(ENVIRONMENT.get("CI")))
    made = Cloud(tmp_path_factory.mktemp("cloud"))
    made.start()
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def root(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project on these servers; no step has run."""
    return make_eu_project(tmp_path_factory.mktemp("eu") / "acme-churn", cloud)


@pytest.fixture(scope="session")
def mlflow(cloud: Cloud, root: Path) -> Iterator[servers.Process]:
    """MLflow's server, running."""
    server = cloud.tracking_server(root)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
def flow(cloud: Cloud, root: Path, mlflow: servers.Process) -> Done:
    """`churn run --profile eu`, once, as a person starts it."""
    done = churn(root, "run", "--profile", "eu", **cloud.client_environ())
    assert done.returncode == 0, done.stdout + done.stderr + mlflow.log.read_text()[-3000:]
    return done


@pytest.fixture(scope="session")
def pushed(cloud: Cloud, root: Path, flow: Done) -> Path:
    """The project after its run: every data version is in the remote, and dvc.lock is committed."""
    done = warm_churn.churn(root, "push", "--profile", "eu", **cloud.client_environ())
    assert done.returncode == 0, done.stderr
    commit(root, "A run on the servers")
    return root


@pytest.fixture(scope="session")
def backup(cloud: Cloud, pushed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of all servers after the run and one entry of the decision log."""
    log = open_log(cloud.environ()["DATABASE_URL"])
    log.append([Draft(kind="decision", case_id="case-1", subject="s" * 32, body="{}")])
    log.close()
    folder = tmp_path_factory.mktemp("backup") / "today"
    arguments = ("servers", "backup", str(folder), "--profile", "eu")
    done = warm_churn.churn(pushed, *arguments, **cloud.environ())
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def copy(pushed: Path, tmp_path: Path) -> Path:
    """The project after its run, to break."""
    return Path(shutil.copytree(pushed, tmp_path / "acme-churn"))
