"""A copy of this project with a small shop, in which the whole flow runs once for all tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sovereign_ml
import tomlkit
from sovereign_ml.config.settings import Settings, load

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = ("data", "build", "__pycache__", ".git", ".venv", ".mlflow", ".churn", ".*_cache", "tmp")
# The project's own input, limits and answers are for its own data. The shop gets some of its own.
SHOP: dict[str, dict[str, Any]] = {
    "data": {
        "transactions": "synthetic",
        "customers": "synthetic",
        "lawful_basis": "",
        "timezone": "UTC",
        "columns": {
            "customer_id": "customer_id",
            "event_time": "ordered_at",
            "amount_eur": "amount",
            "category": "category",
            "currency": "currency",
        },
        "rates": {"EUR": 1.0, "PLN": 0.235, "SEK": 0.088},
        "customer_columns": {
            "customer_id": "customer_id",
            "consent": "consent",
            "objected_at": "objected_at",
            "erased_at": "erased_at",
            "started_at": "",
            "ended_at": "",
            "birth_year": "birth_year",
            "country": "country",
        },
        "synthetic": {"customers": 600, "days": 420, "seed": 7, "old_features": True},
    },
    "validate": {"max_rejected_share": 0.05},
    "features": {"cutoffs": 4},
    "label": {"kind": "no_purchase"},
    "train": {"regularisation": [0.1], "folds": 1, "min_customers": 50},
    "evaluate": {"bootstrap": 10, "min_group": 30},
    # The gate is wide open, because a model of 600 people cannot meet real limits.
    "register": {
        "min_roc_auc": 0.0,
        "max_brier_share": 2.0,
        "calibration_slope": [-9.0, 9.0],
        "max_fairness_gap": 1.0,
    },
}


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the copy: this project's files, the shop as input, no answers yet."""
    root = tmp_path_factory.mktemp("small") / "project"
    shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns(*LEFT_OUT, "cache"))
    config = tomlkit.parse((root / "config.toml").read_text(encoding="utf-8"))
    for name, table in SHOP.items():
        for key, value in table.items():
            config[name][key] = value
    (root / "config.toml").write_text(tomlkit.dumps(config), encoding="utf-8")
    (root / "model_card.toml").write_text("", encoding="utf-8")
    for command in (
        ["init", "--quiet"],
        ["add", "--all"],
        [*_identity(), "commit", "--quiet", "-m", "Copy"],
    ):
        subprocess.run(["git", "-C", str(root), *command], check=True, capture_output=True)
    return root


def _identity() -> list[str]:
    # A developer's own settings may ask for a passphrase.
    options = ("user.name=Test", "user.email=test@example.org", "commit.gpgsign=false")
    return [part for option in options for part in ("-c", option)]


def environment(root: Path) -> dict[str, str]:
    """Return variables with which a program uses the code of ``root`` and no home of anybody."""
    code = (root / "src", Path(sovereign_ml.__file__).parents[1])
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}/usr/bin:/bin",
        "PYTHONPATH": os.pathsep.join(map(str, code)),
        # Settings in the home of a developer would change what a test sees.
        "HOME": str(root.parent / "home"),
        # A fixed key gives the same pseudonyms on every run.
        "CHURN_PSEUDONYM_KEY": "0f" * 32,
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    }


Churn = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def churn(small: Path) -> Churn:
    """Return the command line in the copy: ``churn("run")``."""
    (small.parent / "home").mkdir()

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(Path(sys.executable).with_name("churn")), *arguments],
            cwd=small,
            env=environment(small),
            capture_output=True,
            text=True,
            check=False,
        )

    return command


@pytest.fixture(scope="session")
def flow(small: Path, churn: Churn) -> Path:
    """Return the copy after `churn run`: every artifact is there. Tests only read them."""
    done = churn("run")
    assert done.returncode == 0, done.stdout + done.stderr
    return small


@pytest.fixture(scope="session")
def settings(small: Path) -> Settings:
    """Return the settings of the copy: ``settings.path("raw")`` is the folder of an artifact."""
    return load(root=small, environ=environment(small))
