"""SageMaker's `Run` that also writes to MLflow. Printed as one file by `churn leave tracker`.

Each call goes to SageMaker first, unchanged. Then it is noted for the new track. Names and values
pass the same minimisation as in `churn leave runs`.
"""

from __future__ import annotations

import functools
import math
import numbers
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib import import_module
from typing import Any

from sovereign_ml.leaving.both_tracks.new_track import LONGEST, Track, settings_from

_SDK = ("sagemaker.experiments.run", "sagemaker.core.experiments.run")
_NAMES = {
    "log_parameter": ("name", "value"),
    "log_parameters": ("parameters",),
    "log_metric": ("name", "value", "timestamp", "step"),
    "log_artifact": ("name", "value", "media_type", "is_output"),
}
"""Calls that are tracked twice, with their arguments. Files and plots stay in SageMaker only."""
_TRACKS: weakref.WeakKeyDictionary[Any, dict[str, Any]] = weakref.WeakKeyDictionary()
"""State of the new track of each run, kept outside of the object of SageMaker's class."""
_WARNED: set[str] = set()
_INSIDE = threading.local()


def contained(function: Callable[..., None]) -> Callable[..., None]:
    """Return ``function`` without its errors: they become one line on the console."""

    @functools.wraps(function)
    def quiet(*arguments: Any) -> None:
        try:
            function(*arguments)
        except Exception as error:
            _warn(f"{type(error).__name__} in {function.__name__}")

    return quiet


def _warn(reason: str) -> None:
    if reason not in _WARNED and sys.stderr:
        _WARNED.add(reason)
        try:
            sys.stderr.write(f"both_tracks: not all is in MLflow ({reason}). SageMaker has all.\n")
        # A job may have closed its console.
        except (OSError, ValueError):
            return


def _moment(value: Any) -> int:
    """Return a time of SageMaker's SDK in ms since 1970, now for None."""
    if isinstance(value, datetime):
        value = value.timestamp()
    return int((time.time() if value is None else float(value)) * 1000)


@contained
def _enter(run: Any, project: str, environment: Mapping[str, str]) -> None:
    state = _TRACKS.setdefault(run, {"depth": 0, "track": None})
    state["depth"] += 1
    if state["depth"] > 1:
        return
    try:
        settings = settings_from(environment, project)
    except ValueError as error:
        _warn(str(error))
        return
    component = run._trial_component
    name = getattr(component, "display_name", None) or component.trial_component_name
    start = _moment(getattr(component, "start_time", None))
    arn = component.trial_component_arn
    state["track"] = Track(settings, str(arn), str(run.experiment_name), str(name), start)


@contained
def _exit(run: Any, failed: bool) -> None:
    state = _TRACKS.get(run)
    if not state or not state["depth"]:
        return
    state["depth"] -= 1
    track: Track | None = state["track"]
    if state["depth"] or not track:
        return
    state["track"] = None
    end = _moment(getattr(run._trial_component, "end_time", None))
    track.finish("FAILED" if failed else "FINISHED", end)
    if track.broken or track.lost:
        _warn(track.broken or f"{track.lost} calls")


@contained
def _note(run: Any, call: str, arguments: Mapping[str, Any]) -> None:
    track: Track | None = (_TRACKS.get(run) or {}).get("track")
    if not track:
        return
    if call == "log_metric":
        value, step = float(arguments["value"]), arguments.get("step")
        if math.isfinite(value):
            at = _moment(arguments.get("timestamp"))
            step = None if step is None else int(step)
            track.note("metric", str(arguments["name"]), value, at, step)
        return
    if call == "log_artifact":
        side = "OutputArtifacts" if arguments.get("is_output", True) else "InputArtifacts"
        track.note("link", f"{side}.{arguments['name']}", str(arguments["value"])[:LONGEST])
        return
    pairs = arguments.get("parameters") or {arguments.get("name"): arguments.get("value")}
    for name, value in pairs.items():
        # NumPy's numbers are Real too, and JSON takes only Python's own.
        if isinstance(value, numbers.Real):
            number = int(value) if isinstance(value, numbers.Integral) else float(value)
            if math.isfinite(number):
                track.note("param", str(name), number)
        elif isinstance(value, str):
            track.note("param", str(name), value[:LONGEST])


@contained
def _adopt(run: Any, old: Any, new: Any) -> None:
    # The SDK's function creates its own class. The class adds methods only.
    if type(run) is old:
        run.__class__ = new


def tracked(sdk: Any, project: str, environment: Mapping[str, str]) -> tuple[Any, Any]:
    """Return ``Run`` and ``load_run`` of SageMaker's module ``sdk`` that also write to MLflow."""

    def twice(name: str) -> Callable[..., Any]:
        old = getattr(sdk.Run, name)

        @functools.wraps(old)
        def call(self: Any, *arguments: Any, **named: Any) -> Any:
            depth = getattr(_INSIDE, "depth", 0)
            _INSIDE.depth = depth + 1
            try:
                result = old(self, *arguments, **named)
            finally:
                _INSIDE.depth = depth
            # A call that SageMaker's class makes itself is part of the outer one.
            if not depth:
                _note(self, name, {**dict(zip(_NAMES[name], arguments, strict=False)), **named})
            return result

        return call

    class Run(sdk.Run):  # type: ignore[misc]
        """SageMaker's Run, which also writes to MLflow."""

        def __enter__(self) -> Any:
            result = super().__enter__()
            _enter(self, project, environment)
            return result

        def __exit__(self, kind: Any, value: Any, trace: Any) -> Any:
            try:
                return super().__exit__(kind, value, trace)
            finally:
                # SageMaker's run ends first. If that fails, ours must end all the same.
                _exit(self, bool(value or kind))

    for name in _NAMES:
        if hasattr(sdk.Run, name):
            setattr(Run, name, twice(name))

    @functools.wraps(sdk.load_run)
    def load_run(*arguments: Any, **named: Any) -> Any:
        run = sdk.load_run(*arguments, **named)
        _adopt(run, sdk.Run, Run)
        return run

    return Run, load_run


def installed_sdk() -> Any:
    """Return the module of SageMaker's SDK, version 2 or 3. Raises ImportError without either."""
    for name in _SDK[:-1]:
        try:
            return import_module(name)
        except ModuleNotFoundError as error:
            # A package that SageMaker's SDK needs and lacks is told as the old import did.
            if not str(error.name).startswith("sagemaker"):
                raise
    return import_module(_SDK[-1])
