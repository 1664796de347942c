"""Whether a bundle may be served here at all: read it whole, ask its card, say why not."""

from __future__ import annotations

import logging

from sovereign_ml.bundle.library_identity import LibraryIdentity, identify_in_image
from sovereign_ml.bundle.release_check import objections_to
from sovereign_ml.bundle.sealed import Bundle, read_bundle
from sovereign_ml.errors import Refused
from sovereign_ml.service.settings import ServiceSettings, SettingsError

log = logging.getLogger("sovereign_ml.service")


def admit(settings: ServiceSettings) -> Bundle:
    """Return the bundle to serve with the library that is installed here, see `admit_with`."""
    try:
        library = identify_in_image(settings.bundle.parent)
    except Refused as error:
        raise SettingsError(str(error)) from None
    return admit_with(settings, library)


def admit_with(settings: ServiceSettings, library: LibraryIdentity) -> Bundle:
    """Return the bundle to serve. In profile eu anything against it stops the start, in local it warns.

    A library that was changed after it was released serves nothing in any profile. Raises
    SettingsError with one line that lists every reason.
    """
    changed = library.objections(settings.profile)
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
