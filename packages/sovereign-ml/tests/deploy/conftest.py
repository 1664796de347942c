"""A tiny service staged for deployment, and the double of the sota API to send it to."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import fake_sota
from built_wheel import build_wheel, naming
from desks import BASE_IMAGE, LOCK, SERVICE, Desk, write_bundle
from small_project import PROJECT
from sota_double import KEY, SotaDouble, sota_double
from sovereign_ml.deploy.stage import Staged, stage


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library's wheel, in a folder ``vendor`` of its own."""
    return build_wheel(tmp_path_factory.mktemp("release") / "vendor")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle")


@pytest.fixture
def make_stage(tmp_path: Path, bundle: Path, wheel: Path) -> Callable[..., Staged]:
    serve = tmp_path / "serve"
    serve.mkdir()
    (serve / "service.py").write_text(SERVICE)
    (tmp_path / "serve.lock").write_text(naming(LOCK, wheel))

    def make(**changed: object) -> Staged:
        given = {
            "bundle": bundle,
            "serve_dir": serve,
            "vendor": wheel.parent,
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
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{fake_sota.__file__}" "$@"\n')
    program.chmod(0o755)
    return str(program)
