"""Run a command where nothing can leave, and list every name and address outside loopback that it asked for.

    python tests/support/projects/harness.py [--clean-env] [--json FILE] -- COMMAND...

With root or unprivileged user namespaces the command runs in its own network, process and mount namespace: a recording
resolver on 127.0.0.1:53 answers each name with a sink address, and a packet sniffer sees literal addresses too, from
every child, Python or not. Elsewhere it falls back to the library's audit hook, which sees Python only, and says so.
``--clean-env`` drops variables that hide a tool's default behaviour: CI alone silences MLflow and DVC's update check.

Exit code: 97 if anything outside loopback was asked for, else the command's own. Blind: Unix sockets to host daemons.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from recording import Record, serve_names, sniff

ESCAPED = 97
SOURCES = Path(__file__).resolve().parents[2] / "src"
ENVIRONMENT = os.environ

_INSIDE = "_CHURN_EGRESS_INSIDE"
_HIDING = re.compile(
    r"CI|GITHUB_ACTIONS|GITLAB_CI|JENKINS_URL|TRAVIS|CIRCLECI|BUILDKITE|TF_BUILD|PYTEST_CURRENT_TEST|.*DO_NOT_TRACK"
    r"|.*DISABLE_TELEMETRY|.*NO_ANALYTICS|.*ANALYTICS_ENABLED|(https?|all|no)_proxy",
    re.IGNORECASE,
)
_NAMESPACES = [
    "unshare",
    "--net",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child=SIGTERM",
    "--mount-proc",
]
_FILES = {
    "/etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\n",
}


def inside(command: list[str], environ: dict[str, str], linger: float) -> tuple[int, Record]:
    """Run the command in the sealed namespace that this process already is in."""
    for line in (
        "link set lo up",
        "route add local 0.0.0.0/0 dev lo",
        "-6 route add local ::/0 dev lo",
    ):
        subprocess.run(["ip", *line.split()], check=False, stderr=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory(prefix="egress.") as folder:
        for path, text in _FILES.items():
            replace_file(Path(folder) / Path(path).name, path, text)
        record = Record()
        serve_names(record)
        sniff(record)
        code = run(command, environ)
        wait_for_children(linger)
        for path in _FILES:
            subprocess.run(
                ["umount", os.path.realpath(path)], check=False, stderr=subprocess.DEVNULL
            )
    return code, record


def replace_file(ours: Path, path: str, text: str) -> None:
    """Bind ``text`` over a system file, for this namespace only."""
    ours.write_text(text, encoding="ascii")
    ours.chmod(0o644)
    done = subprocess.run(
        ["mount", "--bind", ours, os.path.realpath(path)], check=False, stderr=subprocess.DEVNULL
    )
    if done.returncode and path == "/etc/resolv.conf":
        sys.exit(
            "The harness could not put its resolver in place: mounting over /etc/resolv.conf was refused."
        )


def run(command: list[str], environ: dict[str, str]) -> int:
    """Run the command in its own process group; an interrupt is passed on."""
    process = subprocess.Popen(command, env=environ, process_group=0)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: os.killpg(process.pid, received))
    ended = 0
    while (
        ended != process.pid
    ):  # the first process of a namespace inherits orphans: unless it waits, they stay zombies
        ended, status = os.waitpid(-1, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def wait_for_children(seconds: float) -> None:
    """Detached senders outlive their command; give them ``seconds`` to show themselves."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and others():
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)
        time.sleep(0.1)
    time.sleep(0.2)


def others() -> list[int]:
    """Living processes of this namespace besides this one."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
            if int(entry.name) != os.getpid() and state != "Z":
                found.append(int(entry.name))
    return found


def recorded(command: list[str], environ: dict[str, str], linger: float) -> tuple[int, Record]:
    """The fall-back: Python processes only, through the egress guard, which refuses and records."""
    from sovereign_ml.egress import guard

    with tempfile.TemporaryDirectory(prefix="egress.") as folder:
        log = Path(folder) / "refused.jsonl"
        guard.extend_to_children(environ, record=log)
        code = run(command, environ)
        time.sleep(linger)
        record = Record()
        for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else []:
            row = json.loads(line)
            record.name(row["host"], f"{row['event']} from {row['caller']}")
    return code, record


def namespaces() -> list[str] | None:
    """The command prefix that makes the namespaces, or None where the kernel does not allow it."""
    prefix = _NAMESPACES + ([] if os.geteuid() == 0 else ["--user", "--map-root-user"])
    if not (shutil.which("unshare") and shutil.which("ip")):
        return None
    works = (
        subprocess.run([*prefix, "true"], check=False, stderr=subprocess.DEVNULL).returncode == 0
    )
    return prefix if works else None


def say(line: str) -> None:
    """One line for people; stdout belongs to the command."""
    sys.stderr.write(f"{line}\n")


def report(code: int, record: Record, mode: str, target: Path | None) -> int:
    """Print the names and addresses to stderr, write them to ``target``, and choose the exit code."""
    hosts: dict[str, list[str]] = {}
    for (host, how), count in sorted(record.seen.items()):
        hosts.setdefault(host, []).append(f"{how} x{count}" if count > 1 else how)
    say(f"egress [{mode}]: {len(hosts)} names or addresses outside loopback, command exit {code}")
    for host, questions in hosts.items():
        say(f"  {host}  {', '.join(questions)}")
    if target is not None:
        target.write_text(
            json.dumps({"mode": mode, "exit": code, "hosts": hosts}, indent=1), encoding="utf-8"
        )
    return ESCAPED if hosts else code


def main() -> int:
    """Parse the command line, enter the namespaces, run, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--clean-env", action="store_true", help="drop CI, opt-out and proxy variables"
    )
    parser.add_argument(
        "--recorder", action="store_true", help="use the Python recorder even where namespaces work"
    )
    parser.add_argument(
        "--linger", type=float, default=2.0, help="seconds to wait for detached children"
    )
    parser.add_argument("--json", type=Path, help="write the result here too")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        parser.error("give a command after --")
    environ = dict(ENVIRONMENT)
    sealed = environ.pop(_INSIDE, None) is not None
    if options.clean_env:
        environ = {name: value for name, value in environ.items() if not _HIDING.fullmatch(name)}
    if sealed:
        return report(*inside(command, environ, options.linger), "namespace", options.json)
    prefix = None if options.recorder else namespaces()
    if prefix is not None:
        ENVIRONMENT[_INSIDE] = "1"
        os.execvp(
            prefix[0], [*prefix, sys.executable, "-B", str(Path(__file__).resolve()), *sys.argv[1:]]
        )
    say("No namespaces here: only Python processes are watched, through the audit hook.")
    return report(*recorded(command, environ, options.linger), "recorder", options.json)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # the resolver's threads never end
