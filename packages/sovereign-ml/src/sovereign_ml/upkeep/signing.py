"""Checks of the approvers: whether decisions are signed, and whose keys are in use."""

from __future__ import annotations

import re

from sovereign_ml.errors import Refused
from sovereign_ml.registry import signatures
from sovereign_ml.upkeep.state import Findings, ProjectState


def signing(state: ProjectState) -> Findings:
    """Find unsigned approvals, and keys of people without a commit for long."""
    if not signatures.is_set_up(state.root):
        yield (
            f"{signatures.SIGNERS} is missing",
            "signed decisions",
            "Put the approvers' public keys there and commit it: docs/approval.md.",
        )
        return
    most = state.policy.max_idle_signer_days
    text = (state.root / signatures.SIGNERS).read_text(encoding="utf-8")
    for principal in _principals(text):
        # Ann's address is the end of Joann's.
        whole = re.sub(r"([][.{}()*+?^$|\\])", r"\\\1", principal)
        whole = f"(^|[^A-Za-z0-9._%+-]){whole}([^A-Za-z0-9.-]|$)"
        keys = str(signatures.SIGNERS)
        added = state.last_commit("--pickaxe-regex", f"-S{whole}", "--", keys)
        author = f"<{principal}>" if "@" in principal else principal
        worked = state.last_commit("--fixed-strings", "-i", f"--author={author}")
        # A new key counts like a commit: its owner may just have started.
        newest = max((day for day in (added, worked) if day), default=None)
        if newest is None:
            raise Refused(f"{signatures.SIGNERS}: it is unknown since when {principal} may sign")
        if (days := state.age(newest)) > most:
            yield (
                f"{principal} may sign, and committed nothing for {days} days",
                f"{most} days ([upkeep] max_idle_signer_days)",
                f"Ask whether they left; if so, remove the key from {signatures.SIGNERS}.",
            )


def _principals(text: str) -> list[str]:
    """Return the allowed signers of a file: principals of SSH keys, addresses of GPG keys."""
    names: list[str] = []
    for line in text.splitlines():
        if match := signatures.GPG.fullmatch(line.strip()):
            names.append(match[2].partition("<")[2].rstrip("> ") or match[2])
        elif line.strip() and not line.lstrip().startswith("#"):
            quoted = re.match(r'\s*"([^"]*)"', line)
            names += (quoted[1] if quoted else line.split()[0]).split(",")
    return list(dict.fromkeys(name.strip() for name in names if name.strip()))
