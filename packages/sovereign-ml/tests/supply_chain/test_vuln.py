"""`churn supply-chain vuln`: what a lock installs is asked of the team's own OSV service; no answer is never an all-clear."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from osv_double import osv
from small_project import TEST_PROGRAMS, churn, configure
from sovereign_ml.errors import Misuse
from sovereign_ml.supply_chain.vulnerabilities import vulnerabilities

New = Callable[..., Path]
PACKAGES = (("jinja2", "3.1.2"), ("numpy", "2.2.0"))
ADVISORY = {
    "id": "GHSA-h5c8-rqwp-cp95",
    "modified": "2024-01-11T00:00:00Z",
    "summary": "Jinja sandbox",
    "affected": [
        {
            "package": {"name": "jinja2", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.1.3"}]}],
        }
    ],
}


@pytest.fixture
def root(new_project: New) -> Path:
    project = new_project()
    lock = "".join(
        f"{name}=={version} \\\n    --hash=sha256:{'0' * 64}\n" for name, version in PACKAGES
    )
    (project / "some.lock").write_text(lock)
    return project


def ask(root: Path, service: str) -> tuple[int, str, str]:
    configure(root, {"audit.vulnerability_service": service})
    done = churn(
        root, "supply-chain", "vuln", "some.lock", programs=TEST_PROGRAMS
    )  # pip-audit is a test tool
    return done.returncode, done.stdout, done.stderr


def test_a_vulnerable_package_is_refused_with_advisory_and_the_release_that_mends_it(
    root: Path,
) -> None:
    asked: list[dict[str, object]] = []
    with osv({"jinja2": ADVISORY}, asked) as service:
        code, said, error = ask(root, service)
    assert (code, said) == (1, "some.lock  jinja2 3.1.2  GHSA-h5c8-rqwp-cp95  fixed in 3.1.3\n"), (
        error
    )
    assert (
        error == "Error: 1 known vulnerabilities. Raise the minimum versions in requirements/*.in, "
        "then run `make lock`.\n"
    )
    assert {(row["package"]["name"], row["version"]) for row in asked} == set(PACKAGES)  # type: ignore[index]


def test_a_clean_lock_passes(root: Path) -> None:
    with osv({"pyyaml": ADVISORY}, []) as service:
        assert ask(root, service) == (0, "No known vulnerability in some.lock.\n", "")


def test_a_service_that_knows_no_advisory_at_all_is_not_believed(root: Path) -> None:
    with osv({}, []) as service:
        code, said, error = ask(root, service)
    assert (code, said, error.count("\n")) == (2, "", 1)
    assert "nothing in pyyaml 5.3, which has known advisories" in error


def test_without_a_service_nothing_is_asked_and_nothing_is_called_safe(root: Path) -> None:
    code, said, error = ask(root, "")
    assert (code, said, error.count("\n")) == (2, "", 1)
    assert "Set [audit] vulnerability_service" in error


def test_a_service_that_is_away_is_one_line_and_not_an_all_clear(root: Path) -> None:
    code, said, error = ask(root, "http://127.0.0.1:9/v1/query")
    assert (code, said, error.count("\n")) == (2, "", 1)
    assert "could not be asked about some.lock" in error


def test_what_is_for_another_python_or_system_is_asked_too(tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []
    lock = tmp_path / "some.lock"
    pins = [
        "jinja2==3.1.2 ; python_full_version < '3.9'",
        "jinja2==3.1.6 ; python_full_version >= '3.9'",
        "pywin32==312 ; sys_platform == 'win32'",
        "numpy==2.2.0 ; sys_platform == 'win32'",
        "numpy==2.2.0 ; sys_platform != 'win32'",
    ]
    lock.write_text("".join(f"{pin} \\\n    --hash=sha256:{'0' * 64}\n" for pin in pins))
    with osv({"jinja2": ADVISORY}, asked) as service:
        rows = vulnerabilities(lock, service)
    # The double answers for every version of a package.
    assert [row.version for row in rows] == ["3.1.2", "3.1.6"]
    names = {(row["package"]["name"], row["version"]) for row in asked}
    assert names == {
        ("jinja2", "3.1.2"),
        ("jinja2", "3.1.6"),
        ("pywin32", "312"),
        ("numpy", "2.2.0"),
    }


def test_a_file_that_is_no_lock_is_refused_and_no_password_is_shown(tmp_path: Path) -> None:
    lock = tmp_path / "some.lock"
    lock.write_text("numpy==2.2.0\n")
    with pytest.raises(Misuse, match=r"some\.lock: without a hash: numpy"):
        vulnerabilities(lock, "http://127.0.0.1:9/v1/query")
    lock.write_text(f"numpy==2.2.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(Misuse, match=r"could not be asked about some\.lock") as refusal:
        vulnerabilities(lock, "http://ada:secret@127.0.0.1:9/v1/query")
    assert "secret" not in str(refusal.value)
    assert "ada" not in str(refusal.value)


def test_the_audit_policy_says_which_service_may_see_the_packages(root: Path) -> None:
    code, said, error = ask(root, "https://api.osv.dev/v1/query")
    assert (code, said, error.count("\n")) == (1, "", 1)
    assert "Google is US, to which [audit.allow] allows no metadata" in error
