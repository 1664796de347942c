"""The seal refuses what no test means to ask for, so that a pass means something."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from conftest import Project
from sealed import ON_PURPOSE, allowed, sealed

ASK = "import socket\ntry: socket.getaddrinfo('{host}', 443)\nexcept OSError: pass"
OUTSIDE = (
    "github.com",
    "config.mlflow-telemetry.io",
    "t.bentoml.com",
    "169.254.169.254",
    "8.8.8.8",
)


def test_a_command_that_asks_for_a_host_is_refused(rendered: Path, tmp_path: Path) -> None:
    script = ASK.format(host="telemetry.acme.test")
    with pytest.raises(AssertionError, match="no test asks for on purpose"):
        sealed(Project(rendered, tmp_path), sys.executable, "-c", script)


def test_a_command_that_fails_is_refused_with_what_it_printed(
    rendered: Path, tmp_path: Path
) -> None:
    with pytest.raises(AssertionError, match=r"exit 3\nhalf done"):
        sealed(Project(rendered, tmp_path), "sh", "-c", "echo half done; exit 3")


def test_no_name_that_somebody_could_own_is_on_the_list() -> None:
    assert len(ON_PURPOSE) <= 12
    assert [host for host in OUTSIDE if allowed(host)] == []
