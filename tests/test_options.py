"""Every pair of answers gives a project that holds together: files, pages, lint, types, audit."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import combinations
from pathlib import Path

import pytest

from bake import ROOT, bake
from conftest import Project
from sovereign_ml.audit import _scan
from sovereign_ml.audit.notebooks import scan_notebooks
from sovereign_ml.audit.secrets import scan_secrets
from sovereign_ml.config.settings import load
from sovereign_ml.pipeline.project_audit import judged

Answers = dict[str, str]
ANSWERS = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
PARTS = {
    "infra": {"infra/compose.yaml", "infra/kustomize/mlflow.yaml", "infra/Dockerfile"},
    "kubeflow": {"infra/kubeflow/notebook.yaml", "src/churn/pipeline.py", "infra/Dockerfile"},
    "kserve": {"deploy/kserve/inferenceservice.yaml"},
    "jupyterhub": {"infra/jupyterhub/values.yaml", "infra/Dockerfile"},
    "sagemaker": {"docs/leave-sagemaker.md"},
    "hopsworks": {"requirements/hopsworks.in", "requirements/hopsworks.lock"},
    "clearml": {"requirements/clearml.in", "requirements/clearml.lock"},
    "spark": {
        "requirements/spark.in",
        "requirements/spark.lock",
        "infra/Dockerfile.spark",
        "infra/kubeflow/spark-features.yaml",
    },
}
"""Some files of each part."""
CHOICES = {
    key: options
    for key, options in ANSWERS.items()
    if isinstance(options, list) and not key.startswith("_")
}
FACTORS: dict[str, Sequence[str]] = CHOICES | dict.fromkeys(PARTS, ("with", "without"))
READ_BY_LINTERS = (
    *("src/**/*.py", "serve/*.py", "tests/*.py", "notebooks/*", "pyproject.toml", "dvc.yaml"),
    *("requirements/*.in", "requirements/*.toml"),
)
KUBERNETES = re.compile(r"^apiVersion:", re.MULTILINE)


def pairs(answers: Mapping[str, str]) -> set[frozenset[tuple[str, str]]]:
    return {frozenset(pair) for pair in combinations(answers.items(), 2)}


def all_pairs(factors: Mapping[str, Sequence[str]]) -> Iterator[Answers]:
    """Yield sets of answers until every pair of answers to two questions was in one of them."""
    missing = {
        frozenset({(first, one), (second, other)})
        for first, second in combinations(factors, 2)
        for one in factors[first]
        for other in factors[second]
    }
    while missing:
        answers = dict(min(sorted(pair) for pair in missing))
        # In the order of the questions, so that every process of the tests makes the same sets.
        open_keys = [key for key in factors if key not in answers]
        for key in sorted(open_keys, key=lambda key: -len(factors[key])):
            tries = [answers | {key: option} for option in factors[key]]
            answers = max(tries, key=lambda chosen: len(pairs(chosen) & missing))
        missing -= pairs(answers)
        yield {key: answers[key] for key in factors}


SETS = list(all_pairs(FACTORS))


@pytest.fixture(scope="module")
def seen() -> set[object]:
    """Contents that were linted, and answers whose files were searched for secrets, once each."""
    return set()


@pytest.fixture(scope="module", autouse=True)
def _each_content_is_read_once() -> Iterator[None]:
    """Let the audit remember what it found in a file: most are the same in every project.

    A reader is given the name and the text of a file and nothing else.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_scan, "_read", cache(_scan._read))
        yield


def questions(answers: Answers) -> Answers:
    """Return a set of answers as cookiecutter takes it: the parts are one question."""
    wanted = " ".join(part for part in PARTS if answers[part] == "with") or "none"
    return {key: answers[key] for key in CHOICES} | {"parts": wanted}


def test_every_pair_of_answers_is_in_a_set() -> None:
    covered = set().union(*map(pairs, SETS))
    expected = sum(len(FACTORS[a]) * len(FACTORS[b]) for a, b in combinations(FACTORS, 2))
    assert len(covered) == expected
    print(f"{len(SETS)} sets of answers hold all {expected} pairs")


@pytest.mark.parametrize("answers", SETS, ids=lambda answers: "-".join(answers.values()))
def test_a_set_of_answers_gives_a_whole_project(
    answers: Answers, seen: set[object], rendered: Path, tmp_path: Path
) -> None:
    project = Project(bake(tmp_path, **questions(answers)), tmp_path / "home")
    wanted = set().union(*(files for part, files in PARTS.items() if answers[part] == "with"))
    there = {name for name in set().union(*PARTS.values()) if (project.root / name).exists()}
    assert there == wanted
    assert list(dead_ends(project.root, rendered)) == []
    settings = tomllib.loads((project.root / "config.toml").read_text(encoding="utf-8"))
    assert settings["train"]["model"] == answers["model"]
    assert settings["label"]["kind"] == answers["label"]
    assert (settings["data"]["transactions"] == "synthetic") == (answers["example"] == "shop")
    loaded = load("local", project.root, project.env)
    report = judged(loaded, project.env)
    counts = report.counts()
    assert counts | {"error": 0, "warning": 0} == counts, report.lines()
    assert counts["notice"] > 0
    if not seen.issuperset(answers.items()):
        excluded = loaded.audit.exclude
        assert scan_notebooks(project.root, excluded) == []
        assert scan_secrets(project.root, excluded) == []
    seen.update(answers.items())
    content = hashlib.sha256()
    for pattern in READ_BY_LINTERS:
        for path in sorted(project.root.glob(pattern)):
            content.update(f"{path.relative_to(project.root)}\0".encode() + path.read_bytes())
    if content.hexdigest() not in seen:
        project.make("lint", "types")
        seen.add(content.hexdigest())


def dead_ends(root: Path, default: Path) -> Iterator[str]:
    """Yield what a page names and the project lacks: files, headings and marks of the template.

    A path in the text is one if a project with all parts has it.
    """
    for page in (root / "README.md", *(root / "docs").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if left := re.findall(r"(?:<!--|#) with .*", text):
            yield f"{page.name}: {left}"
        for address, heading in re.findall(r"\]\((?![a-z]+:)([^)#\s]*)#?([^)\s]*)\)", text):
            target = page.parent / address if address else page
            if not target.exists():
                yield f"{page.name}: {address}"
            elif heading and heading not in headings(target):
                yield f"{page.name}: {address}#{heading}"
        for name in re.findall(r"`([\w.-]+(?:/[\w.-]+)+)/?(?: [a-z]+)?`", text):
            if (default / name).exists() and not (root / name).exists():
                yield f"{page.name}: {name}"


def headings(page: Path) -> set[str]:
    """Return the anchors of a page, as a forge makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_a_page_that_names_a_part_nobody_wants_would_be_found(
    rendered: Path, tmp_path: Path
) -> None:
    root = bake(tmp_path, parts="none")
    page = root / "docs/tools.md"
    page.write_text("[a](gone.md) [b](#gone) `infra/up storage` <!-- with infra -->\n")
    assert len(list(dead_ends(root, rendered))) == 4


def test_a_small_team_gets_no_file_for_kubernetes(tmp_path: Path) -> None:
    root = bake(tmp_path, parts="none")
    texts = [path.read_text() for path in root.rglob("*.yaml")]
    assert texts
    assert not [text for text in texts if KUBERNETES.search(text)]
    assert not (root / "infra").exists()
    assert "kfp" not in (root / "requirements/train.in").read_text()


@pytest.mark.parametrize(("command", "names"), [("kubeflow compile", "pipeline.py"),
                                                ("deploy kserve", "deploy/kserve")])  # fmt: skip
def test_a_command_of_a_part_that_is_not_there_says_so_in_one_line(
    command: str, names: str, tmp_path: Path
) -> None:
    project = Project(bake(tmp_path, parts="infra"), tmp_path / "home")
    digest = "0123456789abcdef" * 4
    config = project.root / "config.toml"
    config.write_text(config.read_text().replace("0" * 64, digest))
    more = ("build/x.yaml",) if "compile" in command else ()
    result = project.run("churn", *command.split(), *more, check=False)
    assert result.returncode == 2, result.stderr
    assert names in result.stderr
    assert "Traceback" not in result.stderr


def test_with_own_data_the_first_run_says_what_to_do_and_then_reads_them(tmp_path: Path) -> None:
    project = Project(bake(tmp_path, example="own-data"), tmp_path / "home")
    first = project.make("run", check=False)
    assert first.returncode == 2
    [line] = [line for line in first.stderr.splitlines() if not line.startswith("make")]
    assert "`churn data suggest FILE`" in line
    lines = ["customer;date;total", *sales()]
    (project.root / "sales.csv").write_text("\n".join(lines) + "\n")
    decided = ("--set", "lawful_basis=contract", "--set", "timezone=Europe/Berlin")
    suggested = ("churn", "data", "suggest", "sales.csv", *decided)
    project.run(*suggested)
    project.run(*suggested, "--apply", "--yes")
    project.run("churn", "data")
    assert json.loads((project.root / "data/1_raw/summary.json").read_text())["rows_out"] > 400


def sales() -> Iterator[str]:
    """Yield lines of a shop whose 50 customers buy every few days until yesterday."""
    for number in range(500):
        day = datetime.now(UTC) - timedelta(days=1 + number * 0.4, minutes=number)
        yield f"K-{number % 50:04};{day:%Y-%m-%d %H:%M:%S};{10 + number % 37},{number % 90 + 10}"


@pytest.mark.flow
def test_boosting_on_contracts_runs_from_data_to_scores(tmp_path: Path) -> None:
    answers = {"model": "boosting", "label": "ended", "parts": "none"}
    project = Project(bake(tmp_path, **answers), tmp_path / "home")
    config = project.root / "config.toml"
    small = {"bootstrap": "20", "folds": "1", "regularisation": "[0.3]"}
    text = config.read_text()
    for key, value in small.items():
        text, count = re.subn(rf"(?m)^{key} = [^#\n]+", f"{key} = {value} ", text)
        assert count == 1
    config.write_text(text)
    output = project.run("churn", "run", "--customers", "1000").stdout
    assert re.search(r"(?m)^8 score", output)
    facts = json.loads((project.root / "data/6_card/card.json").read_text())["facts"]
    assert "contract" in facts["data"]["label_window"]
    assert facts["model"]["algorithm"].startswith("Gradient boosting")
    assert "R77" not in project.run("churn", "check", check=False).stdout
