"""Measure a stranger's first morning: two projects from nothing to a served answer.

The first project has the defaults, the second one has own data. Every line that a person types is
run as it is typed, in a new folder with a new home. The package cache is this user's own: call the
command twice, the first call fills it. The data are Online Retail where ONLINE_RETAIL names the
file, else a made-up shop with German column names. Needs this repository with everything committed,
its test environment, and curl. Writes docs/benchmarks/first-morning.json and first-morning.md:
ENVIRONMENT/bin/python benchmarks/first_morning.py
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from harness import ROOT, machine, publish

LONGEST_WAIT = 900
"""Seconds until a service has to be ready."""
KEPT = ("PATH", "LANG", "LC_ALL", "TERM", "TMPDIR", "SSL_CERT_FILE", "HTTPS_PROXY", "HTTP_PROXY")
"""Variables that a person's shell has, beside those of pip and uv."""
SHOP_ANSWERS = ("lawful_basis=contract", "timezone=Europe/Berlin")
RETAIL_ANSWERS = ("lawful_basis=contract", "timezone=Europe/London", "rates.GBP=1.17")
HEAD = """\
# A stranger's first morning

From an empty folder to a served answer, twice: a project with the defaults, and one with own data
({data}). On {cores} shared cores with a load of {load:.0f}, Python {python}, with a warm package
cache. The first project takes {first_seconds:.0f} s with {first_lines} lines typed, the second one
{second_seconds:.0f} s with {second_lines}. No file is edited by hand. Made by
`benchmarks/first_morning.py`; the numbers are in `first-morning.json`.

Seconds are of the wall clock. CPU seconds are those of all processes of a stage; of a service they
count until it is stopped.

"""
TABLE = """\
## {title}

| stage | typed | seconds | CPU seconds |
|---|---|---|---|
{rows}

"""


@dataclass
class Stage:
    """One stage: the lines typed, wall and CPU seconds."""

    name: str
    typed: list[str]
    seconds: float
    cpu_seconds: float
    note: str = ""


@dataclass
class Morning:
    """A person at a shell: runs what is typed in ``folder`` and remembers it."""

    folder: Path
    environment: dict[str, str]
    stages: list[Stage] = field(default_factory=list)

    def types(self, name: str, *lines: str, note: str = "") -> str:
        """Run lines as one stage and return what they print. Raises SystemExit if one fails."""
        used, start = children(), time.perf_counter()
        text = "".join(self.output(line) for line in lines)
        self.add(Stage(name, list(lines), time.perf_counter() - start, children() - used, note))
        return text

    def output(self, line: str) -> str:
        """Return what a line prints. Raises SystemExit with its last words if it fails."""
        print(f"$ {line}", flush=True)
        command = ["bash", "-euo", "pipefail", "-c", line]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            words = (done.stdout + done.stderr)[-3000:]
            raise SystemExit(f"`{line}` ended with {done.returncode}:\n{words}")
        return done.stdout

    def add(self, stage: Stage) -> None:
        """Remember and print a stage."""
        stage.seconds, stage.cpu_seconds = round(stage.seconds, 1), round(stage.cpu_seconds, 1)
        self.stages.append(stage)
        print(f"  {stage.name}: {stage.seconds} s, {stage.cpu_seconds} CPU s", flush=True)

    @contextmanager
    def serving(self, line: str, port: int) -> Iterator[None]:
        """Start a service in a second shell, yield once it is ready, and end it."""
        print(f"$ {line}", flush=True)
        used, start = children(), time.perf_counter()
        log = self.folder / "service.log"
        with log.open("w", encoding="utf-8") as output:
            service = subprocess.Popen(
                ["bash", "-c", line],
                cwd=self.folder,
                env=self.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        stage, place = Stage("serve, until it is ready", [line], 0, 0), len(self.stages)
        try:
            while not answers(port):
                ended = service.poll() is not None
                if ended or time.perf_counter() - start > LONGEST_WAIT:
                    words = log.read_text(encoding="utf-8")[-3000:]
                    raise SystemExit(f"`{line}` does not answer on port {port}:\n{words}")
                time.sleep(0.05)
            stage.seconds = time.perf_counter() - start
            yield
        finally:
            if service.poll() is None:
                os.killpg(service.pid, signal.SIGTERM)
            service.wait(60)
        answered = sum(later.cpu_seconds for later in self.stages[place:])
        stage.cpu_seconds = children() - used - answered
        self.add(stage)
        self.stages.insert(place, self.stages.pop())


def children() -> float:
    """Return the CPU seconds of all child processes that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def answers(port: int) -> bool:
    """Return True if the service says that it is ready."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def main() -> int:
    """Measure both projects, then write JSON and page. Exit 1 if an answer is no score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks")
    parser.add_argument("--port", type=int, default=3000, help="where 3000 is taken: another port")
    parser.add_argument(
        "--template", default=f"git+{ROOT.as_uri()}", help="address of the template"
    )
    options = parser.parse_args()
    if answers(options.port):
        raise SystemExit(f"Port {options.port} is taken: call again with --port.")
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="first-morning-") as name:
        folder = Path(name)
        retail = os.environ.get("ONLINE_RETAIL", "")
        first = defaults(person(folder), options)
        second = own_data(person(folder), options, Path(retail) if retail else None)
    result = {
        **machine(),
        "load": load,
        "data": "Online Retail" if retail else "a made-up shop with German column names",
        "defaults": [asdict(stage) for stage in first],
        "own_data": [asdict(stage) for stage in second],
    }
    publish(options.out, "first-morning", result, page(result))
    return 0


def person(folder: Path) -> Morning:
    """Return somebody with a new home in ``folder``, and the package cache of this user."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    own = {
        name: value
        for name, value in os.environ.items()
        if name in KEPT or name.startswith(("PIP_", "UV_"))
    }
    cache = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    return Morning(folder, {**own, "HOME": str(home), "XDG_CACHE_HOME": cache})


def defaults(morning: Morning, options: argparse.Namespace) -> list[Stage]:
    """Measure a project with the defaults; customer C0000007 as its README says."""
    cookiecutter(morning, options.template, "acme-churn")
    listen_on(options.port, morning.folder)
    said = morning.types("make run", "make run")
    morning.stages[-1].note = last_line(said)
    score(morning, "make serve", "C0000007", options.port)
    return morning.stages


def own_data(morning: Morning, options: argparse.Namespace, retail: Path | None) -> list[Stage]:
    """Measure a project that reads own data from the start."""
    if retail:
        file, answers_of_people, customer = retail, RETAIL_ANSWERS, last_customer(retail)
    else:
        file, answers_of_people = made_up_shop(morning.folder / "umsatz.csv"), SHOP_ANSWERS
        customer = last_customer(file)
    cookiecutter(
        morning, options.template, "shop-churn", "example=own-data", "project_slug=shop-churn"
    )
    listen_on(options.port, morning.folder)
    morning.types("make setup", "make setup")
    suggest = f".venv/bin/churn data suggest {shlex.quote(os.path.relpath(file, morning.folder))}"
    decided = "".join(f" --set {answer}" for answer in answers_of_people)
    morning.types("how the file is read", suggest)
    morning.types("into config.toml", f"{suggest}{decided} --apply --yes")
    old = "CHURN_OLD_FEATURES=allow " if retail else ""  # it ends in 2011
    said = morning.types("make run", f"{old}make run")
    morning.stages[-1].note = last_line(said)
    score(morning, f"{old}make serve", customer, options.port)
    return morning.stages


def cookiecutter(morning: Morning, template: str, slug: str, *given: str) -> None:
    """Render the template, and go into the project."""
    program = shlex.quote(str(Path(sys.executable).with_name("cookiecutter")))
    words = ["cookiecutter", "--no-input", template, *given]
    print(f"$ {shlex.join(words)}", flush=True)
    used, start = children(), time.perf_counter()
    command = f"{program} {shlex.join(words[1:])} > render.log"
    subprocess.run(["bash", "-c", command], cwd=morning.folder, env=morning.environment, check=True)
    words[2] = "ADDRESS"
    typed = [shlex.join(words), f"cd {slug}"]
    morning.add(Stage("render", typed, time.perf_counter() - start, children() - used))
    morning.folder /= slug


def listen_on(port: int, project: Path) -> None:
    """Let the project serve on ``port``. A person does not edit that, so it is not counted."""
    config = project / "config.toml"
    if port != 3000:
        text = config.read_text(encoding="utf-8")
        config.write_text(text.replace("port = 3000", f"port = {port}"), encoding="utf-8")


def score(morning: Morning, serve: str, customer: str, port: int) -> None:
    """Serve, ask as the README of the project says, and judge the answer."""
    readme = (morning.folder / "README.md").read_text(encoding="utf-8")
    block = re.search(r"curl -s -X POST .*?\)\\\"\}\"", readme, re.DOTALL)
    assert block, "README.md has no request"
    request = block.group().replace("C0000007", customer).replace(":3000", f":{port}")
    with morning.serving(serve, port):
        answer = json.loads(morning.types("one answer", request))
    if "score" not in answer:
        raise SystemExit(f"The answer is no score: {answer}")
    morning.stages[-1].note = f"score {answer['score']:.3f}"


def last_line(output: str) -> str:
    """Return the line in which `make run` says how long its steps took."""
    return next(line for line in reversed(output.splitlines()) if line.startswith("Done in"))


def made_up_shop(path: Path) -> Path:
    """Write 600 customers who bought in the last 18 months, and return the file."""
    chance = random.Random(7)
    now = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
    rows = []
    for number in range(600):
        gap, day = chance.uniform(8, 60), chance.uniform(0, 60)
        leaves = chance.uniform(120, 900)
        while day < min(leaves, 540):
            moment = now - timedelta(days=541 - day, minutes=chance.randrange(600))
            amount = f"{chance.uniform(5, 180):.2f}".replace(".", ",")
            rows.append((moment, f"K-{number:05}", amount))
            day += chance.expovariate(1 / gap)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter=";")
        table.writerow(("Kundennummer", "Bestelldatum", "Umsatz"))
        for moment, customer, amount in sorted(rows):
            table.writerow((customer, f"{moment:%d.%m.%Y %H:%M}", amount))
    return path


def last_customer(path: Path) -> str:
    """Return the customer of the last line that names one."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8-sig", errors="replace") as file:
        head = file.readline()
        delimiter = ";" if ";" in head else ","
        names = next(csv.reader([head], delimiter=delimiter))
        column = next(i for i, name in enumerate(names) if re.match(r"(?i)customer|kunde", name))
        rows = csv.reader(file, delimiter=delimiter)
        return [row[column] for row in rows if row[column]][-1]


def page(result: dict[str, Any]) -> str:
    """Return the page."""
    totals: dict[str, float] = {}
    tables = []
    for name, key, title in (
        ("first", "defaults", "With the defaults"),
        ("second", "own_data", "With own data"),
    ):
        stages = result[key]
        totals[f"{name}_seconds"] = sum(stage["seconds"] for stage in stages)
        totals[f"{name}_lines"] = sum(len(stage["typed"]) for stage in stages)
        rows = []
        for stage in stages:
            label = ": ".join(filter(None, [stage["name"], stage["note"]]))
            lines = len(stage["typed"])
            rows.append(f"| {label} | {lines} | {stage['seconds']} | {stage['cpu_seconds']} |")
        tables.append(TABLE.format(title=title, rows="\n".join(rows)))
    return (HEAD.format(**result, **totals) + "".join(tables)).rstrip() + "\n"


if __name__ == "__main__":
    sys.exit(main())
