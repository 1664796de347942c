"""`churn`: one command for the flow, the card, the service and the audit."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup
from typer.models import CommandInfo, TyperInfo

from sovereign_ml import git
from sovereign_ml.cli import (
    audit,
    card,
    deploy,
    leave,
    library,
    privacy,
    servers,
    service,
    step_commands,
)
from sovereign_ml.cli.watch import campaign, experiments, monitor
from sovereign_ml.egress import allow_list, guard
from sovereign_ml.egress.telemetry import silence
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.project import STANDARD_STEPS, Step, load_project, refuse_other_code

PANELS = {
    step_commands.STEPS_PANEL: (step_commands,),
    "The card and the service": (card, service, deploy),
    "In use": (monitor, campaign, privacy, servers, experiments, audit, library, leave),
}


def application(steps: Sequence[Step] = STANDARD_STEPS) -> typer.Typer:
    """Return the command with one subcommand for each of ``steps`` and those of every wing."""
    verbs = [step.verb for step in steps]
    app = typer.Typer(
        cls=_in_order(verbs),
        no_args_is_help=True,
        add_completion=False,
        # Typer's tracebacks can print local variables, which may be secrets or data of people.
        pretty_exceptions_enable=False,
        help="From transactions to a registered, explained and servable churn model.",
    )
    step_commands.add_steps(app, steps)
    for panel, parts in PANELS.items():
        for entry in (
            e for p in parts for e in (*p.app.registered_commands, *p.app.registered_groups)
        ):
            if (name := _name(entry)) in verbs:
                raise Misuse(f"The step '{name}' has the name of a command: give it another verb.")
            entry.rich_help_panel = panel
        for part in parts:
            app.registered_commands += part.app.registered_commands
            app.registered_groups += part.app.registered_groups
    return app


def _in_order(verbs: Sequence[str]) -> type[TyperGroup]:
    class StepsFirst(TyperGroup):
        """Lists the steps in the order of the flow, then all other commands."""

        def list_commands(self, ctx: Any) -> list[str]:
            names = super().list_commands(ctx)
            return [*verbs, *(name for name in names if name not in verbs)]

    return StepsFirst


def _name(command: CommandInfo | TyperInfo) -> str:
    function = command.callback
    return command.name or (function.__name__.replace("_", "-") if function else "")


def _steps(root: Path, arguments: Sequence[str]) -> Sequence[Step]:
    """Return the steps of the project in ``root``, or the standard ones where there is none.

    `--help` works with a broken project too. Any other command says what is wrong with it.
    """
    try:
        project = load_project(root)
        refuse_other_code(root, project.package)
        return project.steps
    except Misuse:
        if "--help" in arguments or not (root / "config.toml").is_file():
            return STANDARD_STEPS
        raise


def main() -> None:
    """Run a command. Exit 0 done, 1 refused by a gate or check, 2 wrong use, 130 interrupted."""
    code = 1

    # The process ends without the clean-up of native libraries. Threads of DuckDB and Arrow that
    # are alive by then can abort it (exit -6) after the work is done: duckdb/duckdb#13904.
    def end_now() -> None:
        logging.shutdown()
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    atexit.register(end_now)  # registered first, so it runs after all others
    try:
        _run()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise


def _run() -> None:
    environment = os.environ  # noqa: TID251  silenced and guarded before anything else is imported
    silence(environment)
    # Threads of OpenMP that wait for work give their core back. On a busy machine gradient boosting
    # would take many times the CPU time otherwise. The library reads this when it is loaded.
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    allow_list.install(environment, sys.argv[1:])
    # In a hook, git sets variables that name the repository of the hook.
    git.forget_other_repositories()
    try:
        root = Path(environment.get("CHURN_ROOT", "."))
        application(_steps(root, sys.argv[1:]))(standalone_mode=True)
    except (Refused, Misuse) as error:
        _stop(str(error), error.exit_code)
    except SystemExit as end:
        # Typer turns Ctrl-C into exit code 130 without a message. Other exits have printed theirs.
        if isinstance(getattr(end.__context__, "__cause__", None), KeyboardInterrupt):
            _stop(
                "Interrupted. Nothing half-written remains. The same command continues from here.",
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
    print(f"Error: {message}", file=sys.stderr)  # noqa: T201  Rich is not loaded yet
    sys.exit(code)
