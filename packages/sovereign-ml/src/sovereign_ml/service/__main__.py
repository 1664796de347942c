"""Program that checks settings and bundle, then serves a project's BentoML class.

It serves in one process.
"""

from __future__ import annotations

import argparse
import gc
import logging
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from sovereign_ml.egress import guard
from sovereign_ml.service.settings import ServiceSettings, SettingsError, quiet, read

if TYPE_CHECKING:
    import socket

TARGET = "service:ChurnService"
GRACE_S = 12
"""Seconds after SIGTERM for requests under way.

With the log's 10 s it is less than the 30 s that platforms wait.
"""
log = logging.getLogger("sovereign_ml.service")


def main(arguments: list[str] | None = None) -> int:
    """Serve.

    The exit code is 2 for wrong settings, and 1 where bundle, log or address refuse.
    """
    parser = argparse.ArgumentParser(
        prog="python -m sovereign_ml.service", description="Serve the bundle in BUNDLE_DIR."
    )
    parser.add_argument(
        "target", nargs="?", default=TARGET, help=f"module:class on PYTHONPATH ({TARGET})"
    )
    parser.add_argument("--host", help="address to listen on (CHURN_HOST, 127.0.0.1)")
    parser.add_argument("--port", help="port to listen on (PORT, 8080)")
    options = parser.parse_args(arguments)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # one line per request otherwise
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    try:
        settings = read(host=options.host, port=options.port)
    except SettingsError as error:
        return _refuse(error, 2)
    guard.install(settings.hosts, profile=settings.profile)
    return _serve(settings, options.target)


def _serve(settings: ServiceSettings, target: str) -> int:
    quiet()
    from sovereign_ml.decision_log import LogUnavailableError
    from sovereign_ml.service import lifecycle

    try:
        service = lifecycle.load_service(target)
    except SettingsError as error:
        return _refuse(error, 2)
    try:
        lifecycle.start(lifecycle.application_of(service), settings)
    except (SettingsError, LogUnavailableError) as error:
        return _refuse(error, 1)
    if settings.open_to_all:
        log.warning(
            "no CHURN_KEYS: everybody on this machine may do everything; only for trying it out"
        )
    if settings.old_features == "allow":
        log.warning(
            "features that are too old are answered, and the answer says so; only for trying it out"
        )
    return _run(settings, lifecycle.asgi(service))


def _run(settings: ServiceSettings, app: object) -> int:
    """Answer requests until a signal comes. The exit code is 1 where the address is not free."""
    import uvicorn

    from sovereign_ml.service.bounded_protocol import BoundedProtocol

    gc.collect()
    gc.freeze()  # what is loaded now stays: no pause to look through it again
    options = {
        "access_log": False,
        "log_level": "error",  # its warnings are a line for every odd request of a stranger
        "server_header": False,
        "timeout_keep_alive": 75,  # longer than proxies keep an idle connection
        "timeout_graceful_shutdown": GRACE_S,
        "ws": "none",
        "http": BoundedProtocol,
    }
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{host}:{settings.port}"
    server = uvicorn.Server(uvicorn.Config(app, settings.host, settings.port, **options))  # type: ignore[arg-type]
    bind = server.startup

    async def startup(sockets: list[socket.socket] | None = None) -> None:
        await bind(sockets)
        # Only now: whoever waits for this line calls at once.
        print(f"Listening on {address}", file=sys.stderr, flush=True)  # noqa: T201

    server.startup = startup  # type: ignore[method-assign]
    # uvicorn names the reason, and would end with a code that is described nowhere.
    with suppress(SystemExit):
        server.run()
    if not server.started:
        return _refuse(f"Nothing listens on {address}: choose another address or port.", 1)
    return 0


def _refuse(error: Exception | str, code: int) -> int:
    print(error, file=sys.stderr)  # noqa: T201
    return code


if __name__ == "__main__":
    sys.exit(main())
