"""A deployment ends well only when the new version runs and answers; every documented failure ends it by name."""

import json
import sys
from pathlib import Path

import pytest

from sota_double import KEY
from sota_state import State
from sovereign_ml.deploy import DeployError
from sovereign_ml.deploy.releases import TRIED, read_releases
from sovereign_ml.deploy.run import deploy, dry_run
from sovereign_ml.deploy.send import redact
from sovereign_ml.deploy.sota_api import SotaApi
from sovereign_ml.deploy.transport import SotaError


def go(desk, token=KEY, **changed):
    shipment = desk.shipment(**changed)
    return deploy(
        shipment,
        desk.api(token),
        link=desk.link,
        releases=desk.releases,
        clock=desk.clock,
        say=desk.said.append,
    )


def refusal(desk, **changed):
    with pytest.raises(DeployError) as caught:
        go(desk, **changed)
    return str(caught.value)


def said(desk):
    return "\n".join(desk.said)


def test_first_use_creates_the_project_without_asking_and_links_it(desk):
    release = go(desk)
    assert [p["slug"] for p in desk.double.state.projects] == ["acme-churn"]
    linked = json.loads(desk.link.read_text())
    assert linked == {
        "project_id": desk.double.state.projects[0]["id"],
        "project_slug": "acme-churn",
    }
    assert release.smoke == "passed"
    assert desk.link.read_text() == json.dumps(linked, indent=2) + "\n"


def test_the_second_deployment_uses_the_linked_project(desk):
    go(desk)
    go(desk)
    assert desk.double.state.requests.count("POST /v1/projects") == 1
    assert len(desk.double.state.deployments) == 2


def test_without_the_link_the_accounts_own_project_is_found_again(desk):
    go(desk)
    desk.link.unlink()
    go(desk)
    assert len(desk.double.state.projects) == 1


def test_a_link_to_another_project_is_a_configuration_error(desk):
    go(desk)
    with pytest.raises(ValueError, match="a slug never changes"):
        go(desk, slug="acme-churn-2")


def test_every_variable_is_set_before_the_upload_and_reaches_the_container(desk):
    go(desk)
    assert desk.double.state.started_with == [
        {"MODEL_VERSION": "3", "SERVICE_KEYS": "s3cr3t-value"}
    ]


def test_a_variable_no_longer_listed_is_removed(desk):
    go(desk, variables={"MODEL_VERSION": "3", "OLD": "1"})
    go(desk)
    assert desk.double.state.variables == {"MODEL_VERSION": "3", "SERVICE_KEYS": "s3cr3t-value"}


@pytest.mark.parametrize("released_before", [False, True])
def test_variables_of_a_deployment_that_failed_are_removed_by_the_next(desk, released_before):
    if released_before:
        go(desk)
    desk.double.state.faults.build_fails = True
    for name in ("TYPO", "SECOND_TYPO"):
        with pytest.raises(DeployError):
            go(desk, variables={"MODEL_VERSION": "3", name: "1"}, secrets={"OLD_KEY": "s3cr3t"})
    desk.double.state.faults.build_fails = False
    go(desk)
    assert desk.double.state.variables == {"MODEL_VERSION": "3", "SERVICE_KEYS": "s3cr3t-value"}
    assert [path.name for path in desk.releases.parent.iterdir()] == ["releases.json"]


def test_a_deployment_that_was_ended_while_it_wrote_variables_is_remembered(desk, monkeypatch):
    write = SotaApi.set_variable

    def ended(self, project, key, value):
        write(self, project, key, value)
        raise KeyboardInterrupt

    monkeypatch.setattr(SotaApi, "set_variable", ended)
    with pytest.raises(KeyboardInterrupt):
        go(desk, variables={"A_TYPO": "hunter2"})
    assert "hunter2" not in (desk.releases.parent / TRIED).read_text()
    monkeypatch.setattr(SotaApi, "set_variable", write)
    shipment = desk.shipment(variables={"MODEL_VERSION": "3"})
    plan = dry_run(shipment, link=desk.link, releases=desk.releases)
    assert any("DELETE" in line and "A_TYPO" in line for line in plan)
    go(desk)
    assert "A_TYPO" not in desk.double.state.variables


def test_the_archive_holds_what_was_checked(desk):
    go(desk)
    sent = desk.double.state.archives[0]
    assert set(sent) == {name for name, _ in desk.staged.files}


def test_the_cli_sends_the_same_files_and_finds_its_deployment(desk, cli):
    go(desk)
    release = go(desk, cli=cli)
    by_api, by_cli = desk.double.state.archives
    assert by_api == by_cli
    assert release.deployment == desk.double.state.deployments[0]["id"]
    assert "Deployed to https://acme-churn.sota.io" in said(desk)


def test_a_cli_that_is_not_installed_gives_way_to_the_api(desk):
    assert go(desk, cli="sota-that-is-not-there").smoke == "passed"


@pytest.mark.parametrize("by_cli", [True, False])
def test_a_failed_build_is_an_error_with_the_logs_end_although_the_cli_ends_well(desk, cli, by_cli):
    desk.double.state.faults.build_fails = True
    message = refusal(desk, cli=cli if by_cli else "")
    assert "failed: build failed: exit code 1" in message
    assert message.endswith("  | Step 5/9 : RUN python -m pip install")
    assert read_releases(desk.releases) == ()


def test_only_the_end_of_a_long_log_is_shown(desk):
    desk.double.state.faults.build_fails = True
    desk.double.state.build_log = tuple(f"line {n}" for n in range(500))
    message = refusal(desk)
    assert "line 499" in message
    assert "line 400" not in message


def test_a_failed_health_check(desk):
    desk.double.state.faults.health_check_fails = True
    assert "health check failed after 60s" in refusal(desk)


def test_a_deployment_that_a_newer_one_replaced(desk):
    desk.double.state.faults.replaced = True
    assert "a newer deployment replaced it" in refusal(desk)


def test_a_deployment_that_never_runs_is_given_up_after_the_timeout(desk):
    desk.double.state.faults.never_runs = True
    assert "is deploying after 30 s: gave up waiting" in refusal(desk)
    assert sum(desk.waits) == 30


def test_a_service_that_is_not_ready_is_recorded_and_refused(desk):
    desk.double.state.service_ready = False
    assert "/readyz answered 503 for 4 s, 200 is needed" in refusal(desk)
    assert [item.smoke for item in read_releases(desk.releases)] == ["failed"]


def test_a_service_that_is_open_to_strangers_is_refused(desk):
    desk.double.state.service_open = True
    assert "it may be open to anyone" in refusal(desk)


def test_a_service_that_does_not_answer_is_refused(desk):
    assert "answered nothing" in refusal(desk, service_url="http://127.0.0.1:9")


def test_a_slug_of_another_account_is_explained(desk):
    desk.double.state.faults.slugs_taken = ("acme-churn",)
    assert "choose another [deploy] slug" in refusal(desk)


def test_a_full_queue_is_waited_for(desk):
    desk.double.state.faults.queue_full = 2
    assert go(desk).smoke == "passed"
    assert "503 Build queue full; trying again in 1 s (1 of 3)" in said(desk)
    assert len(desk.double.state.deployments) == 1


def test_a_queue_that_stays_full_ends_the_deployment(desk):
    desk.double.state.faults.queue_full = 99
    assert "503 Build queue full" in refusal(desk)


def test_a_rate_limit_is_waited_out_until_the_time_the_platform_names(desk):
    desk.double.state.faults.rate_limited = 1
    assert go(desk).smoke == "passed"
    assert 1 <= desk.waits[0] <= 2.1
    assert "429 Too many requests" in said(desk)


def test_a_rate_limit_without_end_ends_the_deployment(desk):
    desk.double.state.faults.rate_limited = 99
    assert "429 Too many requests" in refusal(desk)


@pytest.mark.parametrize("fault", ["stream_cut", "stream_missing"])
@pytest.mark.parametrize("by_cli", [True, False])
def test_a_cut_or_missing_stream_changes_nothing(desk, cli, fault, by_cli):
    setattr(desk.double.state.faults, fault, True)
    assert go(desk, cli=cli if by_cli else "").smoke == "passed"


def test_the_stream_is_read_with_and_without_a_space(desk):
    go(desk)
    assert "Step 1/9 : FROM" in desk.said
    assert "no space" in desk.said


@pytest.mark.parametrize("by_cli", [True, False])
def test_an_archive_that_the_platform_finds_too_large(desk, cli, by_cli):
    desk.double.state.faults.limit_bytes = 10
    assert "Archive exceeds 50 MB" in refusal(desk, cli=cli if by_cli else "")


def test_a_key_that_is_not_valid(desk):
    assert "401 Missing or invalid API key" in refusal(desk, token="sota_wrong")


def test_an_api_that_is_not_there(desk, double):
    double.server.server_close()
    double.server.shutdown()
    assert "did not answer" in refusal(desk)


def test_a_folder_that_fails_its_check_is_never_sent(desk):
    (desk.staged.folder / "requirements.txt").write_text("")
    assert "may not be sent:\n  requirements.txt: only" in refusal(desk)
    assert desk.double.state.requests == []


def test_a_cli_that_fails_says_why(desk, cli, tmp_path):
    broken = tmp_path / "broken"
    broken.write_text(
        f"#!{sys.executable}\nimport sys\nsys.exit('Error: archive/tar: write too long')\n"
    )
    broken.chmod(0o755)
    assert "`sota deploy` ended with 1: Error: archive/tar: write too long" in refusal(
        desk, cli=str(broken)
    )


def test_a_value_that_the_platform_refuses_is_not_repeated(desk, monkeypatch):
    def refuse(state, project, key, value):
        raise SotaError(f"422 the value {value!r} is too long", 422)

    monkeypatch.setattr(SotaApi, "set_variable", refuse)
    message = refusal(desk, variables={})
    assert message == "422 the value '[redacted]' is too long"


def test_what_a_failing_cli_says_last_holds_no_secret(desk, tmp_path):
    failing = tmp_path / "sota"
    failing.write_text("#!/bin/sh\necho refused: SERVICE_KEYS=s3cr3t-value >&2\nexit 1\n")
    failing.chmod(0o755)
    message = refusal(desk, cli=str(failing))
    assert "ended with 1: refused: SERVICE_KEYS=[redacted]" in message
    assert "s3cr3t" not in message + said(desk)


def test_a_cli_that_hangs_is_ended(desk, tmp_path):
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    desk.clock = desk.clock._replace(timeout_s=0.2)
    assert "`sota deploy` ended with -9" in refusal(desk, cli=str(slow))


def test_secrets_and_the_key_are_never_printed_recorded_or_packed(desk):
    desk.double.state.faults.build_fails = True
    desk.double.state.build_log = ("echo s3cr3t-value",)
    message = refusal(desk)
    desk.double.state.faults.build_fails = False
    go(desk)
    shown = (
        message
        + said(desk)
        + repr(desk.shipment())
        + desk.releases.read_text()
        + desk.link.read_text()
    )
    shown += "\n".join(dry_run(desk.shipment(), link=desk.link, releases=desk.releases))
    packed = b"".join(
        content for archive in desk.double.state.archives for content in archive.values()
    )
    assert "echo [redacted]" in message
    for secret in ("s3cr3t-value", KEY):
        assert secret not in shown
        assert secret.encode() not in packed


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"variables": {"PORT": "3000"}}, "PORT is set by the platform"),
        ({"variables": {"DATABASE_URL": "x"}}, "DATABASE_URL is set by the platform"),
        ({"variables": {"A-B": "x"}}, "letters, digits and _"),
        ({"variables": {"SERVICE_KEYS": "x"}}, "keep one of the two"),
        ({"variables": {"API_TOKEN": "x"}}, "looks like a secret"),
        ({"variables": {"CHURN_PROFILE": "local"}}, "CHURN_PROFILE is 'local' in"),
        ({"variables": {"APIKEY": "x"}}, "looks like a secret"),
        ({"variables": {"DB_PASS": "x"}}, "looks like a secret"),
        ({"variables": {"FEATURES": "https://u:p@f.example.eu"}}, "FEATURES in .* looks like"),
        ({"variables": {"CHURN_LOG": "host=db password=x"}}, "CHURN_LOG in .* looks like"),
        ({"secrets": {"SERVICE_KEYS": ""}}, "no value in the environment for SERVICE_KEYS"),
        ({"service_url": "http://churn.example.eu"}, "only https addresses"),
        ({"service_url": "https://churn..example.eu"}, "a host that can be"),
        ({"service_url": f"https://{'a' * 64}.eu"}, "a host that can be"),
        ({"service_url": "https://churn example.eu"}, "a host that can be"),
        ({"service_url": "https://churn.example.eu:99999"}, "a host that can be"),
        ({"service_url": "https://churn.example.eu/?v=1"}, "without user, password"),
        ({"service_url": "https://u:p@churn.example.eu"}, "without user, password"),
    ],
)
def test_wrong_configuration_is_named(desk, changed, words):
    with pytest.raises(ValueError, match=words):
        go(desk, **changed)
    assert desk.double.state.requests == []


def test_variables_that_are_no_secrets_are_sent(desk):
    odd = {"TOKENIZERS_PARALLELISM": "false", "FEATURES": "https://f.example.eu:6566/a@b"}
    odd |= {"KEYBOARD": "de", "PASSENGERS": "2"}
    go(desk, variables=odd)
    assert odd.items() <= desk.double.state.variables.items()


@pytest.mark.parametrize("key", ["sota_hunter2\n", " sota_hunter2\r\n"])
def test_a_blank_around_the_key_is_not_part_of_it(desk, key):
    """A file, and a Secret made from one, ends with a line break."""
    go(desk, token=key.replace("sota_hunter2", KEY))


@pytest.mark.parametrize(
    "key", ["sota_hun\nter2", "sota_hun ter2", "sota_hunt\xe9r2", "sota\0hunter2", ""]
)
def test_a_key_that_is_no_header_is_refused_and_not_repeated(desk, key):
    with pytest.raises(ValueError, match="SOTA_API_KEY holds") as caught:
        go(desk, token=key)
    assert "hun" not in str(caught.value)
    assert desk.double.state.requests == []


@pytest.mark.parametrize("project", ["", " ", "../../api-keys", "a/b", "a?b"])
def test_a_link_whose_project_would_change_the_path_is_refused(desk, project):
    desk.link.write_text(json.dumps({"project_id": project, "project_slug": "acme-churn"}))
    with pytest.raises(ValueError, match="project_id and project_slug are needed"):
        go(desk)


def test_a_secret_of_several_lines_is_hidden_line_by_line():
    keys = "crm:score:0123456789abcdef\r\n  ops:admin:fedcba9876543210\n}\n"
    for line in keys.splitlines()[:2]:
        assert redact(f"ENV {line.strip()} {{}}", [keys]) == "ENV [redacted] {}"


def test_a_dry_run_prints_everything_and_sends_and_writes_nothing(desk, cli):
    plan = "\n".join(dry_run(desk.shipment(), link=desk.link, releases=desk.releases))
    assert all(name in plan for name, _ in desk.staged.files)
    assert "POST http://127.0.0.1" in plan
    assert "MODEL_VERSION='3'" in plan
    assert "SERVICE_KEYS=<from the environment>" in plan
    assert f"{cli} deploy (in " in "\n".join(
        dry_run(desk.shipment(cli=cli), link=desk.link, releases=desk.releases)
    )
    assert desk.double.state == State()
    assert not desk.link.exists()
    assert not desk.releases.exists()


def test_a_dry_run_needs_no_secret_but_says_which_is_missing(desk):
    plan = dry_run(
        desk.shipment(secrets={"SERVICE_KEYS": ""}), link=desk.link, releases=desk.releases
    )
    assert (
        "REFUSED no value in the environment for SERVICE_KEYS, which [deploy] secrets lists" in plan
    )


def test_a_dry_run_shows_what_the_check_refuses(desk):
    Path(desk.staged.folder / "package.json").write_text("{}")
    assert any(
        line.startswith("REFUSED package.json")
        for line in dry_run(desk.shipment(), link=desk.link, releases=desk.releases)
    )


def test_bytes_of_a_build_that_are_no_text_are_passed_on(desk, cli, tmp_path):
    noisy = tmp_path / "noisy"
    noisy.write_text(f"#!/bin/sh\nprintf 'step \\377\\n'\nexec {cli} \"$@\"\n")
    noisy.chmod(0o755)
    assert go(desk, cli=str(noisy)).smoke == "passed"
    assert "step \ufffd" in said(desk)


@pytest.mark.parametrize("answer", [None, {}, "text"])
def test_an_account_without_projects_may_say_so_by_null(desk, monkeypatch, answer):
    api = desk.api()
    page = {"data": answer, "pagination": {"has_more": True}}
    monkeypatch.setattr(api._http, "json", lambda method, path: page)
    if answer is None:
        assert list(api.projects()) == api.deployments("any") == []
        return
    with pytest.raises(DeployError, match="the API sent no list of sotaprojects"):
        list(api.projects())
