"""The new track of a run: notes of calls, sent to MLflow by a thread, with the standard library.

No error and no slowness of MLflow reaches the training: the first error stops the sending, and the
end of a run waits for it only for a bounded time.
"""

from __future__ import annotations

import base64
import json
import os
import queue
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sovereign_ml.leaving.minimise import Minimiser, arn_mark, experiment_of, safe_key

TRACKER, LOST = "sagemaker.tracker", "sagemaker.tracker.lost"
STATE, ARN = "sagemaker.state", "sagemaker.arn"
# MLflow takes at most 100 parameters and 100 tags in a batch.
_AT_ONCE = 100
# With a bound, notes that MLflow is too slow for cannot fill the memory of the training.
_MOST_NOTES = 20_000
# MLflow's limit for a parameter.
LONGEST = 6000


@dataclass(frozen=True)
class TrackSettings:
    """The new track: address and credentials of MLflow, the project, the key of marks, limits.

    Times are in seconds: of one request, of waiting at the end without an answer, and at most.
    """

    uri: str
    project: str
    key: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    keep: frozenset[str] = frozenset()
    timeout: float = 5.0
    stall: float = 2.0
    patience: float = 10.0


def settings_from(environment: Mapping[str, str], project: str) -> TrackSettings:
    """Return the settings of environment variables. Raises ValueError for a wrong or missing one."""
    uri = environment.get("MLFLOW_TRACKING_URI", "")
    if not uri.startswith(("https://", "http://")):
        raise ValueError("MLFLOW_TRACKING_URI is no address of an MLflow server")
    try:
        key = bytes.fromhex(environment.get("BOTH_TRACKS_KEY", ""))
    except ValueError:
        key = b""
    # Without the key, names of people and addresses could not become marks.
    if len(key) < 16:
        raise ValueError("BOTH_TRACKS_KEY is no key: `churn leave tracker --environment` shows it")
    headers = {}
    if token := environment.get("MLFLOW_TRACKING_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    elif user := environment.get("MLFLOW_TRACKING_USERNAME"):
        pair = f"{user}:{environment.get('MLFLOW_TRACKING_PASSWORD', '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    keep = frozenset(filter(None, environment.get("BOTH_TRACKS_KEEP", "").split(",")))
    wait = float(environment.get("BOTH_TRACKS_WAIT", "2"))
    times = {"timeout": max(5.0, wait), "stall": wait, "patience": 5 * wait}
    return TrackSettings(uri.rstrip("/"), project, key, headers, keep, **times)


class RefusedByMlflow(Exception):
    """An answer of MLflow with an error, such as RESOURCE_DOES_NOT_EXIST, and its HTTP status."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"HTTP {status} {code}")
        self.status, self.code = status, code


class MlflowRest:
    """The few calls of MLflow's REST API that tracking needs."""

    def __init__(self, settings: TrackSettings) -> None:
        self._settings = settings

    def call(self, path: str, **content: Any) -> dict[str, Any]:
        """Return the answer. Raises RefusedByMlflow, OSError, or ValueError for no JSON."""
        url = f"{self._settings.uri}/api/2.0/mlflow/{path}"
        data = None
        # Of these calls MLflow expects only this one as a GET, which has no body.
        if path.endswith("get-by-name"):
            url += "?" + urllib.parse.urlencode(content)
        else:
            data = json.dumps(content).encode()
        headers = {"Content-Type": "application/json", **self._settings.headers}
        request = urllib.request.Request(url, data, headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=self._settings.timeout) as answer:  # noqa: S310
                parsed = json.loads(answer.read(10_000_000))
        except urllib.error.HTTPError as error:
            raise RefusedByMlflow(error.code, _error_code(error)) from None
        if not isinstance(parsed, dict):
            raise ValueError("MLflow's answer is no object")
        return parsed


def _error_code(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read(100_000))["error_code"])
    except (ValueError, KeyError, TypeError, OSError):
        return ""


class Track:
    """The new track of one run: notes of calls, and a thread that sends them."""

    def __init__(
        self, settings: TrackSettings, arn: str, experiment: str, name: str, start: int
    ) -> None:
        """Begin to send the run of SageMaker with ``arn``. ``start`` is in ms since 1970."""
        self._settings, self._mlflow = settings, MlflowRest(settings)
        self._rules = Minimiser(settings.key, settings.keep)
        self._identity = (arn, experiment, name, start)
        self._notes: queue.Queue[tuple[Any, ...]] = queue.Queue(_MOST_NOTES)
        self._ended, self._process = threading.Event(), os.getpid()
        self._answered = time.monotonic()
        self._params: dict[str, str] = {}
        self._keys: dict[str, str] = {}
        self._steps: dict[str, int] = {}
        self._run_id = ""
        self.lost = 0
        self.broken = ""
        # A daemon cannot keep the training from ending while a request hangs.
        threading.Thread(target=self._work, name="both-tracks", daemon=True).start()

    def note(self, *note: Any) -> None:
        """Keep a note for the thread, without waiting."""
        # A child process has no thread, so its notes would never be sent.
        if self.broken or os.getpid() != self._process:
            self.lost += 1
            return
        try:
            self._notes.put_nowait(note)
        except queue.Full:
            self.lost += 1

    def finish(self, status: str, end: int) -> None:
        """Send what is left and end the run at ``end`` ms, within the limits of time."""
        began = time.monotonic()
        if os.getpid() != self._process:
            return
        self.note("end", status, end)
        while not self._ended.wait(0.05) and not self.broken:
            now = time.monotonic()
            if now - max(began, self._answered) > self._settings.stall:
                self._stop("MLflow does not answer in time")
            elif now - began > self._settings.patience:
                self._stop("MLflow is too slow")

    def _stop(self, reason: str) -> None:
        self.broken = self.broken or reason

    def _work(self) -> None:
        try:
            self._open()
            while not self._ended.is_set() and not self.broken:
                self._send(self._taken())
        except Exception as error:
            # Its message could hold an address or a password.
            code = f" {error}" if isinstance(error, RefusedByMlflow) else ""
            self._stop(f"{type(error).__name__}{code}")
        finally:
            self.lost += self._notes.qsize()

    def _call(self, path: str, **content: Any) -> dict[str, Any]:
        answer = self._mlflow.call(path, **content)
        self._answered = time.monotonic()
        return answer

    def _open(self) -> None:
        arn, source, title, start = self._identity
        name = experiment_of(self._settings.project, source, self._rules)
        experiment, mark = self._experiment(name), arn_mark(arn)
        before = self._call(
            "runs/search",
            experiment_ids=[experiment],
            filter=f"tags.`{ARN}` = '{mark}'",
            max_results=1,
        ).get("runs", ())
        tags = {ARN: mark, STATE: "tracking", TRACKER: "both_tracks"}
        tags["sagemaker.kind"] = "TrialComponent"
        rows = [{"key": key, "value": value} for key, value in tags.items()]
        if before:
            # The run was begun by another process, as a job goes on with a notebook's run.
            self._run_id = str(before[0]["info"]["run_id"])
            data = before[0].get("data", {})
            self._params = {row["key"]: row["value"] for row in data.get("params", ())}
            self.lost += int({t["key"]: t["value"] for t in data.get("tags", ())}.get(LOST, 0))
            self._call("runs/update", run_id=self._run_id, status="RUNNING")
            self._call("runs/log-batch", run_id=self._run_id, tags=rows)
            return
        created = self._call(
            "runs/create",
            experiment_id=experiment,
            run_name=self._rules.title(title),
            start_time=start,
            tags=rows,
        )
        self._run_id = str(created["run"]["info"]["run_id"])

    def _experiment(self, name: str) -> str:
        try:
            found = self._call("experiments/get-by-name", experiment_name=name)
            return str(found["experiment"]["experiment_id"])
        except RefusedByMlflow as error:
            if error.code != "RESOURCE_DOES_NOT_EXIST":
                raise
        try:
            return str(self._call("experiments/create", name=name)["experiment_id"])
        except RefusedByMlflow as error:
            # Another job created it in between.
            if error.code != "RESOURCE_ALREADY_EXISTS":
                raise
        found = self._call("experiments/get-by-name", experiment_name=name)
        return str(found["experiment"]["experiment_id"])

    def _taken(self) -> list[tuple[Any, ...]]:
        """Return the next notes, of which there is at least one."""
        notes = [self._notes.get()]
        while len(notes) < _AT_ONCE:
            try:
                notes.append(self._notes.get_nowait())
            except queue.Empty:
                break
        return notes

    def _send(self, notes: list[tuple[Any, ...]]) -> None:
        batch: dict[str, list[dict[str, Any]]] = {"params": [], "metrics": [], "tags": []}
        for note in notes:
            if note[0] == "end":
                self._log(batch)
                self._end(*note[1:])
                return
            kind, row = self._row(*note)
            if row:
                batch[kind].append(row)
        self._log(batch)

    def _log(self, batch: dict[str, list[dict[str, Any]]]) -> None:
        if not any(batch.values()):
            return
        try:
            self._call("runs/log-batch", run_id=self._run_id, **batch)
        except RefusedByMlflow as error:
            if error.status not in (400, 413):
                raise
            rows = [(kind, row) for kind, rows in batch.items() for row in rows]
            if len(rows) == 1:
                self.lost += 1
                return
            # One bad value must not take the others with it.
            for kind, row in rows:
                self._log({kind: [row]})

    def _row(self, kind: str, name: str, value: Any, *at: Any) -> tuple[str, dict[str, Any]]:
        """Return a note as an item of MLflow, empty if minimisation removes it."""
        if kind == "metric":
            key = self._key(self._rules.metric(name))
            step = self._steps.get(key, 0) if at[1] is None else at[1]
            self._steps[key] = step + 1
            return "metrics", {"key": key, "value": value, "timestamp": at[0], "step": step}
        new = self._rules.values({name: value}).get(name)
        if new is None:
            return "params", {}
        if kind == "link":
            return "tags", {"key": self._key(f"link.{name}"), "value": new[:4900]}
        key, new = self._key(name), new[:LONGEST]
        if self._params.setdefault(key, new) != new:
            # MLflow changes no parameter, unlike SageMaker.
            self.lost += 1
            return "tags", {"key": f"changed.{key}", "value": new[:4900]}
        return "params", {"key": key, "value": new}

    def _key(self, name: str) -> str:
        """Return MLflow's key for a name, with a mark if another name has that key."""
        key = safe_key(name)
        owner = self._keys.setdefault(key.lower(), name)
        # 233 characters and the mark are 240, the longest key of `safe_key`.
        return key if owner == name else f"{key[:233]}-{arn_mark(name)[:6]}"

    def _end(self, status: str, end: int) -> None:
        self._call("runs/update", run_id=self._run_id, status=status, end_time=end)
        # The state comes last: a run that was cut before it is brought again from a dump.
        rows = [{"key": STATE, "value": "incomplete" if self.lost else "done"}]
        rows += [{"key": LOST, "value": str(self.lost)}] if self.lost else []
        self._call("runs/log-batch", run_id=self._run_id, tags=rows)
        self._ended.set()
