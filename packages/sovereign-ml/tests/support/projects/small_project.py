"""A small copy of this project in a folder of its own, for tests that run the flow."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import shutil
import subprocess
import sys
import termios
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit

import sovereign_ml
import warm_churn
from churn.project import PROJECT as OBJECT
from sovereign_ml.config import settings
from sovereign_ml.config.settings import Settings
from sovereign_ml.pipeline import flow, source
from sovereign_ml.project import load_project

REPOSITORY = Path(__file__).resolve().parents[5]
PROJECT = REPOSITORY / "{{cookiecutter.project_slug}}"
LIBRARY = Path(sovereign_ml.__file__).parents[1]
"""Where the library is imported from: the environment, or a checkout on PYTHONPATH."""
TEST_PROGRAMS = Path(sys.executable).parent
PROGRAMS = Path(settings.ENVIRONMENT.get("CHURN_SHIPPED", TEST_PROGRAMS))
"""Folder of `churn`: the environment that a team gets, if ``CHURN_SHIPPED`` names its bin folder."""
ON_PATH = (LIBRARY,) if PROGRAMS == TEST_PROGRAMS else ()
"""Another library on the path would hide the one that the shipped environment installed."""
KEY = "0f" * 32
CACHES = (
    ("PYTHONPYCACHEPREFIX",)
    if "PYTHONPYCACHEPREFIX" in settings.ENVIRONMENT
    else ("PYTHONDONTWRITEBYTECODE",)
)
"""Where compiled modules go; without them a command spends most of its time on compiling what it imports."""
NO_PAUSES = {"MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0", "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0"}
"""MLflow asks a server that is away as often as ever, but without the half minute of pauses between."""
PASSED_ON = (*CACHES, *NO_PAUSES, "OMP_NUM_THREADS")
"""Variables of the tests that a command gets as well. Workers share the cores: threads of its own would wait."""
ANSWERS = {
    "project_slug": "acme-churn",
    "project_name": "Acme churn",
    "organisation": "Acme",
    "contact": "team@acme.example",
    "dpo_contact": "dpo@acme.example",
    "s3_bucket": "acme-churn",
    "__s3_endpoint": "https://fsn1.your-objectstorage.com",
    "__s3_region": "fsn1",
    "label": "no_purchase",
    "model": "scorecard",
    "__shop": "synthetic",
    "__started_at": "",
    "__ended_at": "",
    "__outcome": "not buy",
    "__subjects": "customers who bought in the last 90 days",
    "__label_definition": "No purchase in the next 30 days, among customers who bought in the last 90 days.",
    "__runner": "kubeflow",
    "__model_in_words": "an additive scorecard",
    "__first_run": "on a built-in shop until you name your own data",
}
SMALL = {
    "data.synthetic.customers": 1500,
    "data.synthetic.days": 420,
    "features.cutoffs": 4,
    # Tests look at every feature; what a fresh project leaves out has tests of its own.
    "features.inputs": [],
    "train.regularisation": [0.1, 1.0],
    "train.min_customers": 100,
    "evaluate.bootstrap": 40,
    "evaluate.min_group": 60,
    # So few people make wide gaps between groups by chance; the limits have tests of their own.
    "card.policy.max_fairness_tolerance": 1.0,
    "register.max_fairness_gap": 1.0,
    # The dates of the tests are fixed, and must not expire; the limit has tests of its own.
    "score.max_feature_age_days": 36_500,
}


def rendered(text: str) -> str:
    """``text`` with the template's questions answered; unchanged in a project that is rendered already."""
    return re.sub(r"\{\{ cookiecutter\.(\w+) \}\}", lambda found: ANSWERS[found[1]], text)


def configure(root: Path, changes: Mapping[str, Any]) -> None:
    """Set dotted keys of ``config.toml`` in ``root``."""
    path = root / "config.toml"
    document = tomlkit.parse(path.read_text(encoding="utf-8"))
    for dotted, value in changes.items():
        *tables, key = dotted.split(".")
        table: Any = document
        for name in tables:
            table = table.setdefault(name, tomlkit.table())
        table[key] = value
    path.write_text(tomlkit.dumps(document), encoding="utf-8")


def make_project(root: Path, **more: Any) -> Path:
    """A git repository with the small ``config.toml`` and ``model_card.toml`` in ``root``; returns it."""
    root.mkdir(parents=True, exist_ok=True)
    for name in ("config.toml", "documents.toml", "model_card.toml", "pyproject.toml"):
        (root / name).write_text(
            rendered((PROJECT / name).read_text(encoding="utf-8")), encoding="utf-8"
        )
    configure(root, SMALL | more)
    answers = root / "model_card.toml"
    loose = re.sub(
        r"(?m)^fairness_tolerance = .*$",
        "fairness_tolerance = 1.0",
        answers.read_text(encoding="utf-8"),
    )
    answers.write_text(loose, encoding="utf-8")
    commit(root)
    return root


def make_clone(root: Path) -> Path:
    """A whole small project, as after rendering: code, dvc.yaml and all; its DVC remote will be beside it."""
    left = (
        "__pycache__",
        ".*_cache",
        ".git",
        ".venv",
        ".mlflow",
        ".churn",
        ".hypothesis",
        "tests",
        "build",
        "data",
    )
    shutil.copytree(PROJECT, root, ignore=shutil.ignore_patterns(*left, "cache", "tmp"))
    dvc = root / ".dvc/config"
    dvc.write_text(rendered(dvc.read_text(encoding="utf-8")), encoding="utf-8")
    return make_project(root)


def commit(
    root: Path, message: str = "State", name: str = "Test", mail: str = "test@acme.example"
) -> None:
    """Commit everything in ``root``, with a name of the tests' own."""
    who = (
        "-c",
        f"user.name={name}",
        "-c",
        f"user.email={mail}",
        "-c",
        "commit.gpgsign=false",
    )
    for command in (
        ("init", "--quiet"),
        ("add", "--all"),
        (*who, "commit", "--quiet", "--allow-empty", "-m", message),
    ):
        subprocess.run(["git", "-C", str(root), *command], check=True, capture_output=True)


def environment(root: Path, **more: str) -> dict[str, str]:
    """An environment in which commands use this project's code and leave the user's home alone."""
    home = root.parent / "home"
    home.mkdir(exist_ok=True)
    code = root if (root / "src").is_dir() else PROJECT
    return {
        "PATH": f"{PROGRAMS}{os.pathsep}/usr/bin:/bin",
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "PYTHONPATH": os.pathsep.join(map(str, (code / "src", code / "serve", *ON_PATH))),
        **{name: settings.ENVIRONMENT[name] for name in PASSED_ON if name in settings.ENVIRONMENT},
        "CHURN_PSEUDONYM_KEY": KEY,
        **more,
    }


def load(root: Path, profile: str | None = None, **more: str) -> Settings:
    """Settings of the project in ``root``, with nothing of the user's environment."""
    return settings.load(profile, root, environment(root, **more))


def run(root: Path, *verbs: str) -> Settings:
    """Run steps in this process on the project's own artifacts."""
    found = load(root)
    for verb in verbs:
        if verb == "data":
            source.refresh(found)
        flow.run_step(verb, found, load_project(root))
    return found


def step(verb: str, settings: Settings, *paths: Path) -> None:
    """Call the step ``verb`` of the template's project on its inputs and then its output."""
    *inputs, output = paths
    known = flow.provided(settings, OBJECT)
    flow.run_on(OBJECT.step(verb), OBJECT, known, inputs, output)


def churn(
    root: Path,
    *arguments: str,
    programs: Path = PROGRAMS,
    **environ: str,
) -> subprocess.CompletedProcess[str]:
    """Run the command ``churn`` in ``root``, as a person would; its packages are imported already.

    It starts from scratch with ``COLD=1``, and with variables of other programs: they may change an import.
    """
    read_late = all(warm_churn.READ_LATE.match(name) for name in environ)
    if programs == PROGRAMS and read_late and "COLD" not in settings.ENVIRONMENT:
        return warm_churn.churn(root, *arguments, **environ)
    command = [str(programs / "churn"), *arguments]
    env = environment(root, **environ)
    return subprocess.run(
        command, cwd=root, env=env, capture_output=True, text=True, timeout=600, check=False
    )


def on_a_terminal(root: Path, *arguments: str, columns: int = 80) -> tuple[int, str]:
    """The same on a terminal of ``columns``; returns the exit code and every byte that it showed."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (40, columns))
    command = [str(PROGRAMS / "churn"), *arguments]
    env = environment(root, TERM="xterm-256color")
    with subprocess.Popen(
        command, cwd=root, env=env, stdin=slave, stdout=slave, stderr=slave
    ) as process:
        os.close(slave)
        shown = b""
        with contextlib.suppress(OSError):  # how Linux says that the last writer has left
            while read := os.read(master, 65536):
                shown += read
        os.close(master)
    return process.returncode, shown.decode()
