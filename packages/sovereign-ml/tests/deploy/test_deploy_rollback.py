"""Rollback brings back the image and the variables it was released with, which the platform alone does not."""

import json

import pytest

from sota_double import KEY
from sovereign_ml.deploy import DeployError
from sovereign_ml.deploy.releases import read_releases
from sovereign_ml.deploy.rollback import rollback, status
from sovereign_ml.deploy.run import deploy


def release(desk, **changed):
    shipment = desk.shipment(**changed)
    return deploy(
        shipment,
        desk.api(),
        link=desk.link,
        releases=desk.releases,
        clock=desk.clock,
        say=desk.said.append,
    )


def back(desk):
    url = desk.double.service_url
    where = {"link": desk.link, "releases": desk.releases, "service_url": url}
    return rollback(desk.api(), **where, clock=desk.clock, say=desk.said.append)


def test_the_previous_image_runs_with_the_variables_it_was_released_with(desk):
    first = release(desk, variables={"MODEL_VERSION": "2", "ONLY_THEN": "1"})
    release(desk, variables={"MODEL_VERSION": "3", "ONLY_NOW": "1"})
    restored = back(desk)
    running = desk.double.state.deployments[0]
    assert (running["status"], running["image_tag"]) == ("running", first.image_tag)
    expected = {"MODEL_VERSION": "2", "ONLY_THEN": "1"}
    assert desk.double.state.started_with[-1] == {**expected, "SERVICE_KEYS": "s3cr3t-value"}
    assert (restored.kind, restored.variables, restored.image_tag) == (
        "rollback",
        expected,
        first.image_tag,
    )


def test_without_a_changed_variable_the_service_is_started_once(desk):
    release(desk)
    release(desk)
    back(desk)
    assert not [request for request in desk.double.state.requests if request.endswith("/redeploy")]


def test_variables_of_a_deployment_that_failed_since_are_taken_back(desk):
    release(desk, variables={"MODEL_VERSION": "2"})
    release(desk, variables={"MODEL_VERSION": "2"})
    desk.double.state.faults.build_fails = True
    with pytest.raises(DeployError):
        release(desk, variables={"MODEL_VERSION": "9", "TYPO": "1"})
    back(desk)
    assert desk.double.state.started_with[-1] == {
        "MODEL_VERSION": "2",
        "SERVICE_KEYS": "s3cr3t-value",
    }


def test_an_image_without_a_tag_is_taken_for_no_recorded_one(desk):
    release(desk, variables={"MODEL_VERSION": "2"})
    release(desk, variables={"MODEL_VERSION": "3"})
    untagged = [{**item, "image_tag": None} for item in json.loads(desk.releases.read_text())]
    desk.releases.write_text(json.dumps(untagged))
    api = desk.api()
    listed = api.deployments
    api.deployments = lambda project: [
        item.model_copy(update={"image_tag": None}) for item in listed(project)
    ]
    url = desk.double.service_url
    where = {"link": desk.link, "releases": desk.releases, "service_url": url}
    restored = rollback(api, **where, clock=desk.clock, say=desk.said.append)
    assert restored.bundle == "unknown"
    assert "variables were NOT restored" in "\n".join(desk.said)


def test_secrets_stay_as_they_are(desk):
    release(desk, secrets={"SERVICE_KEYS": "withdrawn"})
    release(desk, secrets={"SERVICE_KEYS": "in-use"})
    back(desk)
    assert desk.double.state.started_with[-1]["SERVICE_KEYS"] == "in-use"


def test_an_image_that_this_project_did_not_record_is_restored_and_said_so(desk):
    release(desk, variables={"MODEL_VERSION": "2"})
    release(desk)
    desk.releases.write_text(json.dumps(json.loads(desk.releases.read_text())[1:]))
    assert back(desk).bundle == "unknown"
    assert "variables were NOT restored" in "\n".join(desk.said)


def test_a_service_that_does_not_answer_after_rollback_is_an_error(desk):
    release(desk)
    release(desk)
    desk.double.state.service_ready = False
    with pytest.raises(DeployError, match="/readyz answered 503"):
        back(desk)


def test_with_nothing_before_there_is_nothing_to_go_back_to(desk):
    release(desk)
    with pytest.raises(DeployError, match="no previous deployment"):
        back(desk)


@pytest.mark.parametrize(
    "act", [back, lambda desk: status(desk.api(), link=desk.link, releases=desk.releases)]
)
def test_before_first_use_the_next_step_is_named(desk, act):
    with pytest.raises(DeployError, match="run `make deploy` first"):
        act(desk)


def test_status_shows_each_deployment_with_its_bundle(desk):
    release(desk)
    desk.double.state.faults.build_fails = True
    with pytest.raises(DeployError):
        release(desk)
    newest, first = status(desk.api(), link=desk.link, releases=desk.releases)
    assert (newest["status"], newest["error"], newest["bundle"]) == (
        "failed",
        "build failed: exit code 1",
        "",
    )
    assert (first["status"], first["bundle"], first["smoke"]) == (
        "running",
        "acme-churn 3",
        "passed",
    )


def test_a_broken_release_file_is_named(desk):
    desk.releases.parent.mkdir()
    desk.releases.write_text("[{}]")
    with pytest.raises(ValueError, match="restore it from version control"):
        read_releases(desk.releases)


def test_the_key_is_sent_only_to_https_or_this_machine():
    from sovereign_ml.deploy.transport import Transport

    with pytest.raises(ValueError, match="only https addresses are allowed"):
        Transport("http://api.sota.io", KEY)
    assert Transport("https://api.sota.io/", KEY).base_url == "https://api.sota.io"


def test_a_secret_in_what_the_platform_says_is_hidden_at_every_door(desk, monkeypatch):
    """`churn deploy` hides it, and so do its two other commands that read logs and reasons."""
    release(desk)
    release(desk)
    desk.double.state.faults.health_check_fails = True
    desk.double.state.build_log = ("echo s3cr3t-value",)
    where = {"link": desk.link, "releases": desk.releases}
    url, hidden = desk.double.service_url, ["s3cr3t-value"]
    with pytest.raises(DeployError, match=r"echo \[redacted\]") as caught:
        rollback(
            desk.api(),
            **where,
            service_url=url,
            clock=desk.clock,
            say=desk.said.append,
            hidden=hidden,
        )
    assert "s3cr3t" not in str(caught.value)
    newest = desk.double.state.deployments[0]
    assert newest["status"] == "failed"
    newest["error_message"] = "no such value: s3cr3t-value"
    rows = status(desk.api(), **where, hidden=hidden)
    assert rows[0]["error"] == "no such value: [redacted]"
