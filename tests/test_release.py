"""The wheel: the same bytes everywhere, refused when one byte changes, named once in each lock."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from bake import ROOT, tracked

PROJECT = "{{cookiecutter.project_slug}}"
VERSION = "2026.11.0"
NEXT = "2026.12.0"
WHEEL = f"sovereign_ml-{VERSION}-py3-none-any.whl"
NOBODY = "65534"
NO_PART_OF_THE_WHEEL = "packages/sovereign-ml/tests/"
BUILD_TOOLS = ("hatchling", "packaging", "pathspec", "pluggy", "tomlkit", "trove-classifiers")
# Placeholders stand for the packages that a lock resolves, so that uv resolves without an index.
LIBRARIES = {"jinja2": "3.1.6", "trainer": "1.4", "server": "2.1"}
ALONE = {"uv": "0.9", "clearml": "2.1", "hopsworks": "5.2", "spark": "4.3"}
"""Packages with a lock of their own."""


class Repository:
    """A copy of packages/ with the locks of a small project; commands run without an index."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.project = root / PROJECT
        self.package = root / "packages" / "sovereign-ml"
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_"))}
        self.env |= {"UV_DEFAULT_INDEX": (root / "index").as_uri(), "UV_NO_CONFIG": "1"}
        self.env |= {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}

    def release(
        self, *arguments: str, check: bool = True, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(self.root / "packages" / "release.py"), *arguments]
        return run(command, self.root, {**self.env, **(env or {})}, check=check)

    def build(self, **env: str) -> str:
        """Build into a new folder and return the SHA-256 of the wheel."""
        with tempfile.TemporaryDirectory() as folder:
            self.release("build", folder, env=env)
            return hashlib.sha256((Path(folder) / WHEEL).read_bytes()).hexdigest()

    def git(self, *arguments: str) -> None:
        identity = ["-c", "user.name=Test", "-c", "user.email=test@example.eu"]
        run(["git", *identity, *arguments], self.root, self.env)

    @property
    def wheel(self) -> Path:
        return next((self.project / "vendor").glob("*.whl"))

    def lock(self, name: str) -> str:
        return (self.project / "requirements" / f"{name}.lock").read_text()

    def everything(self) -> dict[str, bytes]:
        """Return the content of every file but Python's caches."""
        paths = (path for path in self.root.rglob("*") if path.is_file())
        contents = {str(path.relative_to(self.root)): path.read_bytes() for path in paths}
        return {name: data for name, data in contents.items() if "__pycache__" not in name}


def run(
    command: list[str],
    cwd: Path,
    env: dict[str, str],
    *,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a command; with ``check`` a failure shows what it printed."""
    result = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert not check or result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    return result


def placeholder(index: Path, name: str, version: str) -> None:
    """Put a wheel that holds nothing but its name and version into a package index on this disk."""
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    folder = index / name
    folder.mkdir(parents=True, exist_ok=True)
    wheel = f"{info.removesuffix('.dist-info')}-py3-none-any.whl"
    (folder / "index.html").write_text(f'<a href="{wheel}">{wheel}</a>\n')
    with zipfile.ZipFile(folder / wheel, "w") as archive:
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", tags)
        archive.writestr(f"{info}/RECORD", f"{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


def small(pyproject: str) -> str:
    """Return the package's pyproject with the placeholders as its requirements."""
    head, _, tail = pyproject.partition("dependencies = [")
    rest = tail.partition("[tool.hatch.version]")[2]
    return (
        f'{head}dependencies = ["jinja2>=3"]\n[project.optional-dependencies]\n'
        f'train = ["trainer>=1"]\nservice = ["server>=2"]\n[tool.hatch.version]{rest}'
    )


@pytest.fixture(scope="module")
def original() -> Iterator[Repository]:
    """A repository with locks that were resolved around the wheel."""
    with tempfile.TemporaryDirectory(prefix="repository-") as folder:
        root = Path(folder)
        root.chmod(0o755)
        for name in tracked():
            if name.startswith(NO_PART_OF_THE_WHEEL):
                continue
            if name.startswith("packages/") or name in ("CHANGELOG.md", ".gitignore"):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, root / name)
        repo = Repository(root)
        pyproject = repo.package / "pyproject.toml"
        pyproject.write_text(small(pyproject.read_text()))
        for path in (root / "CHANGELOG.md", repo.package / "CHANGELOG.md"):
            path.write_text("# Changelog\n\n## Unreleased\n\n### Added\n- Something.\n")
        write_requirements(repo)
        repo.git("init", "--quiet")
        repo.git("add", "--all")
        repo.release("lock")
        repo.git("add", "--all")
        repo.git("commit", "--quiet", "--message", "First")
        yield repo


@pytest.fixture
def repo(original: Repository) -> Iterator[Repository]:
    """A copy of its own for each test, which every user may read."""
    with tempfile.TemporaryDirectory(prefix="repository-") as folder:
        Path(folder).chmod(0o755)
        yield Repository(Path(shutil.copytree(original.root, folder, dirs_exist_ok=True)))


def write_requirements(repo: Repository) -> None:
    """Write the requirements of a small project, and placeholders for all that they need."""
    real = (ROOT / PROJECT / "requirements" / "dev.lock").read_text()
    tools = {}
    for line in real.splitlines():
        name, _, version = line.partition("==")
        if name in BUILD_TOOLS:
            tools[name] = version.split()[0]
    for name, version in {**LIBRARIES, **tools, **ALONE}.items():
        placeholder(repo.root / "index", name, version)
    contents = {
        f"{PROJECT}/requirements/train.in": "sovereign-ml[train]>=2026.11\n" + "\n".join(tools),
        f"{PROJECT}/requirements/serve.in": "sovereign-ml[service]>=2026.11\n",
        f"{PROJECT}/requirements/dev.in": "-r train.in\n-r serve.in\n",
        **{f"{PROJECT}/requirements/{name}.in": f"{name}\n" for name in ALONE},
        "requirements/demo.in": "pluggy\n",
        "requirements/docs.in": "pluggy\n",
        "requirements/test.in": f"-r demo.in\n-r ../{PROJECT}/requirements/dev.in\n",
    }
    for name, text in contents.items():
        (repo.root / name).parent.mkdir(parents=True, exist_ok=True)
        (repo.root / name).write_text(text)
    pins = "\n".join(f"{name}=={version}" for name, version in tools.items())
    (repo.project / "requirements" / "dev.lock").write_text(pins)


def test_every_place_and_user_builds_the_same_bytes(repo: Repository, tmp_path: Path) -> None:
    expected = repo.build()
    elsewhere = Repository(Path(shutil.copytree(repo.root, tmp_path / "elsewhere é x")))
    for path in elsewhere.package.rglob("*"):
        os.utime(path, (0, 0))
        path.chmod(0o700)
    other_settings = {
        "SOURCE_DATE_EPOCH": "1790000000",
        "TZ": "Asia/Tokyo",
        "LC_ALL": "C",
        "HATCH_BUILD_HOOKS_ENABLE": "1",
    }
    digests = {
        "path, times and modes": elsewhere.build(),
        "environment": repo.build(**other_settings),
        "umask": with_umask(repo, 0o077),
        "another user": as_nobody(repo),
    }
    shutil.rmtree(elsewhere.root / ".git")
    digests["without git"] = elsewhere.build()
    leave_stray_files(elsewhere.package)
    digests["without git, with strays"] = elsewhere.build()
    leave_stray_files(repo.package)
    digests["with git, with strays"] = repo.build()
    assert digests == dict.fromkeys(digests, expected)


def with_umask(repo: Repository, mask: int) -> str:
    before = os.umask(mask)
    try:
        return repo.build()
    finally:
        os.umask(before)


def as_nobody(repo: Repository) -> str:
    """Build as another user. The interpreter may lie in a home folder that only root may read."""
    if os.geteuid() == 0:
        read = "+dac_read_search"
        user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        user += [f"--inh-caps={read}", f"--ambient-caps={read}"]
    else:
        user = ["unshare", f"--map-user={NOBODY}"]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        script = str(repo.root / "packages" / "release.py")
        command = [*user, sys.executable, script, "build", folder]
        run(command, Path(folder), {**repo.env, "HOME": folder})
        wheel = Path(folder) / WHEEL
        assert os.geteuid() or wheel.stat().st_uid == int(NOBODY)
        return hashlib.sha256(wheel.read_bytes()).hexdigest()


def leave_stray_files(package: Path) -> None:
    source = package / "src" / "sovereign_ml"
    (source / "__pycache__").mkdir(exist_ok=True)
    (source / "__pycache__" / "errors.cpython-311.pyc").write_text("stray")
    for name in ("errors.py~", ".errors.py.swp", "#errors.py#", ".#errors.py", "errors.py.orig"):
        (source / name).write_text("stray")


def test_a_module_outside_git_is_named_and_left_out(repo: Repository, tmp_path: Path) -> None:
    expected = repo.build()
    (repo.package / "src" / "sovereign_ml" / "new.py").write_text("NEW = 1\n")
    notes = repo.release("build", str(tmp_path)).stderr
    assert "src/sovereign_ml/new.py is not in the wheel" in notes
    assert repo.build() == expected


def test_locks_name_the_wheel_once_without_path_or_address(repo: Repository) -> None:
    digest = hashlib.sha256(repo.wheel.read_bytes()).hexdigest()
    locks = [repo.lock(name) for name in ("train", "serve", "dev")]
    for text in [*locks, (repo.root / "requirements" / "test.lock").read_text()]:
        assert text.count(f"sovereign-ml=={VERSION} \\\n    --hash=sha256:{digest}\n") == 1
        assert text.count("sovereign-ml==") == 1
        for trace in ("vendor", "://", ".whl", "find-links", str(repo.root)):
            assert trace not in text
    assert "trainer==1.4" in locks[0] and "server==2.1" in locks[1]
    assert repo.release("check").stdout == ""


def test_a_newer_package_of_this_name_on_an_index_is_not_locked(repo: Repository) -> None:
    placeholder(repo.root / "index", "sovereign-ml", "2999.1.0")
    before = repo.lock("train")
    repo.release("lock")
    assert repo.lock("train") == before


def test_a_release_sets_version_wheel_locks_and_changelogs(repo: Repository) -> None:
    repo.release("release", NEXT)
    assert repo.wheel.name == WHEEL.replace(VERSION, NEXT)
    assert f'__version__ = "{NEXT}"' in (repo.package / "src/sovereign_ml/__init__.py").read_text()
    for path in (repo.root / "CHANGELOG.md", repo.package / "CHANGELOG.md"):
        assert f"## Unreleased\n\n## {NEXT} - 20" in path.read_text()
    status = run(["git", "status", "--porcelain"], repo.root, repo.env).stdout
    changed = {line[3:].strip('"') for line in status.splitlines()}
    vendor = {f"{PROJECT}/vendor/{WHEEL.replace(VERSION, name)}" for name in (VERSION, NEXT)}
    locks = {f"{PROJECT}/requirements/{name}.lock" for name in ("train", "serve", "dev")}
    inside = {name for name in changed if name.startswith(PROJECT)}
    assert inside == vendor | locks, "a project gets one wheel for another, and three lock lines"
    repo.release("check")


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("2026.10.9", "2026.10.9 is older than 2026.11.0"),
        ("next", "'next' is no version"),
        ("2026.12", "'2026.12' is no version"),
        ("2027.01.0", "'2027.01.0' is no version"),
        ("2026.13.0", "'2026.13.0' is no version"),
        ("2026.0.0", "'2026.0.0' is no version"),
        ("26.12.0", "'26.12.0' is no version"),
        ("", "'' is no version"),
    ],
)
def test_a_wrong_version_is_refused_and_changes_nothing(
    original: Repository, version: str, message: str
) -> None:
    before = original.everything()
    result = original.release("release", version, check=False)
    assert (result.returncode, message in result.stderr) == (2, True), result.stderr
    assert original.everything() == before


def test_a_release_that_cannot_be_resolved_changes_nothing(repo: Repository) -> None:
    (repo.project / "requirements" / "serve.in").write_text("sovereign-ml[service]\nabsent>=1\n")
    before = repo.everything()
    result = repo.release("release", NEXT, check=False)
    assert (result.returncode, "absent" in result.stderr) == (1, True)
    assert repo.everything() == before


def test_a_version_is_released_once(repo: Repository) -> None:
    repo.release("release", NEXT)
    before = repo.everything()
    result = repo.release("release", NEXT, check=False)
    assert result.returncode == 1 and f"names {NEXT} already" in result.stderr
    assert repo.everything() == before


def test_a_changed_source_is_refused_until_the_wheel_is_built_again(repo: Repository) -> None:
    source = repo.package / "src" / "sovereign_ml" / "errors.py"
    source.write_text(source.read_text() + "# changed\n")
    result = repo.release("check", check=False)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert "sovereign_ml/errors.py" in result.stderr and "make wheel" in result.stderr
    before = repo.lock("train").splitlines()
    repo.release("refresh")
    after = repo.lock("train").splitlines()
    different = [new for old, new in zip(before, after, strict=True) if old != new]
    assert [line[:19] for line in different] == ["    --hash=sha256:" + different[0][18]]
    repo.release("check")


def test_check_refuses_what_does_not_belong_together(repo: Repository) -> None:
    lock = repo.project / "requirements" / "serve.lock"
    digest = hashlib.sha256(repo.wheel.read_bytes()).hexdigest()
    right = lock.read_text()
    other = f"--hash=sha256:{'0' * 64}"
    wrong = {
        "another hash": right.replace(f"--hash=sha256:{digest}", other),
        "a second hash": right.replace(digest, f"{digest} \\\n    {other}"),
        "another version": right.replace(f"sovereign-ml=={VERSION}", "sovereign-ml==2026.10.0"),
        "no pin": right.replace("sovereign-ml==", "other-library=="),
    }
    for case, text in wrong.items():
        lock.write_text(text)
        result = repo.release("check", check=False)
        assert (result.returncode, "serve.lock" in result.stderr) == (1, True), case
    lock.write_text(right)
    shutil.copy(repo.wheel, repo.wheel.with_name("sovereign_ml-2026.10.0-py3-none-any.whl"))
    result = repo.release("check", check=False)
    assert (result.returncode, "2026.10.0" in result.stderr) == (1, True)


def test_another_hatchling_than_the_locked_one_is_refused(repo: Repository, tmp_path: Path) -> None:
    lock = repo.project / "requirements" / "dev.lock"
    lock.write_text(re.sub("(?m)^hatchling==[0-9.]+", "hatchling==1.0", lock.read_text()))
    result = repo.release("build", str(tmp_path), check=False)
    assert (result.returncode, "the locks name 1.0" in result.stderr) == (1, True)


def test_the_build_tools_are_printed_with_their_hashes(repo: Repository) -> None:
    lines = repo.release("requirements").stdout.splitlines()
    names = {line.split("==")[0] for line in lines if "==" in line}
    needed = {"hatchling"}
    for name in BUILD_TOOLS:
        for line in importlib.metadata.requires(name) or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                needed.add(requirement.name)
    assert names == set(BUILD_TOOLS) == needed
    assert sum("--hash=sha256:" in line for line in lines) >= len(names)


def flipped(data: bytes, position: int) -> bytes:
    """Return the data with one bit changed."""
    changed = bytearray(data)
    changed[position] ^= 1
    return bytes(changed)


def installers(repo: Repository, python: Path) -> dict[str, list[str]]:
    lock = str(repo.project / "requirements" / "train.lock")
    folders = [repo.project / "vendor", *(repo.root / "index").iterdir()]
    links = [f"--find-links={folder}" for folder in folders]
    common = ["install", "--no-index", "--require-hashes", *links, "-r", lock]
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert uv
    return {
        "pip": [sys.executable, "-m", "pip", "--python", str(python), *common],
        "uv": [uv, "pip", *common, "--python", str(python)],
    }


@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_the_lock_installs_without_an_index_and_refuses_one_changed_byte(
    repo: Repository, tmp_path: Path, tool: str
) -> None:
    run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")], tmp_path, repo.env)
    python = tmp_path / "env" / "bin" / "python"
    command = installers(repo, python)[tool]
    untouched = repo.wheel.read_bytes()
    # The last one is a correct archive still, with a comment of one byte: only the hash can tell.
    damaged = [flipped(untouched, position) for position in (0, len(untouched) // 2)]
    for number, content in enumerate([*damaged, untouched[:-2] + b"\x01\x00x"]):
        repo.wheel.write_bytes(content)
        # With the released wheel in its cache, uv installs that one and never reads this file.
        env = {**repo.env, "UV_CACHE_DIR": str(tmp_path / f"cache{number}")}
        result = run(command, tmp_path, env, check=False)
        assert result.returncode != 0, f"change {number}: {result.stdout}"
        assert "sovereign" in result.stderr, result.stderr
    assert "hash" in result.stderr.lower(), result.stderr
    repo.wheel.write_bytes(untouched)
    run(command, tmp_path, repo.env)
    script = "import sovereign_ml; print(sovereign_ml.__version__)"
    assert run([str(python), "-c", script], tmp_path, {}).stdout == f"{VERSION}\n"
