"""Rules of the staged Dockerfile: base image by digest, user, port, command, one installation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from sovereign_ml.config.deployment import DIGEST
from sovereign_ml.deploy.stage import WHEELS

EVERY_ADDRESS = "0.0.0.0"  # noqa: S104  what the container must bind
INSTALL_OPTIONS = ("--require-hashes", "--no-deps", f"--find-links {WHEELS}")
_INSTALLS = re.compile(r"\bpip[\d.]* (.* )?install\b|\buv |\beasy_install\b", re.IGNORECASE)
_FROM = re.compile(r"(?:--|,)from=([^\s,]+)")
_COMMENT = re.compile(r"^[ \t]*#.*\n?", re.MULTILINE)
_CONTINUED = re.compile(r"\\[ \t]*\n")
_PROFILE = re.compile(r"\bCHURN_PROFILE[= ]\s*(\S+)")
_COMMANDS = re.compile("[|;&]")
_ADDRESS = re.compile(
    r"(https?|ftp|git|ssh)://|\bgit@|--(extra-)?index-url|--trusted-host", re.IGNORECASE
)


class Instruction(NamedTuple):
    """One instruction of a Dockerfile."""

    keyword: str
    value: str


Fault = tuple[str, str]


def dockerfile_faults(text: str) -> Iterator[Fault]:
    """Yield the name of each broken rule, with what was seen and what is allowed."""
    steps = _steps(text)
    for rule in (_base_image, _installation, _addresses):
        yield from rule(steps)
    for rule in (_user_and_port, _command, _profile):
        yield from rule(_last_stage(steps))


def _steps(text: str) -> list[Instruction]:
    # Docker leaves comments out first. Then a backslash at its end continues a line.
    lines = (line.strip() for line in _CONTINUED.sub(" ", _COMMENT.sub("", text)).splitlines())
    # A tab separates as well as a space does.
    parts = (line.split(maxsplit=1) for line in lines if line)
    return [Instruction(first.upper(), " ".join(rest)) for first, *rest in parts]


def _values(steps: list[Instruction], keyword: str) -> list[str]:
    return [step.value for step in steps if step.keyword == keyword]


def _stages(steps: list[Instruction]) -> Iterator[tuple[str, str]]:
    """Yield image and name of each stage, the name in lower case and empty without one."""
    for value in _values(steps, "FROM"):
        image, *more = [word for word in value.split() if not word.startswith("--")] or [""]
        yield image, more[-1].lower() if more else ""


def _last_stage(steps: list[Instruction]) -> list[Instruction]:
    """Return the steps of the image that runs, with those of the stages that it continues."""
    stages: dict[str, list[Instruction]] = {}
    opened = _stages(steps)
    last: list[Instruction] = []
    for step in steps:
        if step.keyword == "FROM":
            image, name = next(opened)
            last = [*stages.get(image.lower(), ())]
            stages[name] = last
        last.append(step)
    return last


def _base_image(steps: list[Instruction]) -> Iterator[Fault]:
    stages = list(_stages(steps))
    names = [name for _, name in stages if name] + [str(i) for i in range(len(stages))]
    # A stage of this file needs no digest, and another image does.
    images = [
        image
        for i, (image, _) in enumerate(stages)
        if image.lower() not in {name for _, name in stages[:i] if name}
    ]
    values = [value for keyword in ("COPY", "RUN", "ADD") for value in _values(steps, keyword)]
    copied = [name for value in values for name in _FROM.findall(value)]
    images += [name for name in copied if name.lower() not in names]
    if not images or not all(DIGEST.fullmatch(image) for image in images):
        yield "base-image", f"FROM {images}: each must name a digest, image@sha256:<64 hex digits>"
    if any("example.eu" in image or "0" * 64 in image for image in images):
        yield (
            "placeholder",
            f"FROM {images[0]} is the template's example; set [deploy] base_image in config.toml",
        )


def _user_and_port(steps: list[Instruction]) -> Iterator[Fault]:
    # Kubernetes can check a number against runAsNonRoot, but not a name.
    user = (_values(steps, "USER") or ["root"])[-1].split(":")[0]
    if not user.isdigit() or int(user) == 0:
        yield "user", f"the last USER is {user!r}: a numeric user other than 0 is needed"
    ports = _values(steps, "EXPOSE")
    if ports != ["8080"]:
        yield "expose", f"EXPOSE is {ports}: exactly one, 8080, is read by the platform as the port"


def _command(steps: list[Instruction]) -> Iterator[Fault]:
    command = (_values(steps, "CMD") or [""])[-1]
    before = (_values(steps, "ENTRYPOINT") or ["[]"])[-1]
    if before != "[]":
        yield "command", f"ENTRYPOINT is {before!r}: it would run instead of CMD; leave it out"
    # exec makes the service receive SIGTERM, so that it can finish its requests.
    needed = ("exec python -m sovereign_ml.service", EVERY_ADDRESS, "${PORT:-8080}")
    if not command.startswith('["sh", "-c", "exec ') or not all(n in command for n in needed):
        yield (
            "command",
            f"CMD is {command!r}: through sh -c it must `exec python -m sovereign_ml.service`, "
            f"which refuses what may not be served, at {EVERY_ADDRESS} and ${{PORT:-8080}}",
        )


def _profile(steps: list[Instruction]) -> Iterator[Fault]:
    named = [
        profile.strip("\"'")
        for value in _values(steps, "ENV")
        for profile in _PROFILE.findall(value)
    ]
    if named[-1:] != ["eu"]:
        yield (
            "profile",
            f"ENV CHURN_PROFILE is {(named or ['missing'])[-1]!r}: eu is needed, because another "
            "profile serves what may not be served",
        )


def _installation(steps: list[Instruction]) -> Iterator[Fault]:
    # Every line counts, because those of a here-document have no keyword. So does every command of
    # a line, also in the form of a JSON list.
    lines = [re.sub(r'[\s"\',\[\]]+', " ", f"{keyword} {value} ") for keyword, value in steps]
    installs = [
        command for line in lines for command in _COMMANDS.split(line) if _INSTALLS.search(command)
    ]
    words = installs[0] if len(installs) == 1 else ""
    if not all(f"{option} " in words for option in INSTALL_OPTIONS):
        options = ", ".join(INSTALL_OPTIONS)
        yield "hashes", f"exactly one `pip install` may install packages, with {options}"


def _addresses(steps: list[Instruction]) -> Iterator[Fault]:
    if any(_ADDRESS.search(f"{step.keyword} {step.value}") for step in steps):
        yield (
            "address",
            "no address may be written here; the builder's own index or PIP_INDEX_URL is used",
        )
