"""A machine without the servers: a skip that says what to install, and a failure where CI must not skip."""

from __future__ import annotations

import pytest

import servers
from cloud import need_servers

SAID = "Redis not installed: apt-get install --no-install-recommends postgresql redis-server"


@pytest.mark.parametrize(
    ("ci", "outcome"), [(False, pytest.skip.Exception), (True, pytest.fail.Exception)]
)
def test_a_missing_server_is_a_skip_with_the_line_that_installs_it_and_a_failure_in_ci(
    monkeypatch: pytest.MonkeyPatch, ci: bool, outcome: type[BaseException]
) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(outcome) as raised:
        need_servers(servers.missing(), ci=ci)
    assert SAID in str(raised.value)
