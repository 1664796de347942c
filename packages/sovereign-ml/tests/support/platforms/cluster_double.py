"""Stands in for a Kubeflow cluster: runs each task of a compiled pipeline with what the cluster would give it.

Not Kubeflow: no containers, no scheduling, no cache. What is held to is what the compiled file says: the order, each
task's own command, only the variables of its ConfigMap and Secret, and a project folder as `infra/Dockerfile` makes it,
in which a task may write nowhere but in `.churn`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import yaml

import warm_churn
from small_project import ON_PATH, PASSED_ON, PROGRAMS
from sovereign_ml.cli.composition import cluster
from sovereign_ml.config.settings import ENVIRONMENT, Settings
from sovereign_ml.kubeflow import submit
from sovereign_ml.project import load_project
from sovereign_ml.storage import dvc

COPIED = re.compile(r"^COPY (?P<what>.+) \S+$", re.M)


@dataclass
class Cluster:
    """The image of the project in ``root``, the Secret and the ConfigMap; ``folder`` is the artifact store."""

    root: Path
    folder: Path
    secret: dict[str, str]
    config: dict[str, str] = field(
        default_factory=lambda: {"CHURN_PROFILE": "eu", "MLFLOW_TRACKING_USERNAME": "churn"}
    )
    outputs: dict[str, Path] = field(default_factory=dict)
    """Folder of each artifact, as task.artifact."""
    programs: Path = field(init=False)
    """Folder with the ``python3`` of the tasks."""

    def __post_init__(self) -> None:
        # Each task would import pandas, MLflow and DVC for itself, which takes longer than its work.
        warm = "COLD" not in ENVIRONMENT
        self.programs = warm_churn.write_python(self.folder / "bin") if warm else PROGRAMS
        self.image = self.folder / "project"
        self.image.mkdir(parents=True)
        for found in COPIED.finditer((self.root / "infra/Dockerfile").read_text(encoding="utf-8")):
            for name in found["what"].split():
                source, target = self.root / name, self.image / name
                target.parent.mkdir(parents=True, exist_ok=True)
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, target, ignore=ignored) if source.is_dir() else shutil.copy(
                    source, target
                )
        for name in ("governance", "data"):
            (self.image / ".churn" / name).mkdir(parents=True)
            (self.image / name).symlink_to(f".churn/{name}")

    def submit(self, settings: Settings, kind: str, noun: str = "") -> list[str]:
        """Compile the pipeline ``kind`` as `churn kubeflow submit` does, and run it on the committed version of ``noun``."""
        project = load_project(self.root)
        compiled = submit.compile_checked(project, cluster(settings), kind, self.folder)
        version = ""
        if noun:
            version = dvc.pinned(settings.root, "HEAD", str(getattr(settings.paths, noun)))
        return self.run(compiled, version=version, revision="HEAD")

    def run(self, compiled: Path, **parameters: str) -> list[str]:
        """Run the pipeline with its exit handler; returns what each task printed. AssertionError if one fails."""
        spec, platform = yaml.safe_load_all(compiled.read_text(encoding="utf-8"))
        platforms = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        flow = spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]
        order = TopologicalSorter(
            {name: task.get("dependentTasks", ()) for name, task in flow.items()}
        )
        said, state = [], "FAILED"
        before = self._files()
        try:
            for name in order.static_order():
                said.append(self._task(spec, platforms, name, self._inputs(flow[name], parameters)))
            state = "SUCCEEDED"
        finally:
            status = {
                "state": state,
                "pipelineJobResourceName": "runs/one",
                "pipelineTaskName": "exit-handler-1",
            }
            given = {"parameterValues": {"status": status, **parameters}}
            said.append(self._task(spec, platforms, "record", given))
        assert self._files() == before, "a task wrote into the project's folder of the image"
        return said

    def _inputs(self, task: dict[str, Any], parameters: dict[str, str]) -> dict[str, Any]:
        given = task.get("inputs", {})
        names = {
            key: one["componentInputParameter"].rpartition("--")[2]
            for key, one in given.get("parameters", {}).items()
        }
        from_tasks = {
            key: one["taskOutputArtifact"] for key, one in given.get("artifacts", {}).items()
        }
        paths = {
            key: self.outputs[f"{one['producerTask']}.{one['outputArtifactKey']}"]
            for key, one in from_tasks.items()
        }
        return {
            "parameterValues": {key: parameters[name] for key, name in names.items()},
            "artifacts": {key: _artifact(key, path) for key, path in paths.items()},
        }

    def _task(
        self, spec: dict[str, Any], platforms: dict[str, Any], name: str, inputs: dict[str, Any]
    ) -> str:
        work = self.folder / "tasks" / name
        shutil.rmtree(work, ignore_errors=True)
        (work / "home").mkdir(parents=True)
        component = spec["components"][f"comp-{name}"]
        made = component.get("outputDefinitions", {}).get("artifacts", {})
        self.outputs |= {f"{name}.{key}": work / key for key in made}
        outputs = {
            "artifacts": {key: _artifact(key, work / key) for key in made},
            "outputFile": str(work / "outputs.json"),
        }
        executor = json.dumps({"inputs": inputs, "outputs": outputs})
        container = spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
        command = [
            word.replace("{{$}}", executor)
            for word in (*container["command"], *container.get("args", ()))
        ]
        env = self._environment(
            container, platforms.get(component["executorLabel"], {}), work / "home"
        )
        if command[0] == "churn" and "COLD" not in ENVIRONMENT:
            done = warm_churn.forked(self.image, command[1:], env)
        else:
            done = subprocess.run(
                command,
                cwd=self.image,
                env=env,
                capture_output=True,
                text=True,
                timeout=600,
                check=False,
            )
        assert done.returncode == 0, f"{name}: {(done.stdout + done.stderr)[-3000:]}"
        return done.stdout

    def _environment(
        self, container: dict[str, Any], platform: dict[str, Any], home: Path
    ) -> dict[str, str]:
        given = {one["name"]: one["value"] for one in container.get("env", ())}
        assert given.get("CHURN_ROOT") == "/project", "the folder of the image"
        for kind, key, store in (
            ("secretAsEnv", "secretKey", self.secret),
            ("configMapAsEnv", "configMapKey", self.config),
        ):
            for one in platform.get(kind, ()):
                entries = one["keyToEnv"]
                # This cluster has no secret that may be missing.
                if not one.get("optional"):
                    given |= {entry["envVar"]: store[entry[key]] for entry in entries}
        return {
            "PATH": os.pathsep.join(map(str, (self.programs, PROGRAMS, "/usr/bin", "/bin"))),
            "HOME": str(home),
            "PYTHONPATH": os.pathsep.join(
                map(str, (self.image / "src", self.image / "serve", *ON_PATH))
            ),
            **{name: ENVIRONMENT[name] for name in PASSED_ON if name in ENVIRONMENT},
            **given,
            "CHURN_ROOT": str(self.image),
            "CHURN_GIT_COMMIT": "a" * 40,
            "CHURN_GIT_AUTHOR": "Test <test@acme.example>",
        }

    def _files(self) -> dict[str, int]:
        files = (
            path
            for path in self.image.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        )
        inside = ((path.relative_to(self.image), path) for path in files)
        return {
            str(name): path.stat().st_mtime_ns for name, path in inside if name.parts[0] != ".churn"
        }


def _artifact(name: str, path: Path) -> dict[str, Any]:
    kind = {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}
    return {"artifacts": [{"name": name, "type": kind, "uri": str(path), "metadata": {}}]}
