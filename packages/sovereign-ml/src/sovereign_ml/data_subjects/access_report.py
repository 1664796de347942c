"""The answer to "what do you hold about me?": readable and machine-readable (GDPR Art. 15, 20)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from sovereign_ml.card.records import Additions, Sheet
from sovereign_ml.card.records.common import bases, outcomes, recipients, rights
from sovereign_ml.card.records.notice import consequences
from sovereign_ml.card.render.speech import OPEN_TEXT, said
from sovereign_ml.card.schema import is_open
from sovereign_ml.card.schema.model_card import Card
from sovereign_ml.config.retention_periods import RetentionSettings
from sovereign_ml.decision_log import DecisionLog, Entry
from sovereign_ml.decisions.decision_policy import DecisionPolicy
from sovereign_ml.decisions.feature_contract import FeatureContract
from sovereign_ml.model import served
from sovereign_ml.model.explain import Explainer
from sovereign_ml.texts import ENGLISH, Catalogue
from sovereign_ml.texts.language_names import language_code

Row = dict[str, Any]
# Fields of a decision that are about the client, the place of the model or the reviewer. They are
# no data about the person, and the reviewer has rights of their own (GDPR Art. 15(4)).
NEVER_SHOWN = ("key", "bundle", "reviewer", "seconds", "first_view", "seeded", "override")


class ReasonHeld(BaseModel):
    """Linked inputs with their values, and their joint effect on the score."""

    model_config = ConfigDict(extra="forbid")

    inputs: list[str]
    effect: str
    share: float


class DecisionHeld(BaseModel):
    """One decision as it was applied, with what happened to it later.

    ``outcome`` is what was applied at first, ``final_outcome`` what is in force after every review, ``adverse``
    whether that is to the person's disadvantage. ``words`` are the team's own for its outcomes.
    """

    model_config = ConfigDict(extra="forbid")

    id: str
    at: str
    outcome: str
    final_outcome: str
    adverse: bool = False
    words: dict[str, str] = {}
    decided_by: str
    score: float | None
    band: str | None
    begins: dict[str, float]
    model_version: str
    policy_version: str
    inputs: Row
    reasons: list[str]
    influences: list[str]
    joint_reasons: list[ReasonHeld]
    what_would_change_it: str
    later: list[Row]


class Access(BaseModel):
    """Everything held about one person.

    ``provided`` is what they gave or what was observed, ``profile`` was derived. Article 20 covers
    only what rests on consent or contract, and never the marks of an objection.

    ``rights`` are pairs of a right and where to use it. ``logic`` is the information on
    automated decisions of Article 15(1)(h).
    """

    model_config = ConfigDict(extra="forbid")

    schema_version: str = "2"
    language: str = "en"
    subject: str
    made_at: datetime
    provided: dict[str, list[Row]]
    profile: dict[str, list[Row]]
    decisions: list[DecisionHeld]
    score_reasons: list[ReasonHeld] = []
    objected: bool
    restricted: bool = False
    consent_withdrawn: bool = False
    sources: list[str]
    recipients: list[str]
    purposes: list[str]
    bases: dict[str, str]
    logic: dict[str, str]
    retention: dict[str, str]
    rights: dict[str, str]
    authority: str

    @property
    def empty(self) -> bool:
        """Return whether nothing is held."""
        return not (
            any(self.provided.values())
            or any(self.profile.values())
            or self.decisions
            or self.objected
            or self.restricted
            or self.consent_withdrawn
        )

    def unanswered(self, t: Catalogue = ENGLISH) -> list[str]:
        """Return what the page has to tell them and the card does not say."""
        page: dict[str, list[str]] = {
            t("letter.purposes"): self.purposes,
            t("letter.sources"): self.sources,
            t("letter.recipients"): self.recipients,
            t("fields.authority"): [self.authority],
        }
        for pairs in (self.rights, self.bases, self.logic):
            page |= {name: [text] for name, text in pairs.items()}
        unknown = {OPEN_TEXT, t("words.open")}
        return [name for name, texts in page.items() if unknown & set(texts)]


def decisions(log: DecisionLog, subject: str, t: Catalogue = ENGLISH) -> list[DecisionHeld]:
    """Return every decision about ``subject``, newest first (GDPR Art. 15(1)(h)).

    Each one is explained with the model that took it.
    """
    entries = [
        entry for entry in log.of_subject(subject) if entry.kind == "decision" and entry.body
    ]
    explainers: dict[str, Explainer | None] = {}
    return [_decision(log, entry, explainers, t) for entry in entries]


def campaigns(log: DecisionLog, subject: str) -> list[Row]:
    """Return the campaigns that ``subject`` was drawn for, treated or control, newest first."""
    return [
        {"at": entry.at, **json.loads(entry.body)}
        for entry in log.of_subject(subject)
        if entry.kind == "contact" and entry.body
    ]


def about(card: Card, t: Catalogue = ENGLISH, added: Additions | None = None) -> dict[str, Any]:
    """Return what the card says to everybody. Open answers are marked as open."""
    sheet = Sheet(card, t, added or Additions())
    sources = card.answers.data.sources
    open_text = t("words.open")
    return {
        "language": t.language,
        "sources": [open_text]
        if isinstance(sources, str)
        else [f"{said(source.name, t)} ({said(source.origin, t)})" for source in sources],
        "recipients": [open_text if name == OPEN_TEXT else name for name in recipients(sheet)],
        "purposes": [said(sheet.answer("purpose.statement"), t)],
        "bases": {line.label: line.text for line in bases(sheet)},
        "logic": {
            t("notice.predicts"): said(sheet.answer("data.label_definition"), t),
            t("notice.what_follows"): consequences(sheet),
            t("fields.not_selected"): said(sheet.answer("decision.not_selected_outcome"), t),
            **({t("notice.outcomes"): results} if (results := outcomes(sheet)) else {}),
            t("fields.person"): said(sheet.answer("decision.automation_level"), t),
        },
        "rights": {line.label: line.text for line in rights(sheet)}
        | {t("fields.dpo"): said(card.answers.roles.dpo_contact, t)},
        "authority": said(card.answers.notice.authority, t),
    }


def languages(card: Card) -> list[str]:
    """Return the languages of the notice by their codes, unknown ones as they are written."""
    answer = card.answers.notice.languages
    if isinstance(answer, str):
        return []
    # One language may be named twice, as de and as de-AT.
    named = [language_code(name) or name.strip() for name in answer if not is_open(name)]
    return list(dict.fromkeys(named))


def periods(policy: RetentionSettings) -> dict[str, str]:
    """Return the period and the start event of each class of data."""
    return {name: f"{rule.period} from: {rule.start}" for name, rule in policy}


def explained(explainer: Explainer, inputs: Row, t: Catalogue) -> list[ReasonHeld]:
    """Return the joint reasons of one score, empty where an input of the model is unknown."""
    try:
        full = explainer.explain(inputs)
    except KeyError:
        return []
    return [
        ReasonHeld(inputs=list(reason.inputs), effect=reason.effect, share=reason.share)
        for reason in explainer.joint_reasons(full, t)
    ]


def _decision(
    log: DecisionLog, entry: Entry, explainers: dict[str, Explainer | None], t: Catalogue
) -> DecisionHeld:
    body: Row = json.loads(entry.body or "{}")
    reference, inputs = body["bundle"], body.get("features") or {}
    # Many decisions share a model, and reading one from the log takes long.
    if reference not in explainers:
        explainers[reference] = explainer_of(log, reference)
    explainer = explainers[reference]
    full = explainer.explain(inputs) if explainer and inputs else None
    later = [
        {"kind": step.kind, "at": step.at, **_shown(step)}
        for step in log.of_case(entry.case_id)
        if step.seq != entry.seq and step.body
    ]
    final, decided_by = in_force(body["outcome"], later)
    policy = explainer.policy if explainer else None
    # The lowest band begins at nothing, so it has no threshold.
    begins = dict(zip(policy.names[1:], policy.thresholds, strict=True)) if policy else {}
    return DecisionHeld(
        id=entry.case_id,
        at=entry.at,
        outcome=body["outcome"],
        final_outcome=final,
        adverse=policy is not None and final in policy.adverse,
        words=_own_words(policy, t),
        decided_by=decided_by,
        score=body.get("score"),
        band=body.get("band"),
        begins=begins,
        model_version=body["model_version"],
        policy_version=body["policy_version"],
        inputs=inputs,
        reasons=body.get("reasons", []),
        influences=[influence.text for influence in full.influences] if full else [],
        joint_reasons=explained(explainer, inputs, t) if explainer and full else [],
        what_would_change_it=explainer.what_would_change_it(full, t) if explainer and full else "",
        later=later,
    )


def _own_words(policy: DecisionPolicy | None, t: Catalogue) -> dict[str, str]:
    """Return the words for outcomes that the policy which took the decision has in this language."""
    outcomes = policy.outcomes if policy else {}
    return {
        name: each.words[t.language] for name, each in outcomes.items() if t.language in each.words
    }


def in_force(outcome: str, later: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Return the outcome after every step, and who decided.

    The second value is machine, person, nobody_yet, contested or corrected.
    """
    reviews = [
        i for i, step in enumerate(later) if step["kind"] == "review" and step.get("outcome")
    ]
    contests = [i for i, step in enumerate(later) if step["kind"] == "contest"]
    # A rectified decision is replaced by a new one, so a later contest is about that one.
    if any(step.get("corrected_by") for step in later):
        return outcome if not reviews else str(later[reviews[-1]]["outcome"]), "corrected"
    final = str(later[reviews[-1]]["outcome"]) if reviews else outcome
    if contests and (not reviews or contests[-1] > reviews[-1]):
        return final, "contested"
    if reviews:
        return final, "person"
    return final, "nobody_yet" if outcome == "pending_review" else "machine"


def explainer_of(log: DecisionLog, reference: str) -> Explainer | None:
    """Return the explainer of the logged model ``reference``, None if it was deleted."""
    entries = log.of_case(reference)
    if not entries or entries[0].body is None:
        return None
    content = json.loads(entries[0].body)
    return Explainer(
        served.of_content(content["model"]),
        FeatureContract.model_validate(content["contract"]),
        DecisionPolicy.model_validate(content["policy"]),
    )


def _shown(entry: Entry) -> Row:
    return {k: v for k, v in json.loads(entry.body or "{}").items() if k not in NEVER_SHOWN}
