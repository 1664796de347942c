"""Parts that the benchmarks share: command line, environment, copies of a project, results."""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Return a parser that takes a rendered project and the folder of the results."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("project", type=Path, help="a rendered project where `make run` has been")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks")
    return parser


def machine() -> dict[str, Any]:
    """Return the number of cores and the version of Python."""
    return {"cores": os.cpu_count(), "python": platform.python_version()}


def used() -> dict[str, float]:
    """Return the CPU seconds of this process, and its peak memory in GB."""
    return {"cpu": cpu_seconds(resource.RUSAGE_SELF), "gb": peak_kb() / 1e6}


def cpu_seconds(*kinds: int) -> float:
    """Return the CPU seconds of this process, of its children that have ended, or of both."""
    spent = map(resource.getrusage, kinds)
    return sum(each.ru_utime + each.ru_stime for each in spent)


def peak_kb(process: int | str = "self") -> int:
    """Return the peak memory of a process in kB."""
    # Linux counts the memory of the parent into ru_maxrss, until the child has its own program.
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def environment(*folders: Path, **variables: str) -> dict[str, str]:
    """Return the environment of a child process that imports from ``folders`` first."""
    code = [*map(str, folders), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(code), **variables}


def fresh(project: Path, copy: Path) -> Path:
    """Return a copy of the project without environment, data and versions of data."""
    ignored = (".venv", "build", ".mlflow", ".churn", "cache", "tmp", "[1-8]_*")
    shutil.copytree(project, copy, ignore=shutil.ignore_patterns(*ignored), symlinks=True)
    (copy / "dvc.lock").unlink(missing_ok=True)
    return copy


def complete_and_seal(folder: Path, settings: Any, card: dict[str, Any], **more: str) -> None:
    """Add what the service and the monitor need to the model in ``folder``, and seal the bundle.

    ``card`` is what is read of a card. ``more`` are the texts of further files, by name.
    """
    from churn.project import PROJECT

    from sovereign_ml.bundle.library_identity import LibraryIdentity
    from sovereign_ml.bundle.sealed import rules_json, seal_bundle
    from sovereign_ml.decisions.rule_policy import RulePolicy
    from sovereign_ml.registry import bundle_files

    policy = bundle_files.policy(
        settings.score,
        PROJECT.target,
        significant_effect=False,
        human_review=False,
        reviewer_contact=settings.project.contact,
    )
    for name, text in {
        "contract.json": PROJECT.feature_contract().model_dump_json(),
        "policy.json": policy.model_dump_json(),
        "rules.json": rules_json(RulePolicy()),
        "card.json": json.dumps(card),
        **more,
    }.items():
        (folder / name).write_text(text, encoding="utf-8")
    seal_bundle(
        folder,
        name=settings.project.name,
        version="1",
        profile="local",
        created_at="",
        git_commit="",
        data_version="",
        **LibraryIdentity("unknown", "", "unknown", "development").tags(),
    )


def publish(out: Path, name: str, result: dict[str, Any], page: str) -> None:
    """Write ``<name>.json`` and ``<name>.md`` into ``out``, and print the page."""
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    (out / f"{name}.md").write_text(page)
    print(page)
