"""A tiny service staged for deployment, and the double of the sota API to send it to."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "sovereign"))

from desks import BASE_IMAGE, LOCK, PROJECT, SERVICE, Desk, write_bundle
from sota_double import KEY, SotaDouble, sota_double
from sovereign_ml.deploy.stage import Staged, stage


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle")


@pytest.fixture
def make_stage(tmp_path: Path, bundle: Path) -> Callable[..., Staged]:
    serve = tmp_path / "serve"
    serve.mkdir()
    (serve / "service.py").write_text(SERVICE)
    (tmp_path / "serve.lock").write_text(LOCK)

    def make(**changed: object) -> Staged:
        given = {
            "bundle": bundle,
            "serve_dir": serve,
            "sovereign_dir": PROJECT / "src" / "sovereign",
            "serve_lock": tmp_path / "serve.lock",
            "templates": PROJECT / "deploy",
            "base_image": BASE_IMAGE,
            "out": tmp_path / "staged",
        }
        return stage(**{**given, **changed})  # type: ignore[arg-type]

    return make


@pytest.fixture
def staged(make_stage: Callable[..., Staged]) -> Staged:
    return make_stage()


@pytest.fixture
def double() -> Iterator[SotaDouble]:
    with sota_double() as running:
        yield running


@pytest.fixture
def desk(staged: Staged, double: SotaDouble, tmp_path: Path) -> Desk:
    return Desk(staged, double, tmp_path)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The stand-in for the sota CLI, with the key where the real one looks for it."""
    monkeypatch.setenv("SOTA_API_KEY", KEY)
    program = tmp_path / "sota"
    program.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).with_name("fake_sota.py")}" "$@"\n'
    )
    program.chmod(0o755)
    return str(program)
