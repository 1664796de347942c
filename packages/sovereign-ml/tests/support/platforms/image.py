"""Build an "image" in a folder by doing what a Dockerfile says, with an empty virtual environment as its Python.

It knows the few instructions that the staged Dockerfile uses and refuses others. Paths below /app become paths below
the folder; the base image's Python becomes the environment's.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Image:
    """Where things are, what the variables are, and what is started."""

    root: Path
    environment: dict[str, str]
    workdir: Path
    command: list[str]

    def start(self, log, **variables):
        """Start the image's command with more ``variables``; standard output and error go to ``log``."""
        environment = {**self.environment, **variables}
        return subprocess.Popen(
            self.command, cwd=self.workdir, env=environment, stdout=log, stderr=subprocess.STDOUT
        )


def build(context, root):
    """Run every instruction of ``context``/Dockerfile below ``root``."""
    subprocess.run([sys.executable, "-m", "venv", root / "usr"], check=True)
    path = f"{root / 'usr' / 'bin'}:/usr/bin:/bin"
    image = Image(root, {"PATH": path}, root, [])
    text = (context / "Dockerfile").read_text().replace("\\\n", " ")
    for line in text.splitlines():
        keyword, _, value = line.strip().partition(" ")
        if keyword and not keyword.startswith("#"):
            STEPS[keyword](image, context, value.replace("/app", str(root / "app")))
    return image


def _workdir(image, context, value):
    image.workdir = Path(value)
    image.workdir.mkdir(parents=True)


def _copy(image, context, value):
    source, target = (Path(part) for part in value.split())
    if (context / source).is_dir():
        shutil.copytree(context / source, image.workdir / target, dirs_exist_ok=True)
    else:
        shutil.copyfile(context / source, image.workdir / target)


def _run(image, context, value):
    builder = {
        key: item
        for key, item in os.environ.items()
        if key.startswith(("PIP_", "SSL_", "http", "HTTP"))
    }
    subprocess.run(
        ["/bin/sh", "-c", value],
        cwd=image.workdir,
        env={**builder, **image.environment},
        check=True,
    )


def _env(image, context, value):
    image.environment |= dict(pair.split("=", 1) for pair in value.split())


def _cmd(image, context, value):
    image.command = json.loads(value)


def _nothing(image, context, value):
    pass


STEPS = {"FROM": _nothing, "ARG": _nothing, "USER": _nothing, "EXPOSE": _nothing}
STEPS |= {"WORKDIR": _workdir, "COPY": _copy, "RUN": _run, "ENV": _env, "CMD": _cmd}
