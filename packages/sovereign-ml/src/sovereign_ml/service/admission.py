"""Admission checks at the start of the service: the bundle, and the rights of the database role."""

from __future__ import annotations

import logging
from contextlib import closing

from sovereign_ml.bundle.library_identity import LibraryIdentity, identify_in_image
from sovereign_ml.bundle.release_check import objections_to
from sovereign_ml.bundle.sealed import Bundle, read_bundle
from sovereign_ml.decision_log import open_log
from sovereign_ml.errors import Refused
from sovereign_ml.service.settings import ServiceSettings, SettingsError

log = logging.getLogger("sovereign_ml.service")


def admit(settings: ServiceSettings) -> Bundle:
    """Return the bundle to serve with the installed library, see `admit_with`."""
    try:
        library = identify_in_image(settings.bundle.parent)
    except Refused as error:
        raise SettingsError(str(error)) from None
    return admit_with(settings, library)


def admit_with(settings: ServiceSettings, library: LibraryIdentity) -> Bundle:
    """Return the bundle to serve.

    An objection to the bundle stops the start in profile eu and is a warning in local. A library
    that was changed after its release serves nothing in any profile. Raises SettingsError in one
    line with every reason.
    """
    changed = library.objections(settings.profile)
    # Profile eu goes on and collects the other reasons, so that one start names all of them.
    if changed and settings.profile == "local":
        raise SettingsError(" ".join(changed))
    try:
        bundle = read_bundle(settings.bundle)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    reasons = [*changed, *objections_to(bundle, library.rule_digest)]
    if reasons and settings.profile == "eu":
        raise SettingsError(
            f"{settings.bundle} may not be served in profile eu: {'; '.join(reasons)}"
        )
    if reasons:
        log.warning(
            "this bundle would not start in profile eu, for %d reasons; the first: %s",
            len(reasons),
            reasons[0],
        )
    for warning in library.warnings(settings.profile):
        log.warning(warning)
    return bundle


def admit_role(settings: ServiceSettings) -> None:
    """Refuse, in profile eu, a database role that could change entries of the decision log.

    With such a role, a hole in the service would reach the log's history too. Raises SettingsError
    in one line.
    """
    if settings.profile != "eu":
        return
    with closing(open_log(settings.log)) as opened:
        excess = opened.excess()
    if excess and settings.database_owner == "refuse":
        raise SettingsError(
            f"The role in the address of the decision log {excess}, so it could rewrite history: "
            "give the service a role of its own with `churn decisions prepare --role <name>`, or "
            "set CHURN_DATABASE_OWNER=allow where the platform has one role only"
        )
    if excess:
        log.warning("the role of the decision log %s, and CHURN_DATABASE_OWNER allows it", excess)
