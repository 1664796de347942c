"""Loading of the rules that a team adds to the library's: the optional module ``rules``."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

from sovereign_ml.bundle.installed_files import sha256_of
from sovereign_ml.card.rules import RULES, engine
from sovereign_ml.card.rules.own import NO_OWN_RULES, OwnRules, own_rules
from sovereign_ml.errors import Misuse
from sovereign_ml.pipeline.stages import with_imports
from sovereign_ml.project import Project

__all__ = ["load_own_rules"]


def load_own_rules(project: Project) -> OwnRules:
    """Return the rules of ``<package>.rules``, none where there is no such module.

    Raises Misuse where it cannot be imported or declares a rule that is not a team's.
    """
    # Looked up before the import, since an ImportError inside the module is no missing module.
    spec = find_spec(f"{project.package}.rules")
    if spec is None or spec.origin is None:
        return NO_OWN_RULES
    path = Path(spec.origin)
    try:
        module = project.module("rules")
        # The library's own decorator registers a rule on import, so its misuse shows here.
        if added := sorted(engine.RULES.keys() - RULES.keys()):
            raise ValueError(
                f"{', '.join(added)} is declared with the library's own decorator; "
                "use `rule` of sovereign_ml.card.rules"
            )
        return own_rules(list(vars(module).values()), _digest(path))
    except Exception as error:  # the team's own code: whatever is wrong there is told in one line
        raise Misuse(
            f"{path.parent.name}/{path.name} cannot be used: {type(error).__name__}: {error}"
        ) from None


def _digest(path: Path) -> str:
    """Return one SHA-256 over the file and the files of the package that it imports."""
    lines = [
        f"{sha256_of(file)}  {file.name}\n" for file in sorted(with_imports([path], path.parent))
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
