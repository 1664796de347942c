"""Images and addresses in Dockerfiles and Jenkins pipelines."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sovereign_ml.audit._mention import Mention, mention
from sovereign_ml.audit.readers.text_lines import block, lines, names_image

_FROM = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.I)
_COPY = re.compile(r"^\s*COPY\s+.*--from=(\S+)", re.I)
_ARG = re.compile(r"^\s*ARG\s+(\w+)=[\"']?([^\s\"']+)", re.I)
_IMAGE_LINE = re.compile(r"^\s*(?:FROM\s|COPY\s.{0,100}--from=)(.{0,300})$", re.I | re.M)
_INSTRUCTION = re.compile(r"^\s*(?:FROM|COPY)\s", re.I)
_OLD_ENV = re.compile(r"^\s*ENV\s+(\w+)\s+([^=]+)$", re.I)
_SYNTAX = re.compile(r"^#\s*syntax=(\S+)", re.I)


def dockerfile(file: str, text: str) -> Iterator[Mention]:
    """Yield the images and addresses of a Dockerfile.

    They are base images, images copied from, the syntax directive, and addresses in instructions.
    """
    arguments: dict[str, str] = {}
    stages = {"scratch"}
    # an argument that a base image is made of is said there
    in_images = set(re.findall(r"\$\{?(\w+)", " ".join(_IMAGE_LINE.findall(text))))
    command = ""
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw
        comment = line.lstrip().startswith("#")
        goes_on = line.rstrip().endswith("\\") and not comment
        # a base image may stand in the line after its FROM
        joined = f"{command} {line}" if command.lstrip()[:4].upper() in ("FROM", "COPY") else line
        before, command = command, f"{command} {raw.rstrip()[:-1]}"[-300:] if goes_on else ""
        if goes_on and _INSTRUCTION.match(joined):
            continue
        line = joined
        if match := _ARG.match(line):
            arguments[match.group(1)] = match.group(2)
            if match.group(1) in in_images:
                continue
        if match := _SYNTAX.match(line) or _COPY.match(line) or _FROM.match(line):
            image = _filled(match.group(1), arguments)
            if image.lower() not in stages and not image.isdigit() and names_image("image", image):
                yield mention(file, number, "image", image, kind="image")
            if match.re is _FROM and match.group(2):
                stages.add(match.group(2).lower())
        elif match := _OLD_ENV.match(line):
            yield from block(file, number, match.group(1), match.group(2))
        elif not comment:
            yield from block(file, number, "Dockerfile", line, before=before)


def _filled(image: str, arguments: dict[str, str]) -> str:
    return re.sub(
        r"\$\{?(\w+)(?::-([^}]*))?\}?",
        lambda match: arguments.get(match.group(1), match.group(2) or match.group()),
        image,
    )


def jenkins(file: str, text: str) -> Iterator[Mention]:
    """Yield images of agents, and addresses, from a Jenkins pipeline in Groovy.

    Addresses are found as in any other text.
    """
    for number, line in enumerate(text.splitlines(), start=1):
        for match in _AGENT.finditer(line[:1000]):
            if names_image("image", match.group(1)):
                yield mention(file, number, "image", match.group(1), kind="image")
    yield from lines(file, text)


_AGENT = re.compile(r"\bimage(?:\s+|\s{0,3}\(\s{0,3})[\"']([\w./:@-]{2,200})[\"']")
