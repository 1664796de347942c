"""MLflow's server: closed without a password, and a person sees what the administrator granted, no more."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from cloud import Cloud, Done

NAME, PASSWORD = "analyst", "a" * 24
MODEL = "/api/2.0/mlflow/registered-models"
EXPERIMENTS = "/api/2.0/mlflow/experiments/search?max_results=10"


def call(cloud: Cloud, path: str, *login: str, **body: str) -> httpx.Response:
    where = f"http://127.0.0.1:{cloud.mlflow_port}{path}"
    with httpx.Client(timeout=30, trust_env=False, auth=login or None) as client:  # type: ignore[arg-type]
        return client.post(where, json=body) if body else client.get(where)


def change(cloud: Cloud, verb: str, **more: str) -> None:
    rights = {
        "username": NAME,
        "resource_type": "registered_model",
        "resource_id": "acme-churn",
        **more,
    }
    answer = call(
        cloud, f"/api/3.0/mlflow/users/permissions/{verb}", "admin", cloud.admin, **rights
    )
    assert answer.is_success, answer.text


def alias(cloud: Cloud, *login: str) -> int:
    wanted = {"name": "acme-churn", "alias": "tried", "version": "1"}
    return call(cloud, f"{MODEL}/alias", *login, **wanted).status_code


@pytest.fixture(scope="module")
def analyst(cloud: Cloud, flow: Done) -> tuple[str, str]:
    """A person whom the administrator gave a user and nothing else."""
    made = call(
        cloud,
        "/api/2.0/mlflow/users/create",
        "admin",
        cloud.admin,
        username=NAME,
        password=PASSWORD,
    )
    assert made.is_success, made.text
    return NAME, PASSWORD


@pytest.mark.usefixtures("mlflow")
@pytest.mark.parametrize(
    "path", ["/", EXPERIMENTS, "/api/2.0/mlflow-artifacts/artifacts", "/version", "/signup"]
)
@pytest.mark.parametrize(
    "login", [(), ("churn", "wrong"), ("admin", "password1234"), ("nobody", PASSWORD)]
)
def test_it_is_closed_without_the_password_of_a_user(cloud: Cloud, path: str, login: Any) -> None:
    assert call(cloud, path, *login).status_code == 401


def test_a_new_user_sees_nothing_and_may_not_make_users(
    cloud: Cloud, analyst: tuple[str, str]
) -> None:
    assert call(cloud, EXPERIMENTS, *analyst).json().get("experiments", []) == []
    assert call(cloud, f"{MODEL}/get?name=acme-churn", *analyst).status_code == 403
    made = call(
        cloud, "/api/2.0/mlflow/users/create", *analyst, username="friend", password=PASSWORD
    )
    assert made.status_code == 403


def test_read_shows_the_model_and_edit_lets_a_person_set_its_alias(
    cloud: Cloud, analyst: tuple[str, str]
) -> None:
    change(cloud, "grant", permission="READ")
    assert (
        call(cloud, f"{MODEL}/get?name=acme-churn", *analyst).json()["registered_model"]["name"]
        == "acme-churn"
    )
    assert alias(cloud, *analyst) == 403
    change(cloud, "revoke")
    change(cloud, "grant", permission="EDIT")
    assert alias(cloud, *analyst) == 200


def test_the_pipeline_is_no_administrator(cloud: Cloud, analyst: tuple[str, str]) -> None:
    made = call(
        cloud,
        "/api/2.0/mlflow/users/create",
        "churn",
        cloud.password,
        username="x",
        password=PASSWORD,
    )
    assert made.status_code == 403
