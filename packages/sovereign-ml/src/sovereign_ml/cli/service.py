"""churn serve, decisions and keys: run the service here, verify its log, make its keys."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sovereign_ml.cli.profile import ProfileOption, load_settings
from sovereign_ml.errors import Misuse, Refused

if TYPE_CHECKING:
    import subprocess

    from sovereign_ml.config.settings import Settings
    from sovereign_ml.decision_log import DecisionLog

HEADS = Path("governance/decision_heads.txt")
"""Heads of the decision log by profile, newest last. Git holds it outside the log, where it can be compared."""
app = typer.Typer()
decisions = typer.Typer(no_args_is_help=True, help="The decision log: verify, prepare.")
keys = typer.Typer(no_args_is_help=True, help="Keys of the service.")
app.add_typer(decisions, name="decisions")
app.add_typer(keys, name="keys")
LogOption = Annotated[
    str | None, typer.Option(help="File or postgresql:// address; default: the profile's log.")
]


@app.command()
def serve(
    host: Annotated[
        str | None, typer.Option(help="Default: host of the table serve in config.toml.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Default: port of the table serve.")
    ] = None,
    old_features: Annotated[
        bool,
        typer.Option("--old-features", help="Answer although features are too old; local only."),
    ] = False,
    profile: ProfileOption = None,
) -> None:
    """Serve the bundle here, locally with its feature server."""
    import os
    import subprocess

    from sovereign_ml.config.settings import ENVIRONMENT
    from sovereign_ml.pipeline.source import shop_may_be_old

    settings = load_settings(profile)
    if old_features and settings.profile_name != "local":
        raise Misuse(
            f"--old-features is for trying out in the profile local, and this is "
            f"{settings.profile_name}: give the feature store newer features."
        )
    old = {"CHURN_OLD_FEATURES": "allow"} if old_features or shop_may_be_old(settings) else {}
    log = _log_address(settings)
    code = [str(settings.root / "serve"), *filter(None, [ENVIRONMENT.get("PYTHONPATH")])]
    address = ["--host", host or settings.serve.host, "--port", str(port or settings.serve.port)]
    with _feature_server(settings) as features:
        environment = {
            "BUNDLE_DIR": str(settings.path("bundle")),
            **({"CHURN_LOG": log} if log else {}),
            **features,
            **old,
            **_environment(settings.profile_name),
            # After the variables of this process, so that the profile of the call wins.
            "CHURN_PROFILE": settings.profile_name,
            "PYTHONPATH": os.pathsep.join(code),
        }
        # The child writes to the same stream.
        sys.stdout.flush()
        command = [sys.executable, "-m", "sovereign_ml.service", *address]
        ended = _until_it_ends(subprocess.Popen(command, env=environment))
    raise typer.Exit(ended)


def _environment(profile: str) -> dict[str, str]:
    """Return this process' variables without the secrets that a child does not need."""
    from sovereign_ml.config.profiles import VARIABLES
    from sovereign_ml.config.settings import ENVIRONMENT
    from sovereign_ml.service.settings import NAMES

    needed = {*NAMES.values(), *(["DATABASE_URL"] if profile != "local" else [])}
    # Secrets of other programs are recognised by the words in their names.
    secret = re.compile(
        r"SECRET|TOKEN(?!IZER)|PASSW|CREDENTIAL|API_?KEY|(_|ACCESS|PRIVATE)KEYS?(_|$)|^AWS_|"
        r"(^|_)(PASS|PAT|AUTH|DSN)(_|$)|_PWD(_|$)|DATABASE_URL",
        re.IGNORECASE,
    )
    # An address with a password, whatever its variable is called.
    login = re.compile(r"://[^/?#\s]*:[^/?#\s]+@")
    return {
        name: value
        for name, value in ENVIRONMENT.items()
        if name in needed
        or not (name in VARIABLES.values() or secret.search(name) or login.search(value))
    }


def _until_it_ends(service: subprocess.Popen[bytes]) -> int:
    """Wait for the service and return its exit code. Whoever ends this command ends the service."""
    import signal

    # Python would end at once by this signal, and the service would go on without it.
    signal.signal(signal.SIGTERM, lambda *_: service.terminate())
    try:
        ended = service.wait()
    except KeyboardInterrupt:  # the terminal interrupts the service too
        ended = service.wait()
    # uvicorn finishes its work and then ends by the signal that it received.
    return 0 if ended in (-signal.SIGTERM, -signal.SIGINT) else ended


@contextmanager
def _feature_server(settings: Settings) -> Iterator[dict[str, str]]:
    """Run Feast's feature server as a child, and yield the variables by which it is reached.

    With it a customer id is enough for a score. Nothing is started where a server is named or
    none is possible.
    """
    import secrets
    import socket
    import subprocess

    from sovereign_ml.config.settings import ENVIRONMENT

    # Only a local online store can be served here.
    stored = (settings.path("features") / "online.db").is_file()
    if (
        ENVIRONMENT.get("FEATURE_STORE_URI")
        or settings.profile.online_store != "sqlite"
        or not stored
    ):
        yield {}
        return
    with socket.socket() as free:
        # Port 0 lets the system choose a free one.
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    named = {
        "FEATURE_STORE_URI": f"http://127.0.0.1:{port}",
        # New for each call, so that no other program of this machine can look people up.
        "FEATURE_STORE_TOKEN": secrets.token_hex(24),
        # Both start at the same time. Ready is who can look a customer up.
        "FEATURE_STORE_FIRST": "yes",
        # The first look-up is slow: it loads what Feast needs.
        "FEATURE_STORE_TIMEOUT_S": ENVIRONMENT.get("FEATURE_STORE_TIMEOUT_S", "10"),
    }
    program = "from sovereign_ml.cli.main import main; main()"
    command = [sys.executable, "-c", program, "servers", "features", "--port", port]
    environment = {**_environment(settings.profile_name), **named}
    child = subprocess.Popen(command, cwd=settings.root, env=environment)
    try:
        yield named
    finally:
        child.terminate()
        child.wait()


@decisions.command()
def verify(
    head: Annotated[
        str | None,
        typer.Option(
            help="A head noted earlier; default: the last one noted with --sign, and the card's."
        ),
    ] = None,
    sign: Annotated[
        bool,
        typer.Option("--sign", help="Note the head in governance/ with a commit that you sign."),
    ] = False,
    log: LogOption = None,
    profile: ProfileOption = None,
) -> None:
    """Check every seal of the decision log. Exit 1 if it was changed, or cut off behind a head."""
    from sovereign_ml.config.settings import ENVIRONMENT
    from sovereign_ml.decision_log import verify as verify_chain

    if head is not None and not re.fullmatch(r"\d+:[0-9a-f]{64}", head.strip()):
        raise Misuse("--head is no head: give number:seal as `churn decisions verify` printed it.")
    if sign and log:
        raise Misuse("--sign notes the head of the profile's own log: leave --log out.")
    name = profile or ENVIRONMENT.get("CHURN_PROFILE") or "local"
    root = Path(ENVIRONMENT.get("CHURN_ROOT", "."))
    noted = {} if log or head else _noted_heads(name, root)
    with _opened(log, profile, existing=True) as opened:
        verdict = verify_chain(opened, *([head.strip()] if head else noted.values()))
    typer.echo(f"{verdict.entries} entries, {verdict.blanked} blanked. Head: {verdict.head}")
    for problem in verdict.problems[:20]:
        typer.echo(f"  {problem}")
    if not verdict.holds:
        raise Refused(
            f"The decision log does not hold: {len(verdict.problems)} problems. Keep a copy of it."
        )
    if sign:
        _note_head(name, root, verdict.head)
    proof = f" It continues the head noted in {' and '.join(noted)}." if noted else ""
    typer.echo(
        f"The chain holds.{proof} Only a head noted elsewhere proves later that nothing was cut off: "
        "--sign notes it in git."
    )


def _noted_heads(profile: str, root: Path) -> dict[str, str]:
    """Return heads of the profile's log by where they are noted: the signed list, and the card."""
    path = root / HEADS
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    heads = {str(HEADS): line.split()[-1] for line in lines if line.startswith(f"{profile} ")}
    # A service that has only its log and its bundle verifies without a project.
    if (root / "config.toml").is_file():
        heads |= _head_on_card(load_settings(profile))
    return heads


def _head_on_card(settings: Settings) -> dict[str, str]:
    """Return the head on the card of the last run by the card's place, empty without one."""
    path = settings.path("card") / "card.json"
    place = os.path.relpath(path, settings.root)
    if not path.is_file():
        return {}
    try:
        # Not checked as a card: that of another release has a head too.
        facts = json.loads(path.read_bytes())["facts"]
        profile, head = facts["run"]["profile"], facts["decision"].get("log_head")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Misuse(f"{place} is no card: run `churn card` again, or name a --head.") from None
    # A card of another profile is about another log.
    return {place: head} if head and profile == settings.profile_name else {}


def _note_head(profile: str, root: Path, head: str) -> None:
    """Append the head to the project's list in a commit of its own; raise Refused where git does not sign."""
    from sovereign_ml import git

    path = root / HEADS
    message = f"Head of the decision log ({profile}): {head[:24]}"
    try:
        # Without its signed commit the head would look as if it were proven.
        with git.put_back_on_error(root, HEADS):
            before = path.read_text(encoding="utf-8") if path.is_file() else ""
            line = f"{profile} {datetime.now(UTC):%Y-%m-%d} {head}\n"
            path.parent.mkdir(exist_ok=True)
            path.write_text(before + line, encoding="utf-8")
            git.ask(root, "add", "--", str(HEADS))
            # --only keeps out whatever else is staged.
            git.ask(root, "commit", "-S", "--quiet", "--only", "-m", message, "--", str(HEADS))
    except git.GitError as error:
        raise Refused(
            f"Not noted: git says: {error}. Set user.signingkey and gpg.format (docs/approval.md)."
        ) from None


@decisions.command()
def prepare(
    role: Annotated[str, typer.Option(help="The role with which the service opens the log.")],
    log: LogOption = None,
    profile: ProfileOption = None,
) -> None:
    """Make the log's tables in PostgreSQL as their owner, and let the service's role write them."""
    with _opened(log, profile) as opened:
        excess = opened.grant(role)
    if excess:
        raise Refused(f"The role {role} {excess}: profile eu does not start with it. Take another.")
    typer.echo(f"The role {role} may write the decision log, and neither change nor empty it.")


@keys.command()
def new(
    name: Annotated[str, typer.Argument(help="Who will use it, e.g. crm.")],
    scope: Annotated[
        list[str], typer.Option(help="score, subject, review or admin; repeat for several.")
    ],
    expires: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day it works.")
    ] = None,
) -> None:
    """Make a key. It is printed once, with its line for CHURN_KEYS, which holds only a hash."""
    from sovereign_ml.service.access.api_keys import new_key

    today = datetime.now(UTC).date()
    if expires and expires.date() < today:
        raise Misuse(
            f"--expires {expires.date()} is over: the key would open nothing. Name a day from {today} on."
        )
    try:
        key, line = new_key(name, scope, expires.date() if expires else None)
    except ValueError as error:
        raise Misuse(f"{error}.") from None
    typer.echo(f"Key, shown only now:  {key}\nLine for CHURN_KEYS:  {line}")


@contextmanager
def _opened(
    log: str | None, profile: str | None, *, existing: bool = False
) -> Iterator[DecisionLog]:
    """Open the log of the option, of the environment or of the profile, see `open_log`."""
    from sovereign_ml.config.settings import ENVIRONMENT
    from sovereign_ml.decision_log import LogUnavailableError, open_log
    from sovereign_ml.jurisdictions import PLAINTEXT

    name = profile or ENVIRONMENT.get("CHURN_PROFILE") or "local"
    # In profile local a DATABASE_URL is that of another application.
    server = ENVIRONMENT.get("DATABASE_URL") if name != "local" else None
    address = log or server or ENVIRONMENT.get("CHURN_LOG")
    address = address or _log_address(load_settings(profile))
    if not address:
        raise Misuse(
            "No decision log is named: set DATABASE_URL (postgresql://…) and the profile, "
            "or use --log."
        )
    _refuse_no_log(address, "--log" if log else "DATABASE_URL" if server else "CHURN_LOG")
    try:
        private = ENVIRONMENT.get(PLAINTEXT, "").split(",")
        opened = open_log(address, tls=name != "local", plaintext=private, existing=existing)
        try:
            yield opened
        finally:
            opened.close()
    except LogUnavailableError as error:
        raise Misuse(f"{error}.") from None


def _refuse_no_log(address: str, variable: str) -> None:
    """Refuse a log file that does not exist."""
    from sovereign_ml.jurisdictions import DatabaseAddressError, FileAddress, read_database_address

    try:
        place = read_database_address(address, variable, plain_path=variable != "DATABASE_URL")
    except DatabaseAddressError as error:
        raise Misuse(str(error)) from None
    # Opening would create it, and an empty log would look like a whole one.
    if isinstance(place, FileAddress) and not place.path.is_file():
        raise Misuse(
            f"There is no decision log at {place.path}. The service makes one: churn serve."
        )


def _log_address(settings: Settings) -> str:
    """Return the address of the profile's log, empty where the service reads DATABASE_URL."""
    address = settings.profile.decision_log
    if address.startswith("sqlite:///"):
        return f"sqlite:///{settings.root / address.removeprefix('sqlite:///')}"
    return settings.log_location.address if settings.profile_name == "local" else ""
