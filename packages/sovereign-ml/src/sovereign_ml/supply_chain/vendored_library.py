"""Comparison of the installed library with the wheel and the locks of a project."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sovereign_ml.bundle.library_identity import LibraryIdentity, identify
from sovereign_ml.errors import Refused
from sovereign_ml.supply_chain.lockfile import Pin, library_pin
from sovereign_ml.supply_chain.upgrade import has_wheel, library_locks, vendored
from sovereign_ml.supply_chain.wheel import read_wheel

log = logging.getLogger("sovereign_ml")


def project_identity(root: Path) -> LibraryIdentity:
    """Return the identity of the installed library, compared with the project's wheel and locks.

    A RECORD that was rewritten to fit an edit does not pass: the wheel in ``vendor/`` says what
    was released, and the locks say which wheel that is. An organisation with a package index of
    its own has no ``vendor/``. There the locks and RECORD are compared.
    """
    pins: dict[str, Pin] = {}
    for lock in library_locks(root):
        if pin := library_pin(lock.read_text(encoding="utf-8")):
            pins[lock.name] = pin
    if not has_wheel(root):
        return _identity_by_locks(pins)
    try:
        wheel = read_wheel(vendored(root))
    except Refused as error:
        return identify(lock_problems=[str(error).rstrip(".")])
    wrong = [
        f"{name} does not name {wheel.path.name} by its version and hash"
        for name, pin in pins.items()
        if (pin.version, pin.hashes) != (wheel.version, (wheel.sha256,))
    ]
    if not pins:
        wrong = [f"no lock in requirements/ names {wheel.path.name} by its version and hash"]
    return identify(wheel.path, lock_problems=wrong)


def _identity_by_locks(pins: Mapping[str, Pin]) -> LibraryIdentity:
    """Return the identity of a library without a wheel in ``vendor/``, compared with the locks."""
    hashes = {digest for pin in pins.values() for digest in pin.hashes}
    # Several hashes do not say which of the files was installed.
    identity = identify(pinned_sha256=hashes.pop() if len(hashes) == 1 else "")
    if identity.state == "development":
        return identity
    wrong = [
        f"{name} names release {pin.version}, installed is {identity.version}"
        for name, pin in pins.items()
        if pin.version != identity.version
    ]
    problems = (*wrong, *identity.problems)
    return replace(identity, problems=problems, state="changed" if problems else identity.state)


def checked_identity(root: Path, profile: str) -> LibraryIdentity:
    """Return the identity of a library that may judge cards in ``profile``, and log its warnings.

    Raises Refused, in one line, for a library that was changed after its release, and outside
    `local` for a development version.
    """
    identity = project_identity(root)
    if objections := identity.objections(profile):
        raise Refused(" ".join(objections))
    for warning in identity.warnings(profile):
        log.warning(warning)
    return identity
