"""The BentoML service: BentoML's life cycle and ASGI application around our routes, in one process.

What of BentoML's request path was switched off, why, and what it is worth: docs/adr/0040-bentoml-request-path.md.
"""

from __future__ import annotations

import logging
from typing import Any

from sovereign_ml.egress import guard
from sovereign_ml.service.admission import admit
from sovereign_ml.service.app import Application
from sovereign_ml.service.runtime import Runtime
from sovereign_ml.service.settings import quiet, read

quiet()

import bentoml  # noqa: E402, TID253  after its telemetry is off; this file is what BentoML imports

CONFIG: dict[str, Any] = {
    "workers": 1,
    "metrics": {"enabled": False},  # we count by route and never by path
    "logging": {"access": {"enabled": False}},  # paths hold decision ids
    "tracing": {"excluded_urls": ".*"},  # no spans: they go nowhere and cost a third of the time
}
http = Application()
log = logging.getLogger("churn_service")


@bentoml.service(name="churn", **CONFIG)
@bentoml.asgi_app(http, path="/")
class ChurnService:
    """Opens bundle and log when BentoML starts it, and closes them when it stops."""

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    def open(self) -> None:
        """Start with the settings of the environment, unless the program that runs us did already."""
        if not http.started:
            settings = read()
            http.use(Runtime(settings, admit(settings)))

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def close(self) -> None:
        """Write what waits, close the log, and say what the egress guard refused."""
        runtime = http.runtime()
        http.use(None)
        await runtime.close()
        for line in guard.summary():
            log.warning(line)


def asgi() -> Any:
    """BentoML's own ASGI application with nothing on it but our route table."""
    app = ChurnService.to_asgi(is_main=False)  # type: ignore[attr-defined]
    # Each request would leave a timer behind for 60 s: 400,000 live objects at 7,000/s, and pauses to collect them.
    app.user_middleware[:] = [
        m for m in app.user_middleware if m.cls.__name__ != "TimeoutMiddleware"
    ]
    app.router.routes.clear()
    app.router.default = http
    return app
