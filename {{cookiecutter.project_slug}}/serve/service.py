"""The churn service: one BentoML class around the library's HTTP application.

    churn serve                          # settings of config.toml, feature server beside it
    python -m sovereign_ml.service       # as in the image; this folder is on PYTHONPATH there
    bentoml serve service:ChurnService   # BentoML's own server; needs CHURN_KEYS and BUNDLE_DIR

What is answered at which path, by whose key, and what is written to the decision log before an
answer leaves, is the same in every project: `sovereign_ml.service`. The class is the place for
what is this team's own, such as a warm-up in `open`. It runs without the package `churn` and
without the libraries of training: everything about the model is in the bundle.
"""

from __future__ import annotations

from sovereign_ml.service.app import Application
from sovereign_ml.service.lifecycle import (
    PRIVATE,
    OwnRoutesOnly,
    close_application,
    open_application,
)
from sovereign_ml.service.settings import quiet

quiet()  # BentoML reads the switches of its telemetry while it is imported

import bentoml  # noqa: E402

http = Application()


@bentoml.service(name="churn", workers=1, **PRIVATE)
@bentoml.asgi_app(http, path="/")
class ChurnService:
    """Answers HTTP from one sealed bundle."""

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    def open(self) -> None:
        """Admit the bundle in BUNDLE_DIR and open the decision log, or refuse to start."""
        open_application(http)

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def close(self) -> None:
        """Write what still waits for the decision log, and close it."""
        await close_application(http)


# Without this line BentoML's own pages (`/`, `/metrics`, `/schema.json`) would come first.
ChurnService.add_asgi_middleware(OwnRoutesOnly, application=http)  # type: ignore[attr-defined]
