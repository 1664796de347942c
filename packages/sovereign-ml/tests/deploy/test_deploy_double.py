"""The double refuses what is not documented, so that no test passes on an invented feature."""

import json
import urllib.error
import urllib.request

import pytest

from sota_double import KEY


def call(double, method, path, body=b"", kind="application/json", key=KEY):
    headers = {"Authorization": f"Bearer {key}", "Content-Type": kind}
    request = urllib.request.Request(double.url + path, body or None, headers, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)["error"]


@pytest.fixture
def project(double):
    status, answer = call(double, "POST", "/v1/projects", b'{"name": "Acme", "slug": "acme"}')
    assert status == 201
    return answer["data"]["id"]


@pytest.mark.parametrize("field", ["image", "region", "env"])
def test_undocumented_fields_of_a_project(double, field):
    body = json.dumps({"name": "Acme", "slug": "acme", field: "x"}).encode()
    assert call(double, "POST", "/v1/projects", body)[0] == 422


def test_a_deployment_of_an_image_reference(double, project):
    body = b'{"image": "registry.example.eu/models/churn-predictor:v5"}'
    status, error = call(double, "POST", f"/v1/projects/{project}/deploy", body)
    assert (status, "only documented input" in error["message"]) == (400, True)


def test_a_second_part_beside_the_archive(double, project):
    part = b'--m\r\nContent-Disposition: form-data; name="%s"\r\n\r\nx\r\n'
    body = part % b"archive" + part % b"image" + b"--m--\r\n"
    assert (
        call(
            double,
            "POST",
            f"/v1/projects/{project}/deploy",
            body,
            "multipart/form-data; boundary=m",
        )[0]
        == 400
    )


@pytest.mark.parametrize("path", ["/deployments/1234", "/restart", "/region"])
def test_undocumented_calls(double, project, path):
    assert call(double, "GET", f"/v1/projects/{project}{path}")[0] == 404


def test_a_stranger_and_an_unknown_project(double, project):
    assert call(double, "GET", "/v1/projects", key="sota_wrong")[0] == 401
    assert call(double, "GET", "/v1/projects/other/deployments") == (
        404,
        {"message": "Project not found", "code": "not_found"},
    )
