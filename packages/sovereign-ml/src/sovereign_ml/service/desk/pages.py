"""Pages for people: the start page, the card, and the reviewer's desk.

They are rendered on the server, without scripts and without foreign hosts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from sovereign_ml.decision_log import Entry, LogUnavailableError
from sovereign_ml.decisions.decision_policy import DecisionPolicy
from sovereign_ml.model import wording
from sovereign_ml.service.access import api_keys
from sovereign_ml.service.access.session import COOKIE, VALID_S
from sovereign_ml.service.api.decisions import step
from sovereign_ml.service.desk import reviews
from sovereign_ml.service.http import HTML, Answer, Call
from sovereign_ml.service.problems import LOG_AWAY, ProblemError, unavailable
from sovereign_ml.texts import ENGLISH

OFFERS = {"offer": "Make the offer", "no_offer": "Make no offer"}
"""Labels of the reviewer's buttons where the outcomes are an offer and none."""
SHORTEST_REASON, LONGEST_REASON = 10, 4000
VIEW = ":"
"""Separator of the version of a case and the reviewer's first view.

The second page carries both, signed.
"""


@cache
def _templates() -> jinja2.Environment:
    folder = Path(__file__).parent / "templates"
    return jinja2.Environment(
        # StrictUndefined: a typo in a template is an error, and no gap in what a reviewer sees.
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )


def page(template: str, status: int = 200, **content: Any) -> Answer:
    """Return one rendered page."""
    return Answer(_templates().get_template(template).render(**content).encode(), status, HTML)


def problem_page(error: ProblemError) -> Answer:
    """Return the page for a problem, with what the reviewer wrote."""
    answer = page(
        "problem.html", error.problem.status, problem=error.problem, written=error.written
    )
    return replace(answer, headers=error.headers)


async def start(call: Call) -> Answer:
    """Return the start page: the service, and its addresses."""
    bundle = call.runtime.bundle
    return page("start.html", manifest=bundle.manifest, contact=bundle.policy.reviewer_contact)


async def card(call: Call) -> Answer:
    """Return the model card of the bundle that decides: JSON, or HTML for a browser."""
    html = call.runtime.card_page
    if html and "text/html" in call.request.headers.get("accept", ""):
        return Answer(html, 200, HTML)
    return Answer(json.dumps(call.runtime.bundle.card).encode())


async def sign_in_form(call: Call) -> Answer:
    """Return the page that asks for the reviewer's key."""
    return page("sign_in.html", problem="")


async def sign_in(call: Call) -> Answer:
    """Exchange a key with scope review for a cookie."""
    key = api_keys.find(call.runtime.settings.keys, call.body.get("key", ""))
    # One answer for both, so that it does not tell which keys exist.
    if key is None or "review" not in key.scopes:
        return page("sign_in.html", 403, problem="This is no valid key with scope review.")
    # Browsers may drop a Secure cookie on plain HTTP, which profile local uses.
    secure = "; Secure" if call.runtime.settings.profile == "eu" else ""
    session = call.runtime.sessions.new(key)
    # No script can read it, and no page of another site can send it.
    cookie = (
        f"{COOKIE}={session}; Path=/reviews; HttpOnly; SameSite=Strict; Max-Age={VALID_S}{secure}"
    )
    return Answer(b"", 303, HTML, {"location": "/reviews", "set-cookie": cookie})


async def desk(call: Call) -> Answer:
    """Return open cases and the evidence, or the sign-in page without a valid session."""
    runtime = call.runtime
    # The page asks for the key itself, so its route is open to everybody.
    key = runtime.sessions.key_of(runtime.settings.keys, call.request.cookies.get(COOKIE, ""))
    if not runtime.settings.open_to_all and (key is None or "review" not in key.scopes):
        return page("sign_in.html", 401, problem="")
    after = reviews.place(call)
    return page("desk.html", overview=await reviews.overview(runtime, after), after=after)


async def look(call: Call) -> Answer:
    """Return the case as the reviewer first sees it: every input, no score, no suggestion."""
    entries = await reviews.open_case(call.runtime, call.case_id)
    # Signed, so that nobody can make up the time or the version that the form sends.
    started = call.runtime.sessions.stamp(call.key, call.case_id, reviews.version_of(entries))
    return page("case.html", **await _case(call, entries), started=started, problem="")


async def judge(call: Call) -> Answer:
    """Take the first post (own view) or the second one (outcome and reason).

    The suggestion is shown after the first.
    """
    try:
        return await _judge(call)
    except (ProblemError, LogUnavailableError) as error:
        problem = error if isinstance(error, ProblemError) else unavailable(LOG_AWAY)
        # The page of the problem shows the text again, so that a refusal loses nothing.
        problem.written = call.body.get("reason", "")
        raise problem from None


async def _judge(call: Call) -> Answer:
    entries = await reviews.open_case(call.runtime, call.case_id)
    form, sessions = call.body, call.runtime.sessions
    read = sessions.read(call.key, call.case_id, form.get("started", ""))
    if read is None:
        raise ProblemError(400, "This page is too old; open the case again.")
    # A signed first view means that the suggestion was shown: this is the second post.
    version, _, signed = read.text.partition(VIEW)
    if version != reviews.version_of(entries):
        raise ProblemError(409, reviews.REFUSED["changed"])
    policy = await _policy(call, entries)
    first_view = reviews.outcome_of(policy, signed or form.get("first_view", ""))
    if first_view is None:
        content = {
            **await _case(call, entries),
            "problem": "Choose what you would do, from the inputs alone.",
        }
        return page("case.html", 422, **content, started=form["started"])
    if not signed:
        first_view = sessions.first_view(call.key, call.case_id, version, first_view)
        signed_text = version + VIEW + first_view
        started = sessions.stamp(call.key, call.case_id, signed_text, since=read)
        return await _suggestion(call, entries, first_view, started)
    outcome = reviews.outcome_of(policy, form.get("outcome", ""))
    reason = _reason(form)
    if outcome is None or not SHORTEST_REASON <= len(reason) <= LONGEST_REASON:
        return await _suggestion(call, entries, first_view, form["started"])
    seconds = sessions.seconds_since(read)
    review = {"outcome": outcome, "reason": reason, "first_view": first_view, "seconds": seconds}
    await reviews.settle(call, review, version)
    return Answer(b"", 303, HTML, {"location": "/reviews"})


def _reason(form: Mapping[str, str]) -> str:
    """Return the reason in a form as the page counts its length.

    A browser sends each line break as two characters and counts it as one (HTML, form submission).
    """
    return form.get("reason", "").replace("\r\n", "\n").strip()


async def _policy(call: Call, entries: list[Entry]) -> DecisionPolicy:
    """Return the policy that the case was decided under. Its outcomes are the choices."""
    reference = json.loads(entries[0].body or "{}")["bundle"]
    return (await call.runtime.kept(reference)).policy


async def _suggestion(call: Call, entries: list[Entry], first_view: str, started: str) -> Answer:
    form = call.body
    tried = "outcome" in form or "reason" in form
    length = len(_reason(form))
    problem = (
        f"Choose an outcome and give a reason of {SHORTEST_REASON} to {LONGEST_REASON:,} "
        f"characters; this one has {length:,}."
        if tried
        else ""
    )
    decision = json.loads(entries[0].body or "{}")
    content = {
        **await _case(call, entries),
        "made": decision,
        "first_view": first_view,
        "problem": problem,
    }
    content |= {
        "outcome": form.get("outcome", ""),
        "reason": form.get("reason", ""),
        "started": started,
    }
    return page("suggestion.html", 422 if tried else 200, **content)


async def _case(call: Call, entries: list[Entry]) -> dict[str, Any]:
    """Return the whole case in words.

    It has the inputs, what was added to the case, and earlier decisions about the same person.
    """
    decision = json.loads(entries[0].body or "{}")
    bundle = await call.runtime.kept(decision["bundle"])
    subject = entries[0].subject or ""
    words = {
        name: outcome.words.get("en") or ENGLISH.code(name)
        for name, outcome in bundle.policy.choices.items()
    }
    adverse = " (to the person's disadvantage)"
    labels = {
        name: (OFFERS.get(name) or text[:1].upper() + text[1:])
        + (adverse if name in bundle.policy.adverse else "")
        for name, text in words.items()
    }
    earlier = await call.runtime.read(lambda log: log.of_subject(subject, 20))
    # A planted case does not show the decision that it copies, as a real one does not show itself.
    # Where people are decided about once, only planted ones would have another decision.
    itself = {call.case_id, decision.get("copied")}
    return {
        "case_id": call.case_id,
        "decided_at": entries[0].at,
        "source": decision["source"],
        "words": words,
        "labels": labels,
        "inputs": [
            {
                "label": s.label,
                "value": wording.quantity(s, decision["features"][s.name]),
                "why": s.necessity_reason,
            }
            for s in bundle.contract.features
        ],
        "contributions": [
            {"label": bundle.contract.feature(n).label, "effect": wording.effect(v), "points": v}
            for n, v in sorted(decision["contributions"].items(), key=lambda item: -abs(item[1]))
        ],
        "steps": [step(entry) for entry in entries[1:] if entry.body and entry.kind != "seed"],
        "earlier": [
            {"at": e.at, "outcome": json.loads(e.body)["outcome"]}
            for e in earlier
            if e.kind == "decision" and e.body and e.case_id not in itself
        ],
    }
