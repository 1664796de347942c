"""``card.md``: the card in Markdown for model hubs.

Hugging Face compatible front matter comes first, then the card in the headings that model hubs
expect.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Any

from sovereign_ml.card.questions import open_questions
from sovereign_ml.card.render import figures, hurdles, view
from sovereign_ml.card.render.speech import OPEN_TEXT, code, figure, said
from sovereign_ml.card.rules.engine import Finding
from sovereign_ml.card.schema import Card

# A name from the team's data must not become a link, a tag or the end of a table cell.
SPECIAL = re.compile(r"([\\`*_\[\]|#~])")


def render_markdown(card: Card, findings: Sequence[Finding] | None = None) -> str:
    """Return the card as Markdown.

    The front matter carries the GDPR part under ``gdpr``, which model hubs keep as it is.
    """
    import yaml

    front = yaml.safe_dump(front_matter(card), sort_keys=False, allow_unicode=True, width=110)
    parts = (_summary, _uses, _limits, _training, _evaluation, _examination, _open, _contact)
    sections = [part(card) for part in parts]
    if findings is not None:
        # Whoever wants to use the model reads this before the details.
        sections.insert(1, _production(card, findings))
    return f"---\n{front}---\n\n" + "\n\n".join(sections) + "\n"


def front_matter(card: Card) -> dict[str, Any]:
    """Return the front matter as plain data.

    It has the keys of ModelCardData, a ``model-index`` and ``gdpr``.
    """
    facts = card.facts
    content: dict[str, Any] = {
        "model_name": facts.model.name or card.id,
        "pipeline_tag": "tabular-classification",
        "library_name": facts.model.framework,
        "tags": ["tabular", "interpretable", f"card-status-{card.status}"],
        "metrics": list(facts.evaluation.metrics),
        "model-index": [_model_index(card)] if facts.evaluation.metrics else None,
        "gdpr": _gdpr(card),
    }
    return {key: value for key, value in content.items() if value}


def escape(text: object) -> str:
    """Return text that stays text in Markdown.

    It is one line without markup or HTML, and it breaks no table cell.
    """
    flat = " ".join(str(text).split())
    # Quotes do no harm outside of tags, and escaped ones are hard to read.
    return SPECIAL.sub(r"\\\1", html.escape(flat, quote=False))


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table with every cell escaped."""
    lines = [head, ["---"] * len(head), *([escape(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bullets(lines: Sequence[view.CardLine]) -> str:
    """Return labelled statements as a list. Open ones are marked."""
    return "\n".join(f"- **{escape(item.label)}:** {shown(item)}" for item in lines)


def shown(item: view.CardLine) -> str:
    """Return a statement's text.

    Where nobody answered it has a mark that stays visible in plain text.
    """
    return f"**OPEN** {escape(item.text)}" if item.open else escape(item.text)


def _model_index(card: Card) -> dict[str, Any]:
    facts = card.facts
    versions = [snapshot.dvc_md5 for snapshot in facts.data.snapshots if snapshot.role == "test"]
    # Hugging Face's model-index wants a data set by type and name, and this one is on no hub.
    dataset = {"type": "private", "name": f"{card.id} test snapshot", "split": "test"}
    return {
        "name": facts.model.name or card.id,
        "results": [
            {
                "task": {"type": "tabular-classification", "name": card.id},
                "dataset": dataset | ({"revision": versions[0]} if versions else {}),
                "metrics": [
                    {
                        "type": name,
                        "value": round(estimate.value, 6),
                        "name": figures.metric_name(name),
                    }
                    for name, estimate in facts.evaluation.metrics.items()
                ],
            }
        ],
    }


def _gdpr(card: Card) -> dict[str, Any]:
    derived = card.derived.model_dump(mode="json")
    return {
        "card_id": card.id,
        "schema_version": card.schema_version,
        "rulepack_version": card.rulepack_version,
        "law_snapshot": card.law_snapshot.isoformat(),
        "content_sha256": card.content_hash,
        "status": card.status,
        "open_questions": len(open_questions(card)),
        "library": card.facts.library.model_dump(mode="json"),
        "lawful_basis": card.answers.lawful_basis.used(),
        **derived,
    }


def _summary(card: Card) -> str:
    title = f"# {escape(card.id)}: model card"
    finding = f"**{view.verdict(card)}.** {escape(view.finding(card))}"
    blocks = (view.does(card), view.whom(card), view.rights(card))
    heads = ("## Model Details", "## Who answers for it", "## What people can do")
    body = "\n\n".join(
        f"{head}\n\n{bullets(lines)}" for head, lines in zip(heads, blocks, strict=True)
    )
    lines = [*view.identity(card), *view.own_rules(card), *view.policy(card)]
    return f"{title}\n\n{finding}\n\n{body}\n\n{bullets(lines)}"


def _production(card: Card, findings: Sequence[Finding]) -> str:
    rows = hurdles.hurdles(card, findings)
    cells = [(row.rule, row.effect, row.article, row.found, row.do) for row in rows]
    findings_table = (
        f"\n\n{table(('Rule', 'Effect', 'Source', 'Found', 'What to do'), cells)}" if cells else ""
    )
    summary = hurdles.in_short(rows)
    return f"## Before production\n\n{summary[:1].upper()}{summary[1:]}.{findings_table}"


def _uses(card: Card) -> str:
    purpose = card.answers.purpose
    direct, out = _list(purpose.specific_uses), _list(purpose.out_of_scope_uses)
    misuse = _list(purpose.foreseeable_misuse)
    return (
        f"## Uses\n\n### Direct Use\n\n{direct}\n\n### Out-of-Scope Use\n\n{out}"
        f"\n\n### Foreseeable misuse\n\n{misuse}"
    )


def _limits(card: Card) -> str:
    rows = [
        (gap.group, gap.compared, gap.value, said(gap.within), gap.smallest)
        for gap in figures.gaps(card)
    ]
    reason = card.facts.evaluation.fairness_not_measured_because or "Not measured."
    gaps_table = (
        table(("Groups by", "Compared", "Gap", "Within tolerance", "Smallest group"), rows)
        if rows
        else escape(reason)
    )
    return (
        "## Bias, Risks, and Limitations"
        f"\n\n{_list(card.answers.evaluation.limitations)}\n\n{gaps_table}"
    )


def _training(card: Card) -> str:
    rows = [
        (f.label or f.name, code(f.category), said(f.necessity_reason))
        for f in card.facts.data.features
    ]
    inputs = table(("Input", "Kind", "Why it is needed"), rows) if rows else OPEN_TEXT
    return f"## Training Details\n\n{bullets(view.data(card))}\n\n{inputs}"


def _evaluation(card: Card) -> str:
    rows = [(row.name, row.value, row.interval, row.meaning) for row in figures.figures(card)]
    metrics_table = (
        table(("Metric", "Value", "95 % interval", "How to read it"), rows) if rows else OPEN_TEXT
    )
    against = [(row.name, row.value, row.interval) for row in figures.price_of_explainability(card)]
    price = f"\n\n### {escape(card.facts.evaluation.benchmark_name)} on the same data\n\n"
    free = [(row.name, row.value, row.interval) for row in figures.price_of_directions(card)]
    return "\n\n".join(
        [
            f"## Evaluation\n\n{metrics_table}"
            + (price + table(("Metric", "Value", "Interval"), against) if against else ""),
            *(
                [f"### What offers changed\n\n{escape(effect)}"]
                if (effect := figures.offer_effect(card))
                else []
            ),
            *(
                [
                    "### Without the expected directions\n\n"
                    + table(("Metric", "Value", "Interval"), free)
                ]
                if free
                else []
            ),
        ]
    )


def _examination(card: Card) -> str:
    rows = []
    for part in card.facts.explanation.curves:
        points = (
            part.categories.items()
            if part.categories
            else zip(part.knots, part.log_odds, strict=True)
        )
        points_text = "; ".join(
            f"{x if isinstance(x, str) else f'{x:g}'}: {y:+.2f}" for x, y in points
        )
        rows.append((part.label or part.name, points_text, figure(part.missing_log_odds, 2)))
    curves_table = (
        table(("Input", "Log-odds at each value", "Missing"), rows) if rows else OPEN_TEXT
    )
    return (
        f"## Model Examination\n\n{escape(figures.how_parts_combine(card))} Between values the "
        f"parts run straight. {escape(figures.directions(card))}\n\n{curves_table}"
    )


def _open(card: Card) -> str:
    questions = open_questions(card)
    rows = (
        "\n".join(f"- [ ] {escape(q.text)} (`{q.path}`, {escape(q.source)})" for q in questions)
        or "None."
    )
    approvals = [
        (code(a.role), a.person, a.decision, said(a.at), view.signature(a)) for a in card.approvals
    ]
    signed = (
        table(("Role", "Person", "Decision", "When", "Signature"), approvals)
        if approvals
        else "Nobody has approved this card."
    )
    return f"## Open questions\n\n{rows}\n\n## Approvals\n\n{signed}"


def _contact(card: Card) -> str:
    roles = card.answers.roles
    lines = [
        view.line("Controller", roles.controller),
        view.line("Contact", roles.controller_contact),
        view.line("Data protection officer", roles.dpo_contact),
        view.line("Model owner", roles.owner_model),
    ]
    return f"## Model Card Contact\n\n{bullets(lines)}"


def _list(value: tuple[str, ...] | str) -> str:
    return (
        "\n".join(f"- {escape(item)}" for item in value)
        if isinstance(value, tuple) and value
        else OPEN_TEXT
    )
