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
_FROM = re.compile(r"--from=(\S+)")
_COMMANDS = re.compile("[|;&]")
_ADDRESS = re.compile(r"https?://|--(extra-)?index-url|--trusted-host")


class Instruction(NamedTuple):
    """One instruction of a Dockerfile."""

    keyword: str
    value: str


Fault = tuple[str, str]


def dockerfile_faults(text: str) -> Iterator[Fault]:
    """Yield the name of each broken rule, with what was seen and what is allowed."""
    steps = _steps(text)
    for rule in (_base_image, _user_and_port, _command, _installation, _addresses):
        yield from rule(steps)


def _steps(text: str) -> list[Instruction]:
    # A backslash at its end continues a line.
    lines = (line.strip() for line in text.replace("\\\n", " ").splitlines())
    # A tab separates as well as a space does.
    parts = (line.split(maxsplit=1) for line in lines if line and not line.startswith("#"))
    return [Instruction(first.upper(), " ".join(rest)) for first, *rest in parts]


def _values(steps: list[Instruction], keyword: str) -> list[str]:
    return [step.value for step in steps if step.keyword == keyword]


def _base_image(steps: list[Instruction]) -> Iterator[Fault]:
    images = _values(steps, "FROM")
    # A stage of this file needs no digest, and another image does.
    stages = {image.split()[-1] for image in images} | {str(i) for i in range(len(images))}
    copied = [name for value in _values(steps, "COPY") for name in _FROM.findall(value)]
    images += [name for name in copied if name not in stages]
    if not images or not all(DIGEST.fullmatch(image.split()[0]) for image in images):
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
    # exec makes the service receive SIGTERM, so that it can finish its requests.
    needed = ("exec python -m sovereign_ml.service", EVERY_ADDRESS, "${PORT:-8080}")
    if not command.startswith('["sh", "-c", "exec ') or not all(n in command for n in needed):
        yield (
            "command",
            f"CMD is {command!r}: through sh -c it must `exec python -m sovereign_ml.service`, "
            f"which refuses what may not be served, at {EVERY_ADDRESS} and ${{PORT:-8080}}",
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
