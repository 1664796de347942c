"""Binding of a document to the card's version and content hash, and to the basis of the assessment.

The content hash changes with every training. The basis does not: it covers the answers, the kinds
of data, the hosts, the bands and the risks that the figures raise. A formal decision names the
basis, so it holds for a new version that changes none of these, and for no other (GDPR 35(11)).
"""

from __future__ import annotations

import hashlib
import json
from typing import Final

from sovereign_ml.card.records.document import Document, Section
from sovereign_ml.card.records.risks import risks
from sovereign_ml.card.records.sheet import Sheet
from sovereign_ml.card.schema import Card

# The assessment writes these tables down, or they name dates and places only.
LATER: Final = {"changes_nothing"}  # came to the card after the first assessments
NOT_THE_BASIS: Final = ("model", "sign_off", "dpia", "ropa", "monitoring")


def basis(card: Card) -> str:
    """Return the first half of a SHA-256 over what the impact assessment assesses."""
    facts = card.facts
    # Left out where there are none, so that decisions which named an earlier basis still hold.
    outcomes = facts.decision.outcomes
    content = {
        "answers": card.answers.model_dump(mode="json", exclude=set(NOT_THE_BASIS)),
        "inputs": sorted(feature.name for feature in facts.data.features),
        "algorithm": facts.model.algorithm,
        "bands": [band.model_dump() for band in facts.decision.bands],
        "action_band": facts.decision.action_band,
        "hosts": sorted((h.hostname, h.jurisdiction_class, *h.carries) for h in facts.hosting),
        "raised": sorted(risk.key for risk in risks(Sheet(card)) if risk.point),
        **({"outcomes": [each.model_dump(exclude=LATER) for each in outcomes]} if outcomes else {}),
        "derived": card.derived.model_dump(mode="json", include={"dpia": True}),
    }
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False)
    # People copy it into documents.toml, so half of the hash is enough.
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def bound_to(sheet: Sheet) -> dict[str, str]:
    """Return what a document was written from."""
    card = sheet.card
    return {
        "card": card.id,
        "version": card.facts.model.version or "",
        "content_sha256": card.content_hash,
        "basis": basis(card),
        "law_as_of": card.law_snapshot.isoformat(),
    }


def document(
    sheet: Sheet, name: str, sections: tuple[Section, ...], *, draft: bool = True
) -> Document:
    """Return a document of ``sections`` with the notes that people added under its name."""
    t, card = sheet.t, sheet.card
    if notes := sheet.added.notes.get(name):
        sections = (*sections, Section(t("page.notes"), "documents.toml", texts=notes))
    version = card.facts.model.version
    source = t(
        "page.source",
        card=card.id,
        version=t("page.version", version=version) if version else "",
        sha=card.content_hash[:16] or t("words.none"),
        law=t.day(card.law_snapshot),
    )
    return Document(
        title=t(f"{name}.title", card=card.id),
        about=t(f"{name}.about"),
        source=source,
        sections=sections,
        draft=draft,
        t=t,
        bound=bound_to(sheet),
    )
