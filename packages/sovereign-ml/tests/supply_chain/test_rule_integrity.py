"""A rule that was weakened in an installed environment is refused wherever a card is judged."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from finished_project import answered, finished_copy
from library_environment import LibraryEnvironment, build_wheel
from service_desk import KEYS
from small_project import KEY, PROJECT, commit, load
from sovereign_ml.bundle.library_identity import rule_digest
from sovereign_ml.bundle.sealed import read_manifest
from sovereign_ml.config.settings import Settings
from sovereign_ml.registry import mlflow

RULE = "sovereign_ml/card/rules/marketing.py"
CHURN = "from sovereign_ml.cli.main import main; main()"
EU = {
    "pipeline.image": f"registry.acme.test/churn@sha256:{'a' * 64}",
    "profile.eu.tracking_uri": "http://127.0.0.1:1",
}
"""Enough that profile eu is no placeholder: nothing there is reached before the refusal."""
WEAKENED = re.compile(
    rf"The installed sovereign-ml \S+ is not the released one: {RULE} was changed after it was "
    r"installed: its SHA-256 is [0-9a-f]{12}, (its wheel|RECORD) says [0-9a-f]{12}\. "
    r"Install it from the lock again: remove \.venv and run `make setup`"
)
Done = subprocess.CompletedProcess[str]


class Team:
    """A project with an approved card, and the environment in which its commands run."""

    def __init__(self, root: Path, environment: LibraryEnvironment) -> None:
        self.root, self.environment = root, environment

    def churn(self, *arguments: str, **environ: str) -> Done:
        """Run ``churn`` with the installed library."""
        return self.environment.run(
            *("-c", CHURN, *arguments),
            folder=self.root,
            PYTHONPATH=str(PROJECT / "src"),
            CHURN_PSEUDONYM_KEY=KEY,
            **environ,
        )

    def check(self) -> Done:
        return self.churn("check")

    def register(self) -> Done:
        return self.churn("register")

    def promote(self) -> Done:
        return self.churn("promote", "--as", "Grace Hopper", "--why", "retraining")

    def serve(self, profile: str = "local") -> Done:
        """Start the service on a log that cannot be opened: what admits its bundle ends there."""
        return self.environment.run(
            *("-m", "sovereign_ml.service"),
            folder=self.root,
            PYTHONPATH=str(PROJECT / "serve"),
            BUNDLE_DIR=str(self.root / "data" / "7_bundle"),
            CHURN_PROFILE=profile,
            CHURN_KEYS=KEYS["score"][1],
            CHURN_LOG="/proc/nowhere/decisions.db",
        )

    def weaken_a_rule(self) -> None:
        """Let a card pass although people who objected were scored."""
        self.environment.edit(RULE, "if case.facts.consent.leak_count:", "if False:")


@pytest.fixture(scope="module")
def prepared(settings: Settings, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with an approved card, ready for step 7, and an environment beside it."""
    folder = tmp_path_factory.mktemp("prepared")
    root = finished_copy(settings, folder / "project", **EU)
    environment = LibraryEnvironment.create(
        folder / "env", build_wheel(root / "vendor", root / "requirements")
    )
    answered(root)
    commit(root)
    team = Team(root, environment)
    for arguments in (
        ("card",),
        ("approve", "--role", "business_owner", "--as", "Grace Hopper"),
        ("approve", "--role", "model_owner", "--as", "Ada Lovelace"),
    ):
        done = team.churn(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def untouched(prepared: Path) -> Team:
    """The team after `churn register` with the library as it was released."""
    team = Team(prepared / "project", LibraryEnvironment(prepared / "env"))
    done = team.register()
    assert done.returncode == 0, done.stdout + done.stderr
    return team


@pytest.fixture
def team(untouched: Team, tmp_path: Path) -> Team:
    """The same project with an environment of the test's own."""
    return Team(untouched.root, untouched.environment.copy(tmp_path / "env"))


@pytest.fixture(params=["check", "register", "promote", "serve"])
def place(request: pytest.FixtureRequest) -> str:
    """A place where a card is judged."""
    return str(request.param)


def test_the_released_library_checks_registers_promotes_and_serves(untouched: Team) -> None:
    assert untouched.check().returncode == 0
    promoted = untouched.promote()
    assert promoted.returncode == 0, promoted.stderr
    assert "decision log" in untouched.serve().stderr.splitlines()[-1]


def test_bundle_registry_and_lock_name_the_library(untouched: Team) -> None:
    sealed = read_manifest(untouched.root / "data" / "7_bundle" / "bundle.json")
    names = {
        "library_version": sealed.library_version,
        "library_wheel_sha256": sealed.library_wheel_sha256,
        "rule_digest": sealed.rule_digest,
    }
    assert sealed.rule_digest == rule_digest()
    settings = load(untouched.root)
    version = mlflow.client(settings.tracking).get_model_version(
        settings.project.name, sealed.version
    )
    assert names.items() <= version.tags.items()


def test_a_weakened_rule_is_refused_in_one_line(team: Team, place: str) -> None:
    team.weaken_a_rule()
    done = getattr(team, place)()
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert WEAKENED.search(line), line


@pytest.mark.parametrize("place", ["check", "register", "promote"])
def test_a_record_that_was_rewritten_to_fit_does_not_help(team: Team, place: str) -> None:
    team.weaken_a_rule()
    team.environment.fit_record(RULE)
    done = getattr(team, place)()
    assert done.returncode == 1
    assert WEAKENED.search(done.stderr), done.stderr
    assert "its wheel says" in done.stderr


def test_a_service_with_other_rules_than_its_bundle_refuses_in_eu_and_warns_in_local(
    team: Team,
) -> None:
    team.weaken_a_rule()
    team.environment.fit_record(RULE)
    refused, warned = team.serve("eu"), team.serve("local")
    assert refused.returncode == warned.returncode == 1  # the second by its decision log
    for done in (refused, warned):
        assert (
            f"its card was judged by the rules {rule_digest()[:12]} of sovereign-ml" in done.stderr
        )
    assert "may not be served in profile eu" in refused.stderr
    assert "decision log" in warned.stderr.splitlines()[-1]


def test_a_rule_file_that_is_gone_is_named_before_the_service_imports_it(team: Team) -> None:
    (team.environment.site / RULE).unlink()
    done = team.serve()
    assert done.returncode == 1
    assert f"{RULE} is missing" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_a_development_version_judges_in_local_and_warns_once(team: Team) -> None:
    team.environment.make_editable()
    done = team.check()
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("is a development version here") == 1
    refused = team.serve("eu")
    assert refused.returncode == 1
    assert "is a development version here, installed from no wheel: profile eu" in refused.stderr


@pytest.mark.parametrize("place", ["check", "register", "promote"])
def test_a_development_version_judges_nothing_in_eu(team: Team, place: str) -> None:
    team.environment.make_editable()
    more = {"promote": ("--as", "Grace Hopper", "--why", "retraining")}.get(place, ())
    done = team.churn(place, *more, "--profile", "eu")
    assert done.returncode == 1, done.stderr
    assert "profile eu does not allow it" in done.stderr, done.stderr


def test_code_that_runs_before_the_rules_warns_in_local_and_is_refused_in_eu(team: Team) -> None:
    (team.environment.site / "early.pth").write_text("import sys\n")
    warned, refused = team.check(), team.serve("eu")
    assert warned.returncode == 0
    for done in (warned, refused):
        assert "early.pth runs code at start-up and belongs to no installed package" in done.stderr
    assert "may not be served in profile eu" in refused.stderr
