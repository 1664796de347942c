"""The route table: every path of the service with its scopes, body and answers.

There is no other path.
"""

from __future__ import annotations

from typing import Any

from sovereign_ml.service import schemas
from sovereign_ml.service.api import bars, decisions, scoring, system
from sovereign_ml.service.desk import pages, reviews
from sovereign_ml.service.http import HTML, Answer, Call, Route, reply_json
from sovereign_ml.service.openapi import document

# No scope: whoever reaches the service may call it without a key.
PUBLIC: frozenset[str] = frozenset()
SCORE, SUBJECT, REVIEW, ADMIN = (
    frozenset({name}) for name in ("score", "subject", "review", "admin")
)
ANY = SCORE | SUBJECT | REVIEW | ADMIN
# 2,000 bytes for each of the 1,000 customers of a batch.
BATCH_BYTES = 2_000_000
TEXT_BYTES = 64_000
"""Size of 4,000 characters, of which each may take twelve bytes when it is escaped."""


def _size(body: Any) -> int:
    return len(body.customers)


def _page(
    method: str, path: str, handler: Any, summary: str, scopes: frozenset[str] = REVIEW
) -> Route:
    body = "form" if method == "POST" else None
    answers: dict[int, Any] = {200: HTML, 303: ""} if body else {200: HTML}
    return Route(
        *(method, path, handler, scopes, summary, answers),
        body=body,
        limit=TEXT_BYTES,
        page=True,
        # A browser shows no problem+json, so a refusal is a page there.
        refuse=pages.problem_page,
    )


def _state(
    path: str, handler: Any, summary: str, body: str, *, scopes: frozenset[str] = SUBJECT
) -> Route:
    """Return the route of a call that bars a person, or ends a bar."""
    lifts = body in ("RestrictionLiftRequest", "ConsentRequest")
    answer = schemas.LiftAnswer if lifts else schemas.BarAnswer
    return Route("POST", path, handler, scopes, summary, {200: answer}, body=body, limit=TEXT_BYTES)


async def _describe(call: Call) -> Answer:
    """Return the OpenAPI document of exactly the routes in the table."""
    if call.runtime.description is None:
        call.runtime.description = reply_json(document(ROUTES, call.runtime)).body
    return Answer(call.runtime.description)


ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        "/v1/score",
        scoring.score,
        SCORE,
        "Score one customer",
        {200: schemas.ScoreAnswer},
        body="ScoreRequest",
    ),
    Route(
        "POST",
        "/v1/score/batch",
        scoring.score_batch,
        SCORE,
        "Score up to 1,000 customers",
        {200: schemas.BatchAnswer},
        body="BatchRequest",
        limit=BATCH_BYTES,
        # For the rate limit a batch is as many calls as it has customers.
        cost=_size,
    ),
    Route(
        "GET",
        "/v1/decisions/{id}",
        decisions.show,
        SUBJECT,
        "What was applied to one person",
        {200: schemas.DecisionAnswer},
    ),
    Route(
        "POST",
        "/v1/decisions/{id}/contest",
        decisions.contest,
        SUBJECT,
        "Contest a decision",
        {202: schemas.ContestAnswer},
        body="ContestRequest",
        limit=TEXT_BYTES,
    ),
    _state(
        "/v1/objections",
        bars.bar("objection"),
        "Object to marketing and profiling for it",
        "ObjectionRequest",
    ),
    _state(
        "/v1/restrictions",
        bars.bar("restriction"),
        "Restrict processing to storage",
        "RestrictionRequest",
    ),
    _state(
        "/v1/restrictions/lift",
        bars.lift("restriction_lifted", "informed_on"),
        "End a restriction after the person was told",
        "RestrictionLiftRequest",
        # The controller ends it, so a person does, and the name of that key is in the log.
        scopes=REVIEW,
    ),
    _state("/v1/withdrawals", bars.bar("withdrawal"), "Withdraw consent", "WithdrawalRequest"),
    _state(
        "/v1/consents",
        bars.lift("consent", "given_on"),
        "Record new consent after a withdrawal",
        "ConsentRequest",
    ),
    Route(
        "GET",
        "/v1/reviews",
        reviews.listing,
        REVIEW,
        "Cases that wait for a person",
        {200: schemas.ReviewsAnswer},
    ),
    Route(
        "POST",
        "/v1/reviews/{id}",
        reviews.decide_case,
        REVIEW,
        "Decide a case",
        {200: schemas.ReviewAnswer},
        body="ReviewRequest",
        limit=TEXT_BYTES,
    ),
    Route(
        "GET",
        "/v1/card",
        pages.card,
        ANY,
        "The model card as JSON, or as HTML for a browser",
        {200: "card"},
    ),
    Route("GET", "/metrics", system.metrics, ADMIN, "Counters for Prometheus", {200: "text/plain"}),
    # Kubernetes once asked /healthz and now asks /livez. Both are answered.
    Route("GET", "/healthz", system.alive, PUBLIC, "The process answers", {200: schemas.Status}),
    Route("GET", "/livez", system.alive, PUBLIC, "The process answers", {200: schemas.Status}),
    Route("GET", "/readyz", system.ready, PUBLIC, "The log can be read", {200: schemas.Status}),
    Route(
        "GET",
        "/v2/health/live",
        system.server_live,
        PUBLIC,
        "The process answers",
        {200: system.ServerLive},
    ),
    Route(
        "GET",
        "/v2/health/ready",
        system.server_ready,
        PUBLIC,
        "The log can be read",
        {200: system.ServerReady},
    ),
    Route(
        "GET",
        "/v2/models/{name}/ready",
        system.model_ready,
        PUBLIC,
        "The model can be asked",
        {200: system.ModelReady},
    ),
    Route("GET", "/v2", system.server_metadata, ANY, "What serves", {200: system.ServerMetadata}),
    Route(
        "GET",
        "/v2/models/{name}",
        system.model_metadata,
        ANY,
        "What the model takes and gives",
        {200: system.ModelMetadata},
    ),
    Route("GET", "/openapi.json", _describe, PUBLIC, "This document", {200: "application/json"}),
    Route("GET", "/", pages.start, PUBLIC, "What this service is", {200: HTML}),
    _page("GET", "/reviews", pages.desk, "The reviewer's desk (asks for the key)", PUBLIC),
    _page("GET", "/reviews/sign-in", pages.sign_in_form, "Ask for the reviewer's key", PUBLIC),
    _page("POST", "/reviews/sign-in", pages.sign_in, "Exchange the key for a cookie", PUBLIC),
    _page("GET", "/reviews/{id}", pages.look, "One case, without the suggestion"),
    _page("POST", "/reviews/{id}", pages.judge, "Own view first, then outcome and reason"),
)
