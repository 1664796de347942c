"""Whether a bundle may be served here at all: read it whole, ask its card, say why not."""

from __future__ import annotations

import logging

from sovereign_ml.bundle.release_check import objections_to
from sovereign_ml.bundle.sealed import Bundle, read_bundle
from sovereign_ml.service.settings import Settings, SettingsError

log = logging.getLogger("sovereign_ml.service")


def admit(settings: Settings) -> Bundle:
    """The bundle to serve. In profile eu anything against it stops the start; in local it is a warning.

    Raises SettingsError with one line that lists every reason.
    """
    try:
        bundle = read_bundle(settings.bundle)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    reasons = list(objections_to(bundle))
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
    return bundle
