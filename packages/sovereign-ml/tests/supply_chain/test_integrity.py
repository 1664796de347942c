"""An edited installation shows, however the edit is hidden; the rule digest follows the rules."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sovereign_ml.errors import Refused
from sovereign_ml.supply_chain.integrity import PACKAGE, RULE_CODE, rule_digest
from wheels import record_line

REPOSITORY = Path(__file__).resolve().parents[4]
TARGET = "sovereign_ml/supply_chain/lockfile.py"
SCRIPT = """
import dataclasses, json, pathlib, sys
from sovereign_ml.supply_chain import integrity, lockfile
wheel, lock = map(pathlib.Path, sys.argv[1:])
print(json.dumps({
    **dataclasses.asdict(integrity.installed()),
    "released": integrity.verify_against(wheel, [lock]),
}))
"""


class Environment:
    """A virtual environment with the library's wheel, and the lock that names it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.wheel = next(root.glob("*.whl"))
        self.lock = root / "train.lock"
        self.python = root / "env" / "bin" / "python"
        self.site = next((root / "env" / "lib").glob("python*")) / "site-packages"
        self.record = next(self.site.glob("sovereign_ml-*.dist-info")) / "RECORD"

    def check(self, **env: str) -> dict[str, Any]:
        """Return what the library says of itself, asked in a new process of this environment."""
        command = [str(self.python), "-c", SCRIPT, str(self.wheel), str(self.lock)]
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        result = subprocess.run(
            command,
            cwd=self.root,
            env={**clean, **env},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        return dict(json.loads(result.stdout.splitlines()[-1]))

    def edit(self) -> Path:
        path = self.site / TARGET
        path.write_text(path.read_text() + "WEAKENED = True\n")
        return path


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("original")
    release = [sys.executable, str(REPOSITORY / "packages" / "release.py")]
    subprocess.run([*release, "build", str(root)], check=True, capture_output=True)
    wheel = next(root.glob("*.whl"))
    digest = subprocess.run(
        ["sha256sum", wheel], check=True, capture_output=True, text=True
    ).stdout[:64]
    (root / "train.lock").write_text(
        f"sovereign-ml=={wheel.name.split('-')[1]} \\\n    --hash=sha256:{digest}\n"
    )
    return root


@pytest.fixture
def environment(original: Path, tmp_path: Path) -> Environment:
    root = Path(shutil.copytree(original, tmp_path / "root"))
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root / "env")], check=True)
    python = str(root / "env" / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index"]
    subprocess.run([*pip, "--no-deps", f"--find-links={root}", "sovereign-ml"], check=True)
    return Environment(root)


def test_an_untouched_installation_agrees_with_record_wheel_and_lock(
    environment: Environment,
) -> None:
    for _ in range(2):  # the second time, Python has written its caches
        report = environment.check()
        assert (report["problems"], report["released"], report["startup_code"]) == ([], [], [])
        assert (report["editable"], report["version"]) == (
            False,
            environment.wheel.name.split("-")[1],
        )
        assert report["files"] > 5


def changed(environment: Environment) -> None:
    environment.edit()


def missing(environment: Environment) -> None:
    (environment.site / "sovereign_ml" / "py.typed").unlink()


def added_module(environment: Environment) -> None:
    (environment.site / "sovereign_ml" / "rules.py").write_text("")


def extension_module(environment: Environment) -> None:
    """Put one beside a module that the check itself does not import: Python would prefer it."""
    (environment.site / "sovereign_ml" / "cli" / "wheel.abi3.so").write_bytes(b"\x7fELF")


def module_without_source(environment: Environment) -> None:
    (environment.site / "sovereign_ml" / "rules.pyc").write_bytes(b"")


def linked_folder(environment: Environment) -> None:
    (environment.root / "outside").mkdir()
    (environment.site / "sovereign_ml" / "rules").symlink_to(environment.root / "outside")


def poisoned_cache(environment: Environment) -> None:
    """Put the compiled edit beside the untouched source, under the source's time and size."""
    environment.check()
    path = environment.site / TARGET
    untouched, times = path.read_bytes(), (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    cache = next((path.parent / "__pycache__").glob("lockfile.*.pyc"))
    header = cache.read_bytes()[:16]
    environment.edit()
    compile_it = "import py_compile, sys; py_compile.compile(sys.argv[1], cfile=sys.argv[2])"
    subprocess.run([environment.python, "-c", compile_it, path, cache], check=True)
    cache.write_bytes(header + cache.read_bytes()[16:])
    path.write_bytes(untouched)
    os.utime(path, ns=times)


TAMPERING: dict[Callable[[Environment], None], str] = {
    changed: f"{TARGET} was changed",
    missing: "sovereign_ml/py.typed is missing",
    added_module: "sovereign_ml/rules.py is not part of",
    extension_module: "sovereign_ml/cli/wheel.abi3.so is not part of",
    module_without_source: "sovereign_ml/rules.pyc is not part of",
    linked_folder: "sovereign_ml/rules is a link",
    poisoned_cache: f"{TARGET}: its compiled code",
}


@pytest.mark.parametrize("tamper", TAMPERING, ids=lambda function: function.__name__)
def test_tampering_with_the_installed_files_shows(
    environment: Environment, tamper: Callable[[Environment], None]
) -> None:
    tamper(environment)
    problems = environment.check()["problems"]
    assert len(problems) == 1, problems
    assert TAMPERING[tamper] in problems[0]


def test_a_record_that_was_rewritten_to_fit_the_edit_shows_against_the_wheel(
    environment: Environment,
) -> None:
    path = environment.edit()
    lines = environment.record.read_text().splitlines()
    fitted = [record_line(TARGET, path.read_bytes()) if TARGET in line else line for line in lines]
    environment.record.write_text("\n".join(fitted) + "\n")
    report = environment.check()
    assert report["problems"] == []
    assert report["released"] == [f"{TARGET} was changed after it was installed"]


def test_a_wheel_that_was_exchanged_too_shows_against_the_lock(environment: Environment) -> None:
    text = environment.lock.read_text()
    environment.lock.write_text(
        text.replace("sha256:" + text.split("sha256:")[1][:4], "sha256:0000")
    )
    assert environment.check()["released"] == [
        f"train.lock does not name {environment.wheel.name} by its version and hash"
    ]


def test_another_folder_on_the_path_that_shadows_the_library_shows(
    environment: Environment,
) -> None:
    shadow = environment.root / "shadow"
    shutil.copytree(environment.site / "sovereign_ml", shadow / "sovereign_ml")
    problems = environment.check(PYTHONPATH=str(shadow))["problems"]
    assert any(line.startswith("sovereign_ml was imported from") for line in problems)


def test_code_that_runs_before_the_library_is_named(environment: Environment) -> None:
    (environment.site / "early.pth").write_text("import sys; sys.early = True\n")
    folder = environment.root / "early"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("")
    (environment.site / "paths.pth").write_text(f"{folder}\n")
    report = environment.check(PYTHONPATH=str(folder))
    assert report["problems"] == []
    assert report["startup_code"] == [
        f"{environment.site / 'early.pth'} runs code at start-up",
        f"{folder / 'sitecustomize.py'} runs at start-up",
    ]


def test_a_development_install_says_so(environment: Environment) -> None:
    environment.record.with_name("direct_url.json").write_text(
        json.dumps({"url": "file:///somewhere", "dir_info": {"editable": True}})
    )
    environment.edit()
    report = environment.check()
    assert (report["editable"], report["problems"]) == (True, [])


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with a file for each place of the rule code."""
    for name in RULE_CODE:
        path = tmp_path / name if name.endswith(".py") else tmp_path / name / "engine.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"LIMIT = 1  # {name}\n")
    return tmp_path


def test_the_rule_digest_is_the_same_in_another_folder(package: Path, tmp_path: Path) -> None:
    before = rule_digest(package)
    copy = Path(shutil.copytree(package, tmp_path / "elsewhere"))
    (copy / "card" / "rules" / "__pycache__").mkdir()
    (copy / "card" / "rules" / "__pycache__" / "engine.cpython-311.pyc").write_bytes(b"cache")
    assert rule_digest(copy) == before


@pytest.mark.parametrize("name", RULE_CODE)
def test_one_changed_line_of_rule_code_changes_the_digest(package: Path, name: str) -> None:
    before = rule_digest(package)
    path = package / name if name.endswith(".py") else package / name / "engine.py"
    path.write_text(path.read_text().replace("LIMIT = 1", "LIMIT = 2"))
    assert rule_digest(package) != before


def test_an_added_or_renamed_rule_changes_the_digest(package: Path) -> None:
    before = rule_digest(package)
    rules = package / "card" / "rules"
    (rules / "engine.py").rename(rules / "machine.py")
    renamed = rule_digest(package)
    (rules / "more.py").write_text("")
    assert len({before, renamed, rule_digest(package)}) == 3


def test_other_code_leaves_the_digest_alone(package: Path) -> None:
    before = rule_digest(package)
    (package / "card" / "render.py").write_text("# other code\n")
    assert rule_digest(package) == before


@pytest.mark.parametrize("name", RULE_CODE)
def test_missing_rule_code_is_refused(package: Path, name: str) -> None:
    path = package / name
    path.unlink() if path.is_file() else shutil.rmtree(path)
    with pytest.raises(Refused, match=name):
        rule_digest(package)


def test_the_rule_code_names_all_that_the_rules_import_of_the_card() -> None:
    places = [PACKAGE / name for name in RULE_CODE]
    files = [
        file for place in places for file in (place.rglob("*.py") if place.is_dir() else [place])
    ]
    outside = set()
    for file in filter(Path.is_file, files):
        for node in ast.walk(ast.parse(file.read_text())):
            module = node.module if isinstance(node, ast.ImportFrom) else None
            if module and module.startswith(("sovereign_ml.card.", "sovereign_ml.bundle.")):
                path = PACKAGE.joinpath(*module.split(".")[1:])
                inside = any(path.is_relative_to(p) or path.with_suffix(".py") == p for p in places)
                outside |= set() if inside else {module}
    assert outside == set()
