"""Approvals recorded in git, shown in every copy of the card."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

from sovereign_ml.card.approval import with_approvals
from sovereign_ml.card.rules import OwnRules, check
from sovereign_ml.card.schema.model_card import Card
from sovereign_ml.decisions.rule_policy import RulePolicy
from sovereign_ml.registry import signatures
from sovereign_ml.registry.signatures import APPROVALS
from sovereign_ml.storage.artifacts import read_json, writing

__all__ = ["APPROVALS", "publish", "signed", "write"]


def signed(card: Card, root: Path, policy: RulePolicy) -> Card:
    """Return the card with the recorded decisions and their signatures. Its content hash stays.

    Raises CardError on a broken record, and where somebody without an allowed key changed the keys.
    """
    return with_approvals(card, signatures.decisions(root), policy.approval_roles)


def write(card: Card, folder: Path, policy: RulePolicy, own: OwnRules) -> None:
    """Write the card's four files with today's results of the rules, checked as at promotion."""
    from sovereign_ml.card.render.outputs import write as write_files

    today = datetime.now(UTC).date()
    write_files(card, folder, check(card, policy, today, at="promote", own=own))


def publish(card: Card, folder: Path, bundle: Path, policy: RulePolicy, own: OwnRules) -> None:
    """Write the approvals into the card in ``folder``, and into ``bundle`` if it holds this card.

    The bundle is sealed again over the same model, contract and policy. No hash that anybody
    relies on changes: an approval is not part of the content that it approves.
    """
    write(card, folder, policy, own)
    held = bundle / "card.json"
    if held.is_file() and read_json(held).get("content_hash") == card.content_hash:
        _seal_again(bundle, folder)


def _seal_again(bundle: Path, card: Path) -> None:
    from sovereign_ml.bundle.sealed import MANIFEST, read_manifest, seal_again, sealed_bytes
    from sovereign_ml.card.render.outputs import FILES

    sealed = read_manifest(bundle / MANIFEST)
    try:
        own = {name: sealed_bytes(bundle, name, sealed) for name in sealed.files}
    except ValueError:
        # A new seal would vouch for what was changed. The old one lets nobody register or serve it.
        return
    with writing(bundle) as folder:
        for name, content in own.items():
            (folder / name).write_bytes((card / name).read_bytes() if name in FILES else content)
        seal_again(folder, sealed)
        # Files outside the seal stay as they are.
        for path in bundle.iterdir():
            if not (folder / path.name).exists():
                shutil.copy(path, folder / path.name)
