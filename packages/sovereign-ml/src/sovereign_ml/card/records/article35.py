"""Impact assessment on the layout of the EDPB's template 1.0, from the card.

The template was adopted on 10 March 2026 and went through a consultation until 9 June 2026. Its
seven parts are numbered 0 to 6, as here. The figures come from the pipeline. Grades, action plan
and decision come from ``documents.toml``.
"""

from __future__ import annotations

from typing import Any

from sovereign_ml.card.records import common
from sovereign_ml.card.records.additions import HIGH, RiskGrades
from sovereign_ml.card.records.binding import basis, document
from sovereign_ml.card.records.document import Document, Section
from sovereign_ml.card.records.interest import measured_necessity, offers
from sovereign_ml.card.records.risks import Risk, risks
from sovereign_ml.card.records.sheet import DASH, Sheet
from sovereign_ml.card.render.speech import OPEN_TEXT, figure
from sovereign_ml.card.render.view import CardLine
from sovereign_ml.card.schema import is_open

STATES = {True: "required", False: "not_required"}


def impact_assessment(sheet: Sheet) -> Document:
    """Return the assessment of Article 35(7)(a) to (d).

    The person who signs it judges the risks.
    """
    parts = (
        _responsible,
        _planning,
        _data,
        _function,
        _means,
        _lawful,
        _minimal,
        _respected,
        _necessity,
        _inherent,
        _plan,
        _residual,
        _involved,
        _decision,
    )
    return document(sheet, "dpia", tuple(part(sheet) for part in parts))


def _section(sheet: Sheet, number: str, article: str, **content: Any) -> Section:
    title = sheet.t(f"dpia.s{number.replace('.', '_')}")
    cited = sheet.t.cite(article)
    return Section(title, cited, number=number, **content)


def _responsible(sheet: Sheet) -> Section:
    lines = (
        sheet.line("fields.controller", "roles.controller"),
        sheet.line("fields.contact", "roles.controller_contact"),
        sheet.line("fields.joint", "roles.joint_controllers"),
        sheet.line("fields.dpo", "roles.dpo_contact"),
        sheet.stated("fields.name", sheet.name),
        sheet.line("fields.entry", "ropa.entry_id", "GDPR 30"),
    )
    return _section(sheet, "0.1", "Article 35(1)", lines=lines, grids=(common.processors(sheet),))


def _planning(sheet: Sheet) -> Section:
    dpia, added = sheet.card.derived.dpia, sheet.added.dpia
    rows = [(_criterion(sheet, name), sheet.t("dpia.met")) for name in dpia.criteria]
    # An open criterion may still require the assessment.
    rows += [(_criterion(sheet, name), OPEN_TEXT) for name in dpia.open_criteria]
    required = None if dpia.required == "?" else sheet.t(f"dpia.{STATES[dpia.required]}")
    lines = (
        sheet.of("fields.required", required, "GDPR 35(1)"),
        sheet.line("fields.status", "dpia.status"),
        sheet.line("fields.national_list", "dpia.national_list", "GDPR 35(4)"),
        sheet.of("fields.first_use", sheet.card.facts.decision.first_scoring_on or DASH),
        _judged(sheet, "fields.planning", added.planning),
        _judged(sheet, "fields.team", added.team),
        _judged(sheet, "fields.standards", added.standards),
        _judged(sheet, "fields.assessed_on", sheet.answer("dpia.date")),
        sheet.stated("fields.basis", basis(sheet.card), "GDPR 35(11)"),
    )
    grid = sheet.grid("grids.criteria", "heads.criterion", "heads.finding", rows=rows)
    article = "Article 35(1), 35(3), 35(4); WP248rev.01"
    return _section(sheet, "0.2", article, lines=lines, grids=(grid,))


def _criterion(sheet: Sheet, name: str) -> str:
    """Return a criterion in words. Its number is its key, such as WP248-1 or 35(3)(a)."""
    number, _, english = name.partition(" ")
    key = f"criteria.{''.join(c if c.isalnum() else '_' for c in number).strip('_').lower()}"
    return f"{number} {sheet.t(key)}" if sheet.t.language != "en" else f"{number} {english}"


def _data(sheet: Sheet) -> Section:
    lines = (
        sheet.line("fields.purpose", "purpose.statement"),
        sheet.line("fields.uses", "purpose.specific_uses"),
        sheet.line("fields.secondary", "purpose.relation_to_collection", "GDPR 5(1)(b), 6(4)"),
        sheet.line("fields.people", "purpose.subject_categories"),
        sheet.of("fields.how_many", sheet.subjects),
        sheet.line("fields.countries", "purpose.territories"),
        sheet.line("fields.children", "purpose.children_possible"),
        sheet.line("fields.vulnerable", "purpose.vulnerable_groups"),
        sheet.line("fields.special", "special.declared_features", "GDPR 9"),
    )
    grids = (common.data_categories(sheet),)
    return _section(sheet, "1.1", "Article 35(7)(a)", lines=lines, grids=grids)


def _function(sheet: Sheet) -> Section:
    facts = sheet.card.facts
    sources = sheet.card.answers.data.sources
    names = tuple(s.name for s in sources) if isinstance(sources, tuple) else None
    # The facts name the main factors by their label, which is in English.
    factors = {f.label: sheet.input(f) for f in facts.data.features}
    main = tuple(factors.get(name, name) for name in facts.explanation.main_factors) or None
    lines: tuple[CardLine, ...] = (
        sheet.of("fields.sources", names),
        sheet.line("fields.predicts", "data.label_definition"),
        sheet.of("fields.algorithm", facts.model.algorithm),
        sheet.of("fields.main_inputs", main),
        sheet.line("fields.action", "decision.downstream_action"),
        sheet.line("fields.person", "decision.automation_level"),
        sheet.line("fields.not_selected", "decision.not_selected_outcome"),
        common.decision_line(sheet),
    )
    if results := common.outcomes(sheet):
        lines += (sheet.stated("notice.outcomes", results),)
    phases = ("collect", "use", "store", "share", "delete")
    rows = [(sheet.t(f"flow.{p}"), sheet.t(f"flow.{p}_text")) for p in phases]
    grid = sheet.grid("grids.flow", "heads.phase", "heads.what_happens", rows=rows)
    return _section(sheet, "1.2", "Article 35(7)(a)", lines=lines, grids=(grid,))


def _means(sheet: Sheet) -> Section:
    points = common.unnamed_hosts(sheet)
    return _section(sheet, "1.3", "Article 35(7)(a)", grids=(common.hosts(sheet),), points=points)


def _lawful(sheet: Sheet) -> Section:
    interest = "6_1_f" in sheet.bases
    lines = (
        *common.bases(sheet),
        sheet.line("fields.interest", "legitimate_interest.interest", "GDPR 6(1)(f)")
        if interest
        else sheet.stated("fields.interest", sheet.t("words.not_relied_on"), "GDPR 6(1)(f)"),
    )
    grids = (common.transfers(sheet),)
    return _section(sheet, "2.1", "Articles 5, 6, 9, 44-49", lines=lines, grids=grids)


def _minimal(sheet: Sheet) -> Section:
    rows = [
        (
            sheet.input(f),
            sheet.cell(f.necessity_reason or None),
            figure(f.ablation_delta, 4, sheet.t),
        )
        for f in sheet.card.facts.data.features
    ]
    heads = ("heads.input", "heads.why", "heads.loss")
    inputs = sheet.grid("grids.inputs", *heads, rows=rows or [(OPEN_TEXT,) * 3])
    limits, missing = common.time_limits(sheet)
    lines = (
        sheet.line("fields.history", "data.row_window_justified", "GDPR 5(1)(c)"),
        sheet.of("fields.left_out", tuple(d.name for d in sheet.card.facts.data.dropped)),
    )
    return _section(
        sheet, "2.2", "Article 5(1)(c)-(e)", lines=lines, grids=(inputs, limits), points=missing
    )


def _respected(sheet: Sheet) -> Section:
    lines = (
        sheet.line("fields.notice", "notice.art13_ref", "GDPR 13, 14"),
        sheet.line("fields.plain_text", "explanation.plain_language_ref", "GDPR 12(1), 15(1)(h)"),
        *common.rights(sheet),
        *common.security(sheet),
        sheet.line("fields.watched_by", "monitoring.owner"),
        sheet.line("fields.how_often", "monitoring.frequency"),
        sheet.line("fields.feedback", "monitoring.feedback_loop_control"),
    )
    return _section(sheet, "2.3", "Articles 12-22, 25, 32", lines=lines)


def _necessity(sheet: Sheet) -> Section:
    lines: tuple[CardLine, ...] = ()
    if "6_1_f" in sheet.bases:
        table = "legitimate_interest"
        lines = (
            sheet.line("fields.necessity", f"{table}.necessity", "GDPR 6(1)(f)"),
            sheet.line("fields.milder", f"{table}.less_intrusive_considered"),
            sheet.line("fields.balancing", f"{table}.balancing"),
            sheet.line("fields.expectations", f"{table}.reasonable_expectations", "GDPR rec. 47"),
        )
    grid, points = measured_necessity(sheet)
    lines = (*lines, offers(sheet))
    return _section(sheet, "3", "Article 35(7)(b)", lines=lines, grids=(grid,), points=points)


def _graded(sheet: Sheet, risk: Risk) -> RiskGrades:
    return sheet.added.dpia.risks.get(risk.key, RiskGrades())


def _grade(sheet: Sheet, value: str) -> str:
    # Where no assessment is required, a missing grade is no open point.
    if value == "?":
        return DASH if sheet.card.derived.dpia.required is False else OPEN_TEXT
    return sheet.t.code(value)


def _inherent(sheet: Sheet) -> Section:
    named = risks(sheet)
    rows = []
    for risk in named:
        grades = _graded(sheet, risk)
        graded = (_grade(sheet, grades.likelihood), _grade(sheet, grades.severity))
        rows.append((risk.name, risk.key, risk.evidence, *graded))
    heads = ("risk", "key", "shown", "likelihood", "severity")
    grid = sheet.grid("grids.risks", *(f"heads.{name}" for name in heads), rows=rows)
    lines = (_judged(sheet, "fields.own_risks", sheet.answer("dpia.risks")),)
    points = [risk.point for risk in named if risk.point]
    # A key that names no risk is reported, so that its grades are not lost.
    unknown = set(sheet.added.dpia.risks) - {risk.key for risk in named}
    points += [sheet.t("points.unknown_risk", key=key) for key in sorted(unknown)]
    return _section(
        sheet, "4.1", "Article 35(7)(c)", lines=lines, grids=(grid,), points=tuple(points)
    )


def _plan(sheet: Sheet) -> Section:
    t, actions = sheet.t, sheet.added.dpia.actions
    named = risks(sheet)
    place = [(risk.name, risk.measure) for risk in named]
    standing = sheet.grid("grids.in_place", "heads.risk", "heads.measure", rows=place)
    names = {risk.key: risk.name for risk in named}
    rows = [
        (
            names.get(a.risk, a.risk),
            a.measure,
            sheet.cell(a.owner),
            sheet.cell(a.due),
            sheet.cell(a.done) if a.done != "?" else DASH,
        )
        for a in actions
    ]
    heads = tuple(f"heads.{name}" for name in ("risk", "measure", "owner", "due", "done"))
    planned = sheet.grid("grids.plan", *heads, rows=rows)
    answered = {a.risk for a in actions}
    points = [
        t("points.high_without_action", risk=risk.name)
        for risk in named
        if _is_high(_graded(sheet, risk)) and risk.key not in answered
    ]
    points += [t("points.unknown_risk", key=a.risk) for a in actions if a.risk not in names]
    lines = (_judged(sheet, "fields.own_measures", sheet.answer("dpia.measures")),)
    return _section(
        sheet,
        "4.2",
        "Article 35(7)(d)",
        lines=lines,
        grids=(standing, planned),
        points=tuple(points),
    )


def _is_high(grades: RiskGrades) -> bool:
    return grades.likelihood in HIGH and grades.severity in HIGH


def _residual(sheet: Sheet) -> Section:
    rows, points = [], []
    for risk in risks(sheet):
        grades = _graded(sheet, risk)
        residual = (grades.residual_likelihood, grades.residual_severity)
        rows.append((risk.name, *(_grade(sheet, value) for value in residual)))
        # GDPR 36(1): a risk that stays high leads to the authority.
        if residual[0] in HIGH and residual[1] in HIGH:
            points.append(sheet.t("points.high_residual", risk=risk.name))
    heads = ("heads.risk", "heads.likelihood", "heads.severity")
    grid = sheet.grid("grids.residual", *heads, rows=rows)
    lines = (_judged(sheet, "fields.residual", sheet.answer("dpia.residual_risk"), "GDPR 36(1)"),)
    # The answer of the card and the grades may contradict each other.
    if points and sheet.answer("dpia.residual_risk") in ("low", "medium"):
        points.append(sheet.t("points.residual_differs"))
    return _section(sheet, "4.3", "Article 36(1)", lines=lines, grids=(grid,), points=tuple(points))


def _involved(sheet: Sheet) -> Section:
    opinion = sheet.answer("sign_off.dpo_opinion")
    lines = [
        _judged(sheet, "fields.dpo_advice", sheet.answer("dpia.advice_ref"), "GDPR 35(2)"),
        _judged(sheet, "fields.dpo_opinion", opinion, "GDPR 39(1)(c)"),
        _judged(sheet, "fields.views", sheet.answer("dpia.subject_views"), "GDPR 35(9)"),
    ]
    points = [sheet.t("points.dpo_objects")] if opinion in ("negative", "conditions") else []
    return _section(sheet, "5", "Article 35(2), 35(9)", lines=tuple(lines), points=tuple(points))


def _decision(sheet: Sheet) -> Section:
    decision, now = sheet.added.dpia.decision, basis(sheet.card)
    lines = (
        _judged(sheet, "fields.decision", decision.outcome),
        _judged(sheet, "fields.decided_by", decision.by),
        _judged(sheet, "fields.decided_on", decision.on),
        sheet.of("fields.conditions", decision.conditions),
        _judged(sheet, "fields.covers", decision.covers, "GDPR 35(11)"),
        _judged(sheet, "fields.versions", sheet.answer("dpia.model_versions_covered")),
        _judged(sheet, "fields.review_by", sheet.answer("dpia.review_due"), "GDPR 35(11)"),
    )
    points = []
    # GDPR 35(11): the decision holds for the basis that it names, and for no other.
    if not is_open(decision.covers) and decision.covers != now:
        points.append(sheet.t("points.other_basis", covers=decision.covers, basis=now))
    if decision.outcome in ("reject", "consult_authority"):
        points.append(sheet.t("points.not_to_start"))
    if decision.outcome == "approve_with_conditions" and not decision.conditions:
        points.append(sheet.t("points.no_conditions"))
    return _section(sheet, "6", "Article 35, 36", lines=lines, points=tuple(points))


def _judged(sheet: Sheet, label: str, value: object, source: str = "") -> CardLine:
    """Return a judgement that is asked for only while an assessment is or may be required."""
    line = sheet.of(label, value, source)
    if line.open and sheet.card.derived.dpia.required is False:
        return sheet.stated(label, sheet.t("words.not_asked"), source)
    return line
