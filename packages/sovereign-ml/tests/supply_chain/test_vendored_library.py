"""An edited installation shows, however the edit is hidden; the rule digest follows the rules."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import packaging
import pytest

from library_environment import LibraryEnvironment, build_wheel
from sovereign_ml.bundle.installed_files import sha256_of
from sovereign_ml.bundle.library_identity import PACKAGE, RULE_CODE, rule_digest
from sovereign_ml.errors import Refused
from sovereign_ml.supply_chain.lockfile import with_library_pin
from wheels import write_wheel

TARGET = "sovereign_ml/supply_chain/lockfile.py"
SCRIPT = """
import dataclasses, json, pathlib
from sovereign_ml.bundle import library_identity
from sovereign_ml.supply_chain import vendored_library
print(json.dumps({
    "record": dataclasses.asdict(library_identity.identify()),
    "project": dataclasses.asdict(vendored_library.project_identity(pathlib.Path.cwd())),
}))
"""


class Environment(LibraryEnvironment):
    """An environment beside a project's ``vendor/`` and ``requirements/``."""

    def __init__(self, project: Path) -> None:
        super().__init__(project / "env")
        self.project = project
        self.wheel = next((project / "vendor").glob("*.whl"))
        self.lock = project / "requirements" / "train.lock"

    def check(self, **env: str) -> dict[str, Any]:
        """Return what the library says of itself, by RECORD and by the project's wheel."""
        result = self.run("-c", SCRIPT, folder=self.project, **env)
        assert result.returncode == 0, result.stderr
        return dict(json.loads(result.stdout.splitlines()[-1]))

    def problems(self, **env: str) -> list[str]:
        """Return the problems that RECORD shows."""
        return list(self.check(**env)["record"]["problems"])

    def change(self) -> Path:
        path = self.site / TARGET
        path.write_text(path.read_text() + "WEAKENED = True\n")
        return path


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("original")
    wheel = build_wheel(root / "vendor", root / "requirements")
    LibraryEnvironment.create(root / "env", wheel)
    return root


@pytest.fixture
def environment(original: Path, tmp_path: Path) -> Environment:
    return Environment(Path(shutil.copytree(original, tmp_path / "project", symlinks=True)))


def test_an_untouched_installation_agrees_with_record_wheel_and_lock(
    environment: Environment,
) -> None:
    digest = environment.lock.read_text().split("sha256:")[1].strip()
    for _ in range(2):  # the second time, Python has written its caches
        report = environment.check()
        for identity in report.values():
            assert (identity["problems"], identity["startup_code"]) == ([], [])
            assert identity["state"] == "released"
            assert identity["version"] == environment.wheel.name.split("-")[1]
            assert identity["rule_digest"] == rule_digest()
        assert report["project"]["wheel_sha256"] == digest


def changed(environment: Environment) -> None:
    environment.change()


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
    (environment.project / "outside").mkdir()
    (environment.site / "sovereign_ml" / "rules").symlink_to(environment.project / "outside")


def poisoned_cache(environment: Environment) -> None:
    """Put the compiled edit beside the untouched source, under the source's time and size."""
    environment.check()
    path = environment.site / TARGET
    untouched, times = path.read_bytes(), (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    cache = next((path.parent / "__pycache__").glob("lockfile.*.pyc"))
    header = cache.read_bytes()[:16]
    environment.change()
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
    problems = environment.problems()
    assert len(problems) == 1, problems
    assert TAMPERING[tamper] in problems[0]


def test_compiled_code_that_is_exchanged_between_two_checks_of_one_process_shows(
    environment: Environment,
) -> None:
    script = f"""
import importlib.util, pathlib
from sovereign_ml.bundle import library_identity
import sovereign_ml.supply_chain.lockfile
print(len(library_identity.identify().problems))
cache = pathlib.Path(importlib.util.cache_from_source({str(environment.site / TARGET)!r}))
other = next(path for path in cache.parent.iterdir() if path != cache)
cache.write_bytes(cache.read_bytes()[:16] + other.read_bytes()[16:])
print(*library_identity.identify().problems)
"""
    done = environment.run("-c", script, folder=environment.project)
    before, after = done.stdout.splitlines()
    assert before == "0", done.stderr
    assert TAMPERING[poisoned_cache] in after


def test_a_record_that_was_rewritten_to_fit_the_edit_shows_against_the_wheel(
    environment: Environment,
) -> None:
    environment.change()
    environment.fit_record(TARGET)
    report = environment.check()
    assert report["record"]["state"] == "released"
    assert report["project"]["state"] == "changed"
    (line,) = report["project"]["problems"]
    assert line.startswith(f"{TARGET} was changed after it was installed")
    assert "its wheel says" in line


def test_a_wheel_that_was_exchanged_too_shows_against_the_lock(environment: Environment) -> None:
    text = environment.lock.read_text()
    environment.lock.write_text(
        text.replace("sha256:" + text.split("sha256:")[1][:4], "sha256:0000")
    )
    assert environment.check()["project"]["problems"] == [
        f"train.lock does not name {environment.wheel.name} by its version and hash"
    ]


def test_a_project_without_vendor_takes_version_and_hash_from_its_lock(
    environment: Environment,
) -> None:
    shutil.rmtree(environment.project / "vendor")
    identity = environment.check()["project"]
    assert identity["state"] == "released"
    assert identity["wheel_sha256"] in environment.lock.read_text()
    version = identity["version"]
    environment.lock.write_text(environment.lock.read_text().replace(version, "2027.1.0"))
    assert environment.check()["project"]["problems"] == [
        f"train.lock names release 2027.1.0, installed is {version}"
    ]


def test_an_upgrade_that_was_not_installed_shows(environment: Environment) -> None:
    shutil.rmtree(environment.project / "vendor")
    new = write_wheel(environment.project / "vendor", "2027.1.0")
    environment.lock.write_text(
        with_library_pin(environment.lock.read_text(), "2027.1.0", sha256_of(new))
    )
    (line,) = environment.check()["project"]["problems"]
    assert (
        line
        == f"{new.name} is the release to use, installed is {environment.wheel.name.split('-')[1]}"
    )


def test_another_folder_on_the_path_that_shadows_the_library_shows(
    environment: Environment,
) -> None:
    shadow = environment.project / "shadow"
    shutil.copytree(environment.site / "sovereign_ml", shadow / "sovereign_ml")
    problems = environment.problems(PYTHONPATH=str(shadow))
    assert any(line.startswith("sovereign_ml was imported from") for line in problems)


def test_code_that_runs_before_the_library_is_named(environment: Environment) -> None:
    (environment.site / "early.pth").write_text("import sys; sys.early = True\n")
    folder = environment.project / "early"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("")
    identity = environment.check(PYTHONPATH=str(folder))["record"]
    assert identity["problems"] == []
    assert identity["startup_code"] == [
        f"{environment.site / 'early.pth'} runs code at start-up",
        f"{folder / 'sitecustomize.py'} runs at start-up",
    ]


def test_the_start_of_the_egress_guard_is_known_by_its_content(environment: Environment) -> None:
    boot = environment.project / "boot"
    boot.mkdir()
    known = environment.site / "sovereign_ml" / "egress" / "boot" / "sitecustomize.py"
    copy = Path(shutil.copy(known, boot / "sitecustomize.py"))
    # Two folders above the copy is where it looks for the library.
    assert environment.check(PYTHONPATH=str(boot))["record"]["startup_code"] == []
    copy.write_text(copy.read_text() + "EARLY = True\n")
    assert environment.check(PYTHONPATH=str(boot))["record"]["startup_code"] == [
        f"{copy} runs at start-up"
    ]


def test_a_development_install_says_so(environment: Environment) -> None:
    environment.make_editable()
    environment.change()
    identity = environment.check()["project"]
    assert (identity["state"], identity["problems"]) == ("development", [])


def test_a_library_that_no_package_installed_is_a_development_version(
    environment: Environment,
) -> None:
    shutil.rmtree(environment.record.parent)
    # The library of the tests is an installed package: out of sight, but for what is needed.
    (environment.site / "tests.pth").unlink()
    shutil.copytree(Path(packaging.__file__).parent, environment.site / "packaging")
    identity = environment.check()["project"]
    assert (identity["state"], identity["wheel_sha256"]) == ("development", "")


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
