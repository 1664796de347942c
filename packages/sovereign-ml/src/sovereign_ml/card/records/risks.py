"""Risks of a customer score, each with the card's figures and the measures against it."""

from __future__ import annotations

from dataclasses import dataclass

from sovereign_ml.card.records.sheet import Sheet
from sovereign_ml.card.render.figures import gaps
from sovereign_ml.card.render.speech import figure, measured, said
from sovereign_ml.card.schema.facts_model import AttackTest
from sovereign_ml.texts import ENGLISH, Catalogue


@dataclass(frozen=True)
class Risk:
    """A risk to people.

    ``key`` names it in ``documents.toml``. ``point`` says what the figures raise.
    """

    key: str
    name: str
    evidence: str
    measure: str
    point: str = ""


def risks(sheet: Sheet) -> tuple[Risk, ...]:
    """Return the risks in the order of WP248rev.01 annex 2.

    They are unfairness, error, opacity, creep, disclosure and access.
    """
    parts = (_unfair, _excluded, _wrong, _opaque, _unwanted, _creep, _memorised, _leaked, _foreign)
    return tuple(part(sheet) for part in parts)


def _risk(sheet: Sheet, key: str, evidence: str, measure: str, point: str = "") -> Risk:
    return Risk(key, sheet.t(f"risks.{key}"), evidence, measure, point)


def _unfair(sheet: Sheet) -> Risk:
    t, evaluation = sheet.t, sheet.card.facts.evaluation
    # ``gaps`` has its words in English, and a document has a language of its own.
    measures = list(zip(evaluation.fairness, gaps(sheet.card), strict=True))
    evidence = "; ".join(
        t(
            "risks.gap",
            group=t.code(gap.group),
            compared=t.code(gap.metric),
            value=figure(gap.value, 3, t),
        )
        for gap, _ in measures
    )
    above = [
        f"{t.code(gap.group)} ({t.code(gap.metric)})"
        for gap, row in measures
        if row.within is False
    ]
    # Nothing measured is no proof of fairness, so the assessment says so.
    point = "" if measures else t("risks.no_gap")
    if above:
        point = t("risks.gap_above", groups=", ".join(above))
    unmeasured = evaluation.fairness_not_measured_because or t("words.open")
    tolerance = said(sheet.card.answers.evaluation.fairness_tolerance, t)
    return _risk(sheet, "unfair", evidence or unmeasured, t("risks.tolerance", n=tolerance), point)


def _excluded(sheet: Sheet) -> Risk:
    lasting = sheet.card.answers.decision.effect_factors.prolonged_or_permanent
    return _risk(
        sheet,
        "excluded",
        sheet.t("risks.lasting", value=said(lasting, sheet.t)),
        said(sheet.answer("decision.not_selected_outcome"), sheet.t),
        sheet.t("risks.stated_lasting") if lasting is True else "",
    )


def _wrong(sheet: Sheet) -> Risk:
    metrics = sheet.card.facts.evaluation.metrics
    named = {
        "roc_auc": "heads.roc_auc",
        "brier": "heads.brier",
        "calibration_slope": "heads.calibration_slope",
    }
    evidence = [
        f"{sheet.t(label)} {measured(metrics[name], sheet.t)}"
        for name, label in named.items()
        if name in metrics
    ]
    return _risk(
        sheet,
        "wrong",
        "; ".join(evidence) or sheet.t("words.open"),
        said(sheet.answer("rights.rectification"), sheet.t),
        "" if evidence else sheet.t("risks.no_figures"),
    )


def _opaque(sheet: Sheet) -> Risk:
    t, explanation = sheet.t, sheet.card.facts.explanation
    coverage = explanation.counterfactual_coverage
    evidence = t(
        "risks.explained",
        method=said(explanation.individual_method, t),
        returns=said(explanation.individual_returns or None, t),
    )
    if coverage is not None:
        evidence += t("risks.coverage", percent=f"{100 * coverage:.0f}")
    where = said(sheet.card.answers.explanation.plain_language_ref, t)
    return _risk(sheet, "opaque", evidence, t("risks.plain_text", where=where))


def _unwanted(sheet: Sheet) -> Risk:
    t, consent = sheet.t, sheet.card.facts.consent
    leaks = consent.leak_count
    evidence = t(
        "risks.leaks", n=said(leaks, t), where=said(consent.suppression_applied_to or None, t)
    )
    channel = said(sheet.card.answers.objection.marketing_channel, t)
    point = t("risks.leaked_objectors", n=leaks) if leaks else ""
    return _risk(sheet, "unwanted", evidence, t("risks.stop_channel", channel=channel), point)


def _creep(sheet: Sheet) -> Risk:
    t = sheet.t
    evidence = t("risks.misuse", text=said(sheet.answer("purpose.foreseeable_misuse"), t))
    measure = t(
        "risks.forbidden",
        text=said(sheet.answer("purpose.out_of_scope_uses"), t),
        access=said(sheet.answer("model_privacy.access_controls"), t),
    )
    return _risk(sheet, "creep", evidence, measure)


def _memorised(sheet: Sheet) -> Risk:
    t, privacy = sheet.t, sheet.card.facts.model_privacy
    attacks = "; ".join(
        t(
            "risks.attack",
            attack=t.code(test.attack),
            metric=_metric(test, t),
            value=figure(test.value, 3, t),
            limit=figure(test.limit, 3, t),
        )
        for test in privacy.tests
    )
    failed = [t.code(test.attack) for test in privacy.tests if not test.passed]
    point = "" if attacks else t("risks.no_attack")
    if failed:
        point = t("risks.attack_succeeded", attack=", ".join(failed))
    evidence = t(
        "risks.stores",
        rows=said(privacy.stores_training_rows, t),
        attacks=attacks or t("risks.no_attack"),
    )
    proof = privacy.stores_training_rows_proof or t("words.open")
    return _risk(sheet, "memorised", evidence, proof, point)


def _metric(test: AttackTest, t: Catalogue) -> str:
    """Return what a test measured, in words of the language where it is one of step 7."""
    own = f"{test.attack}_metric"
    return t.code(own) if test.metric == ENGLISH.code(own) else test.metric


def _leaked(sheet: Sheet) -> Risk:
    t, facts = sheet.t, sheet.card.facts
    scan, leftovers = facts.data.pii_scan, facts.retention.erased_subjects_still_in_snapshot
    hits = said(None if scan is None else scan.hits, t)
    pseudonyms = said(sheet.answer("data.pseudonymisation"), t)
    return _risk(
        sheet,
        "leaked",
        t("risks.identifiers", hits=hits, erased=said(leftovers, t)),
        t("risks.pseudonyms", text=pseudonyms),
        t("risks.erased_left", n=leftovers) if leftovers else "",
    )


def _foreign(sheet: Sheet) -> Risk:
    t = sheet.t
    reached = ", ".join(host.hostname for host in sheet.card.facts.hosting if host.us_nexus)
    return _risk(
        sheet,
        "foreign",
        t("risks.us_hosts", hosts=reached or t("words.none")),
        t("risks.transfers", text=said(sheet.card.answers.hosting.transfers, t)),
        t("risks.compelled", hosts=reached) if reached else "",
    )
