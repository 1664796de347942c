"""Privacy notice of Articles 13 and 14, and its short form.

The right to object is set apart (21(4)).
"""

from __future__ import annotations

from sovereign_ml.card.conditions import consent_used
from sovereign_ml.card.records import common
from sovereign_ml.card.records.binding import document
from sovereign_ml.card.records.document import Document, Section
from sovereign_ml.card.records.sheet import Sheet
from sovereign_ml.card.render.speech import OPEN_TEXT, said
from sovereign_ml.card.render.view import CardLine
from sovereign_ml.card.schema import is_open

SENTENCES = (
    "purpose.statement",
    "data.label_definition",
    "decision.not_selected_outcome",
    "rights.rectification",
)
ITEM_OF_SECTION = {
    "object": ("objection_separate",),
    "why": ("purposes_and_basis", "legitimate_interest"),
    "automated": ("adm_existence", "logic", "significance", "consequences"),
    "who_gets": ("recipients",),
    "outside": ("transfers",),
    "how_long": ("retention",),
    "rights": ("rights", "withdrawal"),
    "complain": ("complaint",),
    "what": ("third_party_source",),
}
"""Items of Articles 13, 14 and 21(4) that each part of the notice says."""


def privacy_notice(sheet: Sheet) -> Document:
    """Return the notice that people read, with its open points for whoever publishes it."""
    parts = [(name, part(sheet)) for name, part in _PARTS.items()]
    return document(sheet, "notice", tuple(part for _, part in parts if part), draft=False)


def short_notice(sheet: Sheet) -> Document:
    """Return the first layer of the notice (WP260 para. 35).

    It says who, what for, what follows, the right to object, and where the rest is.
    """
    t = sheet.t
    url = sheet.added.notice.url
    # Without a web address the place in the answers stands in.
    where = sheet.answer("notice.art13_ref") if is_open(url) else url
    lines = (
        sheet.line("fields.controller", "roles.controller"),
        sheet.line("notice.what_for", "purpose.statement"),
        sheet.stated("notice.what_follows", consequences(sheet)),
        sheet.line("fields.dpo", "roles.dpo_contact"),
        sheet.of("notice.full_text", where, "GDPR 13"),
    )
    first = Section(
        t("notice_short.what"),
        t.cite("GDPR 13"),
        lines,
        points=sheet.untranslated("purpose.statement"),
        texts=(t("notice.profiled"),),
    )
    parts = (_object(sheet), first)
    return document(sheet, "notice_short", tuple(part for part in parts if part), draft=False)


def items(sheet: Sheet) -> dict[str, bool]:
    """Return for each item of ``[notice.items]`` whether the notice says it.

    The part that says it must have no open point.
    """
    stated = dict.fromkeys((name for names in ITEM_OF_SECTION.values() for name in names), False)
    for part, names in ITEM_OF_SECTION.items():
        section = _PARTS[part](sheet)
        if section is not None:
            whole = Document("", "", "", (section,)).open == 0
            stated |= dict.fromkeys(names, whole)
    return stated


def _object(sheet: Sheet) -> Section | None:
    t, marketing = sheet.t, sheet.card.derived.decision.direct_marketing
    texts, lines = [], []
    # While it is open whether this is marketing, people are told of the right.
    if marketing is not False:
        texts.append(t("notice.object_marketing"))
        lines.append(sheet.line("rights.stop_offers", "objection.marketing_channel", "GDPR 21(2)"))
    if {"6_1_e", "6_1_f"} & sheet.bases:
        texts.append(t("notice.object_grounds"))
        lines.append(sheet.line("rights.object", "objection.general_channel", "GDPR 21(1)"))
    if not texts:
        return None
    return sheet.section(
        "notice.object", "GDPR 21(4)", texts=tuple(texts), lines=tuple(lines), boxed=True
    )


def _who(sheet: Sheet) -> Section:
    roles = sheet.card.answers.roles
    lines = [
        sheet.line("fields.controller", "roles.controller"),
        sheet.line("fields.contact", "roles.controller_contact"),
        sheet.line("fields.dpo", "roles.dpo_contact"),
    ]
    # GDPR 27: only a controller outside the EU has a representative.
    if not is_open(roles.eu_representative):
        lines.append(sheet.line("fields.representative", "roles.eu_representative"))
    if roles.joint_controllers != ():
        lines.append(sheet.line("fields.joint", "roles.joint_controllers", "GDPR 26"))
    return sheet.section("notice.who", "GDPR 13(1)(a)-(b)", lines=tuple(lines))


def _why(sheet: Sheet) -> Section:
    lines = [sheet.line("notice.what_for", "purpose.statement"), *common.bases(sheet)]
    points = sheet.untranslated(*SENTENCES)
    if "6_1_f" in sheet.bases:
        lines.append(sheet.line("fields.interest", "legitimate_interest.interest"))
        points += sheet.untranslated("legitimate_interest.interest")
    if sheet.card.answers.eprivacy.e_marketing_basis not in ("?", "none"):
        basis = sheet.card.answers.eprivacy.e_marketing_basis
        lines.append(sheet.of("fields.e_marketing", basis, "Dir. 2002/58 Art. 13"))
    return sheet.section("notice.why", "GDPR 13(1)(c)-(d)", lines=tuple(lines), points=points)


def _what(sheet: Sheet) -> Section:
    sources = sheet.card.answers.data.sources
    rows = [] if isinstance(sources, str) else [(s.name, sheet.cell(s.origin)) for s in sources]
    grid = sheet.grid(
        "grids.sources", "heads.source", "heads.origin", rows=rows or [(OPEN_TEXT, OPEN_TEXT)]
    )
    provide = (sheet.of("notice.must_provide", sheet.added.notice.must_people_provide),)
    grids = (common.data_categories(sheet), grid)
    return sheet.section(
        "notice.what", "GDPR 13(2)(e), 14(1)(d), 14(2)(f)", lines=provide, grids=grids
    )


def _automated(sheet: Sheet) -> Section:
    t, facts = sheet.t, sheet.card.facts
    labels = {f.label: sheet.input(f) for f in facts.data.features}
    main = [labels.get(name, name) for name in facts.explanation.main_factors]
    bands = [t.code(band.name) for band in facts.decision.bands]
    names = {"bands": ", ".join(bands), "action": t.code(facts.decision.action_band or "")}
    acts = t("notice.bands", **names) if facts.decision.action_band else None
    lines: tuple[CardLine, ...] = (
        sheet.line("notice.predicts", "data.label_definition"),
        sheet.of("notice.main_inputs", tuple(main) or None),
        sheet.of("notice.threshold", acts),
        sheet.stated("notice.what_follows", consequences(sheet)),
        sheet.line("fields.not_selected", "decision.not_selected_outcome"),
        sheet.line("fields.person", "decision.automation_level"),
    )
    if results := common.outcomes(sheet):
        lines += (sheet.stated("notice.outcomes", results),)
    texts = [t("notice.profiled"), t("notice.logic")]
    if sheet.card.derived.decision.art22_applies is True:
        texts.append(t("notice.article22"))
    article = "GDPR 13(2)(f), 14(2)(g), 22; C-203/22"
    return sheet.section("notice.automated", article, lines=lines, texts=tuple(texts))


def consequences(sheet: Sheet) -> str:
    """Return what a score means for a person: the action, in words for them."""
    action = sheet.card.answers.decision.downstream_action
    if is_open(action):
        return sheet.t("words.open")
    if action == "other":
        return said(sheet.answer("decision.other_action"), sheet.t)
    return sheet.t(f"follows.{action}")


def _who_gets(sheet: Sheet) -> Section:
    rows = [(name,) for name in common.recipients(sheet)]
    grid = sheet.grid("grids.recipients", "heads.recipient", rows=rows)
    return sheet.section(
        "notice.who_gets", "GDPR 13(1)(e)", grids=(grid,), points=common.unnamed_hosts(sheet)
    )


def _outside(sheet: Sheet) -> Section | None:
    # An empty list is the answer that there is no transfer.
    if sheet.card.answers.hosting.transfers == ():
        return None
    return sheet.section("notice.outside", "GDPR 13(1)(f)", grids=(common.transfers(sheet),))


def _how_long(sheet: Sheet) -> Section:
    grid, missing = common.time_limits(sheet)
    return sheet.section("notice.how_long", "GDPR 13(2)(a)", grids=(grid,), points=missing)


def _rights(sheet: Sheet) -> Section:
    texts = [sheet.t("notice.rights_text")]
    if consent_used(sheet.card.answers):
        texts.append(sheet.t("notice.withdrawal_text"))
    article = "GDPR 13(2)(b)-(c)"
    return sheet.section(
        "notice.rights", article, lines=tuple(common.rights(sheet)), texts=tuple(texts)
    )


def _complain(sheet: Sheet) -> Section:
    lines: tuple[CardLine, ...] = (sheet.line("fields.authority", "notice.authority"),)
    texts = (sheet.t("notice.complain_text"),)
    return sheet.section("notice.complain", "GDPR 13(2)(d), 77", lines=lines, texts=texts)


def _state(sheet: Sheet) -> Section:
    lines = (
        sheet.line("notice.version", "notice.version"),
        sheet.line("notice.since", "notice.effective_from"),
    )
    return sheet.section("notice.state", "GDPR 5(2)", lines=lines)


_PARTS = {
    # GDPR 21(4): the right to object is set apart from the rest, so it comes first.
    "object": _object,
    "who": _who,
    "why": _why,
    "automated": _automated,
    "what": _what,
    "who_gets": _who_gets,
    "outside": _outside,
    "how_long": _how_long,
    "rights": _rights,
    "complain": _complain,
    "state": _state,
}
