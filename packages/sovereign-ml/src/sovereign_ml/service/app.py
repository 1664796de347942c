"""The ASGI application: one Starlette router over the route table."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from starlette.routing import Route as StarletteRoute
from starlette.routing import Router
from starlette.types import Receive, Scope, Send

from sovereign_ml.service.http import Endpoint, Route, problem, send_answer
from sovereign_ml.service.problems import ProblemError
from sovereign_ml.service.routes import ROUTES
from sovereign_ml.service.runtime import Runtime

__all__ = ["NOT_FOUND", "Application"]

NOT_FOUND = problem(
    ProblemError(404, "There is nothing at this address; the API is described at /openapi.json.")
)


class Application:
    """ASGI application that answers HTTP once :meth:`use` has given it a runtime."""

    def __init__(self, routes: Iterable[Route] = ROUTES) -> None:
        self._runtime: Runtime | None = None
        by_path = [
            (path, {r.method: r for r in group})
            for path, group in groupby(routes, lambda r: r.path)
        ]
        endpoints = [
            StarletteRoute(path, Endpoint(methods, self.runtime)) for path, methods in by_path
        ]
        # Paths without parameters need no search through the routes.
        self._exact = {
            path: Endpoint(methods, self.runtime) for path, methods in by_path if "{" not in path
        }
        self._router = Router(endpoints, redirect_slashes=False, default=_not_found)

    @property
    def started(self) -> bool:
        """Return whether there is a runtime."""
        return self._runtime is not None

    def use(self, runtime: Runtime | None) -> None:
        """Answer from ``runtime`` from now on."""
        self._runtime = runtime

    def runtime(self) -> Runtime:
        """Return the runtime. Raises RuntimeError before the service was started."""
        if self._runtime is None:
            raise RuntimeError("the service was not started: its startup hook opens bundle and log")
        return self._runtime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        endpoint = self._exact.get(scope["path"]) if scope["type"] == "http" else None
        await (endpoint or self._router)(scope, receive, send)


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await send_answer(NOT_FOUND, send)
