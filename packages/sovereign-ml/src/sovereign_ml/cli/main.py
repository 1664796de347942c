"""`churn`: one command for the flow, the card, the service and the audit."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from sovereign_ml.cli import audit, card, deploy, flow, privacy, records, servers, service, wheel
from sovereign_ml.egress import allow_list, guard
from sovereign_ml.egress.telemetry import silence
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.project import STANDARD_STEPS, Step, load_project

PARTS = (flow, card, records, service, deploy, servers, audit, privacy, wheel)


def application(steps: Sequence[Step] = STANDARD_STEPS) -> typer.Typer:
    """Return the command with one subcommand for each of ``steps`` and those of every wing."""
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="From transactions to a registered, explained and servable churn model.",
    )
    flow.add_steps(app, steps)
    for part in PARTS:
        app.registered_commands += part.app.registered_commands
        app.registered_groups += part.app.registered_groups
    return app


def _steps(root: Path) -> Sequence[Step]:
    """Return the steps of the project in ``root``; the standard ones where there is none, as for `churn --help`."""
    try:
        return load_project(root).steps
    except Misuse:
        return STANDARD_STEPS


def main() -> None:
    """Run a command; exit 0 done, 1 refused by a gate or check, 2 wrong use, 130 interrupted."""
    silence(os.environ)  # noqa: TID251  before anything else, for this process and its children
    allow_list.install(os.environ, sys.argv[1:])  # noqa: TID251
    try:
        application(_steps(Path(os.environ.get("CHURN_ROOT", "."))))(standalone_mode=True)  # noqa: TID251
    except (Refused, Misuse) as error:
        _stop(str(error), error.exit_code)
    except SystemExit as end:
        # Typer turns Ctrl-C into exit code 130 without a word; a step that DVC started has said its own.
        if isinstance(getattr(end.__context__, "__cause__", None), KeyboardInterrupt):
            _stop(
                "Interrupted. Nothing half-written was kept; the same command goes on from here.",
                130,
            )
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _stop(f"{where}{error.strerror or error}.", 2)
    finally:
        for line in guard.summary():
            print(line, file=sys.stderr)  # noqa: T201


def _stop(message: str, code: int) -> None:
    print(f"Error: {message}", file=sys.stderr)  # noqa: T201  Rich is not loaded yet when most errors happen
    sys.exit(code)
