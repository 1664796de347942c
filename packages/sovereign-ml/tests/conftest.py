"""One small flow for all tests: each step runs once, when the first test asks for its artifact."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from small_project import NO_PAUSES, load, make_project, run
from sovereign_ml.config.settings import ENVIRONMENT, Settings
from sovereign_ml.egress.telemetry import silence

silence(ENVIRONMENT)
ENVIRONMENT.update(NO_PAUSES)
for name in [name for name in ENVIRONMENT if name.startswith(("GIT_AUTHOR_", "GIT_COMMITTER_"))]:
    del ENVIRONMENT[name]  # it would sign the commits of every person of the tests


pytest_plugins = ["no_skips"]


SHARED = ("tests/profile_eu/", "tests/data_subjects/")
"""Folders whose tests go to one worker."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """One worker for all files of a folder that shares servers or a run of the flow: it is made once."""
    from xdist.scheduler import LoadFileScheduling

    class Together(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            shared = (name for name in SHARED if name in nodeid)
            return next(shared, None) or super()._split_scope(nodeid)

    return Together(config, log)


LONGEST = ("profile_eu", "data_subjects", "flow", "servers", "browser")
"""Folder or mark of the tests that take minutes, longest first."""


def pytest_configure(config: pytest.Config) -> None:
    """Let workers take files in the order of collection, not those with many tests first."""
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the longest files first, so that no worker has one left when the others are done."""
    ranks: dict[Path, int] = {}
    for item in items:
        words = {item.path.parent.name, *(mark.name for mark in item.iter_markers())}
        rank = next((i for i, word in enumerate(LONGEST) if word in words), len(LONGEST))
        ranks[item.path] = min(rank, ranks.get(item.path, rank))
    items.sort(key=lambda item: ranks[item.path])


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small project's folder; look at its artifacts, change nothing in it."""
    return make_project(tmp_path_factory.mktemp("flow") / "acme-churn")


@pytest.fixture(scope="session")
def settings(project: Path) -> Settings:
    return load(project)


@pytest.fixture
def new_project(tmp_path: Path) -> Callable[..., Path]:
    """Makes a project of the test's own, with changed keys: ``new_project({"train.knots": 4})``."""

    def make(changes: dict[str, Any] | None = None) -> Path:
        return make_project(tmp_path / "own", **(changes or {}))

    return make


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium."""
    from chromium import chromium

    with chromium() as opened:
        yield opened


@pytest.fixture(autouse=True)
def _environment_stays() -> Iterator[None]:
    """What commands leave behind in this process: the next test must not see it."""
    before = dict(ENVIRONMENT)
    yield
    for name in set(ENVIRONMENT) - set(before):
        del ENVIRONMENT[name]
    ENVIRONMENT.update(before)
    # MLflow remembers where each run's artifacts are; a copy of the project has the same runs elsewhere.
    if mlflow := sys.modules.get("mlflow.tracking._tracking_service.utils"):
        mlflow._artifact_repos_cache.clear()


def _artifact(verb: str, noun: str, after: str | None) -> Any:
    @pytest.fixture(scope="session", name=noun)
    def artifact(project: Path, request: pytest.FixtureRequest) -> Path:
        if after:
            request.getfixturevalue(after)
        return run(project, verb).path(noun)

    return artifact


raw = _artifact("data", "raw", None)
valid = _artifact("validate", "valid", "raw")
features = _artifact("features", "features", "valid")
trained = _artifact("train", "model", "features")
metrics = _artifact("evaluate", "metrics", "model")
card = _artifact("card", "card", "metrics")
bundle = _artifact("register", "bundle", "card")
scores = _artifact("score", "scores", "bundle")
