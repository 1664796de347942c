"""SageMaker's SDK as far as experiments go: `Run` and `load_run` with the signatures that its version 2.257.7 publishes."""

from __future__ import annotations

import datetime
import inspect
import time
from numbers import Number
from types import ModuleType, SimpleNamespace
from typing import Any

from sagemaker_double import ACCOUNT, REGION, Account

CONTRACT = {
    "__init__": "(self, experiment_name, run_name=None, experiment_display_name=None, run_display_name=None, "
    "tags=None, sagemaker_session=None, artifact_bucket=None, artifact_prefix=None)",
    "log_parameter": "(self, name, value)",
    "log_parameters": "(self, parameters)",
    "log_metric": "(self, name, value, timestamp=None, step=None)",
    "log_artifact": "(self, name, value, media_type=None, is_output=True)",
    "log_file": "(self, file_path, name=None, media_type=None, is_output=True, extra_args=None)",
    "close": "(self)",
    "__enter__": "(self)",
    "__exit__": "(self, exc_type, exc_value, exc_traceback)",
    "load_run": "(run_name=None, experiment_name=None, sagemaker_session=None, artifact_bucket=None, "
    "artifact_prefix=None, tags=None)",
}
"""Read from src/sagemaker/experiments/run.py, without the annotations."""


def sdk() -> Any:
    """A module `sagemaker.experiments.run` whose runs are in ``components`` by name."""
    module: Any = ModuleType("sagemaker.experiments.run")
    module.components = components = {}
    current: list[Any] = []

    class Run:
        def __init__(
            self,
            experiment_name,
            run_name=None,
            experiment_display_name=None,
            run_display_name=None,
            tags=None,
            sagemaker_session=None,
            artifact_bucket=None,
            artifact_prefix=None,
        ):
            self.experiment_name = experiment_name.lower()
            self.run_name = (run_name or f"sagemaker-run-{len(components)}").lower()
            self.run_group_name = f"Default-Run-Group-{self.experiment_name}"
            name = f"{self.experiment_name}-{self.run_name}"
            if len(self.run_name) > 59:
                raise ValueError(
                    f"The run_name (length: {len(self.run_name)}) must have length ..."
                )
            fresh = SimpleNamespace(
                trial_component_name=name,
                display_name=run_display_name,
                trial_component_arn=f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:experiment-trial-component/{name}",
                start_time=None,
                end_time=None,
                status="",
                parameters={},
                points={},
                output_artifacts={},
            )
            self._trial_component = components.setdefault(name, fresh)
            self._inside = 0
            self._in_load = False

        def _check(self) -> None:
            if not self._inside:
                raise RuntimeError(
                    "This method should be called inside context of 'with' statement."
                )

        def log_parameter(self, name, value):
            self._check()
            if not (isinstance(value, Number) and value != value):
                self._trial_component.parameters[name] = value

        def log_parameters(self, parameters):
            self._check()
            for name, value in parameters.items():
                self.log_parameter(name, value)

        def log_metric(self, name, value, timestamp=None, step=None):
            self._check()
            if step is not None and not isinstance(step, int):
                raise ValueError("step must be int.")
            points = self._trial_component.points.setdefault(name, [])
            points.append((step, float(value)))

        def log_artifact(self, name, value, media_type=None, is_output=True):
            self._check()
            self._trial_component.output_artifacts[name] = value

        def log_file(self, file_path, name=None, media_type=None, is_output=True, extra_args=None):
            self._check()

        def close(self):
            return None

        def __enter__(self):
            if self not in current:
                current.append(self)
            self._inside += 1
            now = datetime.datetime.now(datetime.UTC)
            self._trial_component.start_time = self._trial_component.start_time or now
            self._trial_component.status = "InProgress"
            return self

        def __exit__(self, exc_type, exc_value, exc_traceback):
            self._inside -= 1
            if not self._inside:
                current.remove(self)
            self._trial_component.end_time = datetime.datetime.now(datetime.UTC)
            self._trial_component.status = "Failed" if exc_value else "Completed"
            self.close()

        def __getstate__(self):
            raise NotImplementedError("Instance of Run type is not allowed to be pickled.")

    def load_run(
        run_name=None,
        experiment_name=None,
        sagemaker_session=None,
        artifact_bucket=None,
        artifact_prefix=None,
        tags=None,
    ):
        if run_name:
            return Run(experiment_name, run_name)
        if not current:
            raise RuntimeError(
                "Not able to fetch RunName in ExperimentConfig of the sagemaker job."
            )
        return current[-1]

    module.Run, module.load_run = Run, load_run
    for name, signature in CONTRACT.items():
        call = getattr(Run, name, None) or load_run
        assert str(inspect.signature(call)) == signature, name
    return module


def account_of(module: Any) -> Account:
    """What SageMaker has of the runs that the double took, as its API answers."""
    account = Account(runs=0)
    for component in module.components.values():
        values = {}
        for name, value in component.parameters.items():
            kind = "NumberValue" if isinstance(value, Number) else "StringValue"
            values[name] = {kind: float(value) if isinstance(value, Number) else str(value)}
        account.add_run(0)
        row = account.rows["ExperimentTrialComponent"][-1]
        metric = {"SourceArn": component.trial_component_arn, "TimeStamp": time.time()}
        row |= {
            "TrialComponentName": component.trial_component_name,
            "DisplayName": component.display_name or component.trial_component_name,
            "TrialComponentArn": component.trial_component_arn,
            "Status": {"PrimaryStatus": component.status},
            "StartTime": component.start_time.timestamp(),
            "Parameters": values,
            "Metrics": [
                {"MetricName": name, "Last": points[-1][1], "Count": len(points), **metric}
                for name, points in component.points.items()
            ],
            "Parents": [{"ExperimentName": component.trial_component_name.rpartition("-")[0]}],
        }
        del row["EndTime"]
        if component.end_time:
            row["EndTime"] = component.end_time.timestamp()
    account.rows["ExperimentTrial"].clear()
    return account
