"""OpenAPI 3.1 document, made from the route table and the models that check the requests."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from sovereign_ml.decisions.decision_policy import DecisionPolicy
from sovereign_ml.service.access.api_keys import SCOPES
from sovereign_ml.service.api.decisions import WHOSE
from sovereign_ml.service.http import HTML, JSON, Route
from sovereign_ml.service.problems import TITLES, Problem
from sovereign_ml.service.runtime import Runtime
from sovereign_ml.service.schemas import BESIDE_OUTCOMES, CASE, ID, LiftAnswer

Document = dict[str, Any]


def document(routes: Iterable[Route], runtime: Runtime) -> Document:
    """Return the document of all requests and answers, with examples. HTML pages are left out."""
    api = [route for route in routes if not route.page]
    manifest = runtime.bundle.manifest
    paths: dict[str, Document] = {}
    for route in api:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, manifest.name)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"{manifest.name}: churn decisions",
            "version": manifest.version,
            "description": "Decides from a readable scorecard. Every decision is explained, is "
            "logged before the answer, and can be contested.",
        },
        "paths": paths,
        "components": {
            "schemas": _schemas(api, runtime),
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": ", ".join(SCOPES)}
            },
        },
    }


def _schemas(api: list[Route], runtime: Runtime) -> Document:
    bodies = [runtime.models[route.body] for route in api if route.body]
    answers: list[type[BaseModel]] = [
        kind for route in api for kind in route.answers.values() if not isinstance(kind, str)
    ]
    # A field with a default may be left out of a request and is always in an answer.
    models: list[tuple[type[BaseModel], Any]] = [(model, "validation") for model in bodies]
    answers.append(Problem)
    models += [(model, "serialization") for model in answers]
    _, definitions = models_json_schema(models, ref_template="#/components/schemas/{model}")
    schemas: Document = definitions["$defs"]
    for name in ("ScoreRequest", "BatchRequest"):
        schemas[name]["examples"] = [_example(runtime, name)]
    for name, others in BESIDE_OUTCOMES.items():
        schemas[name]["properties"]["outcome"] |= _outcomes(runtime.bundle.policy, others)
    return schemas


def _outcomes(policy: DecisionPolicy, others: tuple[str | None, ...]) -> Document:
    """Return the allowed values of ``outcome`` under this policy, and which of them is adverse."""
    allowed: Document = {
        "enum": [*policy.choices, *others],
        "examples": [next(iter(policy.choices))],
    }
    if policy.adverse:
        allowed["description"] = f"To the person's disadvantage: {', '.join(policy.adverse)}"
    return allowed


def _example(runtime: Runtime, name: str) -> Document:
    features = {
        spec.name: _example_value(spec.dtype, spec.minimum)
        for spec in runtime.bundle.contract.features
    }
    request = {"customer_id": ID, "features": features}
    return request if name == "ScoreRequest" else {"customers": [request]}


def _example_value(dtype: str, minimum: float | None) -> float | str:
    return "gifts" if dtype == "string" else minimum or 0.0


def _spoken(path: str) -> str:
    return path.replace("{id}", "one").replace("{name}", "one")


def _operation(route: Route, model: str) -> Document:
    operation: Document = {
        "summary": route.summary,
        "operationId": f"{route.method.lower()}{re.sub(r'[^a-z]+', '_', _spoken(route.path))}",
        "responses": {str(s): _response(s, kind) for s, kind in route.answers.items()}
        | _problems(route),
    }
    if route.scopes:
        operation["security"] = [{"key": sorted(route.scopes)}]
        operation["description"] = f"Needs a key with scope {' or '.join(sorted(route.scopes))}."
    if parameters := _parameters(route, model):
        operation["parameters"] = parameters
    if route.body:
        content = {JSON: {"schema": {"$ref": f"#/components/schemas/{route.body}"}}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _response(status: int, kind: type[BaseModel] | str) -> Document:
    title = "Written to the log, a person will decide" if status == 202 else "As asked"
    if isinstance(kind, str):
        types = {"card": (JSON, HTML.partition(";")[0])}.get(kind, (kind.partition(";")[0],))
        content: Document = {
            name: {"schema": {} if name == JSON else {"type": "string"}} for name in types
        }
    else:
        content = {JSON: {"schema": {"$ref": f"#/components/schemas/{kind.__name__}"}}}
    return {"description": title, "content": content}


def _problems(route: Route) -> Document:
    statuses = {500, 503} | ({401, 403, 429} if route.scopes else set())
    statuses |= {400, 408, 413, 415, 422} if route.body else set()
    statuses |= {404, 409} if "{id}" in route.path else set()
    statuses |= {404} if "{name}" in route.path else set()
    statuses |= {404, 409, 410} if route.path == "/v1/score" else set()
    statuses |= {409} if LiftAnswer in route.answers.values() else set()
    statuses |= {422} if route.path == "/v1/reviews" else set()
    schema = {"$ref": "#/components/schemas/Problem"}
    return {str(s): _problem(s, schema) for s in sorted(statuses)}


def _problem(status: int, schema: Document) -> Document:
    response: Document = {
        "description": TITLES[status],
        "content": {"application/problem+json": {"schema": schema}},
    }
    if status in (429, 503):
        response["headers"] = {
            "Retry-After": {"description": "seconds", "schema": {"type": "string"}}
        }
    return response


def _parameters(route: Route, model: str) -> list[Document]:
    parameters: list[Document] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string"},
            "example": example,
        }
        for name, example in (("id", CASE), ("name", model))
        if f"{{{name}}}" in route.path
    ]
    if route.path == "/v1/reviews":
        parameters.append(
            {
                "name": "after",
                "in": "query",
                "required": False,
                "schema": {"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
                "description": "Where the list goes on: `next` of the page before",
                "example": 0,
            }
        )
    if route.path.startswith("/v1/decisions"):
        about = "Pseudonym of the person; the decision of another one is not found"
        schema = {"type": "string"}
        parameters.append(
            {
                "name": WHOSE.title(),
                "in": "header",
                "required": True,
                "schema": schema,
                "example": ID,
            }
            | {"description": about}
        )
    return parameters
