"""Record of releases and their variables.

The platform's own rollback does not restore variables, so this record does. It never holds the
value of a secret, only the name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

PLATFORM_OWNED = {"PORT", "DATABASE_URL"}
SECRET_WORDS = re.compile(
    r"SECRET|PASSWORD|PASSWD|TOKEN(?!IZER)|CREDENTIAL|API_?KEY|(ACCESS|PRIVATE)KEY|"
    r"(^|_)(KEYS?|PASS|PWD|AUTH|DSN)(_|$)"
)
SECRET_VALUES = re.compile(r"://[^/?#\s]*:[^/?#\s]+@|\bpassword\s*=", re.IGNORECASE)
"""An address with a password in it."""


class Release(BaseModel):
    """One deployment that reached ``running``, with the result of its smoke test."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    deployment: str
    image_tag: str | None
    bundle: str
    created_at: str
    kind: Literal["deploy", "rollback"]
    smoke: Literal["passed", "failed"]
    variables: dict[str, str]
    secrets: tuple[str, ...]


class VariableChange(NamedTuple):
    """A change of variables: values to write and names to remove."""

    write: dict[str, str]
    remove: tuple[str, ...]


_RELEASES = TypeAdapter(tuple[Release, ...])
_NAMES = TypeAdapter(tuple[str, ...])
TRIED: Final = "tried_variables.json"
"""File beside the releases, with names of variables only."""


def read_releases(path: Path) -> tuple[Release, ...]:
    """Return the releases, oldest first, none when the file does not exist yet.

    Raises ValueError in one line when the file is broken.
    """
    if not path.is_file():
        return ()
    try:
        return _RELEASES.validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(
            f"{path}: {first['loc']}: {first['msg']}; restore it from version control"
        ) from None


def append_release(path: Path, release: Release) -> None:
    """Add one release at the end of the file, which is replaced as a whole."""
    _write(path, [item.model_dump(mode="json") for item in (*read_releases(path), release)])


def read_tried(releases: Path) -> tuple[str, ...]:
    """Return the names of variables that were written since the newest release.

    A deployment that failed leaves them on the platform. Raises ValueError for a broken file.
    """
    path = releases.with_name(TRIED)
    if not path.is_file():
        return ()
    try:
        return _NAMES.validate_json(path.read_bytes())
    except ValidationError:
        raise ValueError(f"{path} is no list of names; restore it from version control") from None


def note_tried(releases: Path, names: Iterable[str]) -> None:
    """Note ``names`` before they are written, or nothing more once they belong to a release."""
    if names := sorted(names):
        _write(releases.with_name(TRIED), names)
    else:
        releases.with_name(TRIED).unlink(missing_ok=True)


def _write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # An interruption leaves the old file as it is.
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    draft.replace(path)


def change_between(
    before: Mapping[str, str], after: Mapping[str, str], keep: Iterable[str] = ()
) -> VariableChange:
    """Return the change from ``before`` to ``after``, without removing a name in ``keep``."""
    write = {key: value for key, value in after.items() if before.get(key) != value}
    return VariableChange(write, tuple(sorted(set(before) - set(after) - set(keep))))


def check_variables(variables: Mapping[str, str], secrets: Mapping[str, str]) -> None:
    """Refuse names that are malformed, the platform's or set twice, and variables that look secret.

    Raises ValueError.
    """
    for name in (*variables, *secrets):
        if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError(
                f"variable {name!r}: letters, digits and _ are allowed; "
                "correct [deploy] in config.toml"
            )
        if name in PLATFORM_OWNED:
            raise ValueError(
                f"variable {name} is set by the platform; remove it from [deploy] in config.toml"
            )
    if (profile := variables.get("CHURN_PROFILE", "eu")) != "eu":
        raise ValueError(
            f"CHURN_PROFILE is {profile!r} in [deploy.variables]: a deployed service runs in "
            "profile eu, which its image sets; remove the line"
        )
    if both := sorted(set(variables) & set(secrets)):
        raise ValueError(
            f"{', '.join(both)}: in [deploy.variables] and in secrets; keep one of the two"
        )
    if misplaced := sorted(
        name
        for name, value in variables.items()
        if SECRET_WORDS.search(name.upper()) or SECRET_VALUES.search(value)
    ):
        raise ValueError(
            f"{', '.join(misplaced)} in [deploy.variables] looks like a secret, which may not be "
            "in config.toml; list the name in [deploy] secrets and set the environment variable"
        )
