"""The wheel holds every file of the package, and its data files work where it is installed."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from full_card import full_card
from sovereign_ml.card.render import render_html
from wheels import build_wheel

SOURCE = Path(__file__).resolve().parents[2] / "src"
LOOK_UP = "import socket; socket.getaddrinfo('telemetry.example.com', 443)"
GUARD = (
    "import os, subprocess, sys; from sovereign_ml.egress import allow_list;"
    "allow_list.install(os.environ)"
)
READS = {
    "the provider table": "from sovereign_ml.jurisdictions import classify\n"
    "assert classify('https://api.wandb.ai').jurisdiction == 'US'",
    "the storage presets": "from sovereign_ml.jurisdictions import storage_presets\n"
    "assert storage_presets()",
    "DVC's quiet configuration": "from pathlib import Path\n"
    "from sovereign_ml.egress.telemetry import DEFAULTS\n"
    "text = Path(DEFAULTS['DVC_SYSTEM_CONFIG_DIR'], 'config').read_text()\n"
    "assert 'check_update' in text",
    "the marker of typed packages": "from importlib.resources import files\n"
    "assert files('sovereign_ml').joinpath('py.typed').is_file()",
}
RENDER = """
import sys
from pathlib import Path
from sovereign_ml.card.render import render_html
from sovereign_ml.card.schema import Card
card = Card.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
sys.stdout.buffer.write(render_html(card).encode())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of an environment with the wheel; other packages are those of the tests."""
    root = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root)], check=True)
    python = root / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    subprocess.run([*pip, "--no-index", "--no-deps", str(wheel)], check=True)
    site = next((root / "lib").glob("python*")) / "site-packages"
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return python


def run(python: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run ``code`` with the installed library; the source tree is not on its path."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    command = [str(python), "-c", code, *arguments]
    return subprocess.run(command, cwd=python.parent, env=clean, capture_output=True, check=False)


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    files = {path.relative_to(SOURCE) for path in SOURCE.rglob("*") if path.is_file()}
    tree = {path.as_posix() for path in files if path.suffix != ".pyc"}
    names = {n for n in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in n}
    assert names == tree
    assert {Path(name).suffix for name in names} >= {"", ".py", ".toml", ".html", ".j2", ".typed"}


@pytest.mark.parametrize("code", READS.values(), ids=READS)
def test_a_file_that_is_no_python_is_found_where_it_is_installed(
    installed: Path, code: str
) -> None:
    done = run(installed, code)
    assert done.returncode == 0, done.stderr.decode()


def test_a_card_is_rendered_by_the_installed_library(installed: Path, tmp_path: Path) -> None:
    card = full_card()
    (tmp_path / "card.json").write_text(card.model_dump_json(), encoding="utf-8")
    done = run(installed, RENDER, str(tmp_path / "card.json"))
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode() == render_html(card)


@pytest.mark.parametrize("interpreter", ["the same", "another"])
def test_children_of_an_installed_library_are_guarded(installed: Path, interpreter: str) -> None:
    child = str(installed if interpreter == "the same" else Path(sys.executable).resolve())
    code = f"{GUARD}; sys.exit(subprocess.run([{child!r}, '-c', {LOOK_UP!r}]).returncode)"
    done = run(installed, code)
    assert done.returncode != 0
    assert b"EgressRefusedError" in done.stderr
    assert b"telemetry.example.com" in done.stderr
