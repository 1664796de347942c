"""Open, start and close the application behind a project's BentoML class.

Parts of BentoML's request path are switched off. The reasons and the gain are in
docs/adr/0005-bentoml-request-path.md of the template's repository.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from sovereign_ml.egress import guard
from sovereign_ml.service.admission import admit, admit_role
from sovereign_ml.service.app import Application
from sovereign_ml.service.runtime import Runtime
from sovereign_ml.service.settings import ServiceSettings, SettingsError, read

__all__ = [
    "PRIVATE",
    "OwnRoutesOnly",
    "application_of",
    "asgi",
    "close_application",
    "load_service",
    "open_application",
    "start",
]

log = logging.getLogger("sovereign_ml.service")

PRIVATE: Mapping[str, Any] = MappingProxyType(
    {
        "metrics": {"enabled": False},  # the application counts by route and never by path
        "logging": {"access": {"enabled": False}},  # paths hold decision ids
        "tracing": {"excluded_urls": ".*"},  # spans go nowhere and cost a third of the time
    }
)
"""Options of ``@bentoml.service`` that keep people's identifiers out of logs, metrics and spans."""


def open_application(application: Application) -> None:
    """Open the application when BentoML's server starts: settings, egress guard, bundle.

    Does nothing where ``python -m sovereign_ml.service`` opened the application already. Raises
    SettingsError or LogUnavailableError in one line. Missing keys are such an error, because the
    address at which BentoML listens is not known here.
    """
    if application.started:
        return
    settings = read()
    if settings.profile == "eu":
        raise SettingsError(
            "Profile eu starts with `python -m sovereign_ml.service`: `bentoml serve` sets no "
            "limits on connections and headers, so that one client can keep all others out"
        )
    if settings.open_to_all:
        raise SettingsError(
            "CHURN_KEYS is empty: `bentoml serve` may listen on every address. Make a key with "
            "`churn keys new`, or try the service without keys: churn serve"
        )
    guard.install(settings.hosts, profile=settings.profile)
    start(application, settings)


def start(application: Application, settings: ServiceSettings) -> None:
    """Check the bundle and the log that ``settings`` name, and answer from them."""
    bundle = admit(settings)
    admit_role(settings)
    application.use(Runtime(settings, bundle))


async def close_application(application: Application) -> None:
    """Write pending entries, close the decision log, and report what the egress guard refused.

    Does nothing where the application was never opened.
    """
    if not application.started:
        return
    runtime = application.runtime()
    # No new request may reach a log that is being closed.
    application.use(None)
    await runtime.close()
    for line in guard.summary():
        log.warning(line)


class OwnRoutesOnly:
    """ASGI middleware that answers every request from ``application``, never from BentoML's pages.

    BentoML puts routes of its own before a mounted application: some are public, and its
    ``/readyz`` does not ask the decision log.
    """

    def __init__(self, app: ASGIApp, application: Application) -> None:
        self.app = app
        self.application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass start and stop to BentoML, everything else to the application."""
        await (self.app if scope["type"] == "lifespan" else self.application)(scope, receive, send)


def load_service(target: str) -> Any:
    """Return the BentoML service at ``target``, such as ``service:ChurnService``.

    Raises SettingsError in one line where it cannot be imported or is no such service.
    """
    module, _, name = target.partition(":")
    try:
        service = getattr(import_module(module), name)
    except Exception as error:  # the project's own file: whatever is wrong there, in one line
        raise SettingsError(
            f"{target} cannot be imported ({type(error).__name__}: {error}): start in the "
            "project's serve/ folder, or put it on PYTHONPATH"
        ) from None
    application_of(service, target)
    return service


def application_of(service: Any, target: str = "service:ChurnService") -> Application:
    """Return the application that is mounted on ``service``, or raise SettingsError."""
    for app, _, _ in getattr(service, "mount_apps", ()):
        if isinstance(app, Application):
            return app
    raise SettingsError(
        f"{target} is no BentoML service with an Application: it needs @bentoml.service and "
        '@bentoml.asgi_app(Application(), path="/")'
    )


def asgi(service: Any) -> Any:
    """Return BentoML's ASGI application for ``service`` with the application's routes alone."""
    app = service.to_asgi(is_main=False)
    application = application_of(service)
    # Each request would leave a timer behind for 60 s: 400,000 live objects at 7,000/s, and
    # pauses to collect them. OwnRoutesOnly has nothing to do where there are no other routes.
    unwanted = ("TimeoutMiddleware", OwnRoutesOnly.__name__)
    app.user_middleware[:] = [m for m in app.user_middleware if m.cls.__name__ not in unwanted]
    app.router.routes.clear()
    app.router.default = application
    return app
