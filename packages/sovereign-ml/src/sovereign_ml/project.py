"""The declarations of a team: data contract, features, and the table of its steps.

A project names its object in pyproject.toml: ``[tool.sovereign-ml] project =
"churn.project:PROJECT"``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Literal

from sovereign_ml.errors import Misuse

if TYPE_CHECKING:
    from sovereign_ml.decisions.feature_contract import Direction, FeatureContract, Link

__all__ = [
    "STANDARD_STEPS",
    "Column",
    "Feature",
    "Project",
    "Step",
    "chosen_features",
    "load_project",
    "refuse_other_code",
]

Role = Literal["key", "time", "feature", "protected", "consent"]
DataType = Literal["string", "timestamp", "float", "integer", "boolean"]
Unit = Literal["days", "EUR", "count", "share", "ratio", "category"]


@dataclass(frozen=True)
class Column:
    """One column of an input table: type, role, allowed range and pattern."""

    name: str
    dtype: DataType
    role: Role
    minimum: float | str | None = None
    maximum: float | str | None = None
    nullable: bool = False
    pattern: str | None = None


@dataclass(frozen=True)
class Feature:
    """One input of the model, in words that a customer understands.

    ``changeable`` features may be moved by a counterfactual. ``minimum`` and ``maximum`` are in
    ``unit``. ``expected`` is the effect of a higher value on the risk that experts expect:
    "raises", "lowers", or None for neither. The model respects it (``[train] monotone``).
    ``source`` is "transactions", or the name of the event table (``[data.events.NAME]``) that
    it is made from.
    """

    name: str
    unit: Unit
    label: str
    necessity_reason: str
    minimum: float | None = 0
    maximum: float | None = None
    missing_allowed: bool = False
    changeable: bool = True
    expected: Direction | None = None
    source: str = "transactions"

    @property
    def dtype(self) -> Literal["float", "string"]:
        """Return ``string`` for a category and ``float`` for everything else."""
        return "string" if self.unit == "category" else "float"


def chosen_features(features: tuple[Feature, ...], inputs: Sequence[str]) -> tuple[Feature, ...]:
    """Return the features that ``[features] inputs`` names, all of them where it is empty.

    Raises Misuse for a name that is no feature.
    """
    names = [feature.name for feature in features]
    if unknown := [name for name in inputs if name not in names]:
        raise Misuse(
            f"[features] inputs names {', '.join(unknown)}, which contract.py does not declare. "
            f"It may name {', '.join(names)}, or be [] for all."
        )
    return tuple(feature for feature in features if not inputs or feature.name in inputs)


@dataclass(frozen=True)
class Step:
    """One row of the flow: a verb, the artifacts it reads (its arguments), and the one it writes.

    The command line, the DVC stages and the Kubeflow components are made from these rows.
    Besides the step's own imports, DVC watches the tables ``params`` of config.toml and the
    ``files`` of the project. ``reads_project`` says that the library's part of the step reads
    the :class:`Project`.
    """

    number: int
    verb: str
    reads: tuple[str, ...]
    writes: str
    summary: str
    params: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    reads_project: bool = False

    @property
    def folder(self) -> str:
        """Return the default folder of the artifact, such as ``data/4_model``."""
        return f"data/{self.number}_{self.writes}"


STANDARD_STEPS: tuple[Step, ...] = (
    Step(
        1,
        "data",
        ("source",),
        "raw",
        "Read transactions: pseudonyms, EUR, UTC, who objected.",
        params=("data",),
    ),
    Step(
        2,
        "validate",
        ("raw",),
        "valid",
        "Check every row against the contract; set aside or stop.",
        params=("validate",),
    ),
    Step(
        3,
        "features",
        ("valid",),
        "features",
        "Point-in-time features and labels; fill the online store.",
        params=("features", "label"),
    ),
    Step(4, "train", ("features",), "model", "Fit the model and its benchmark.", params=("train",)),
    Step(
        5,
        "evaluate",
        ("model", "features", "valid"),
        "metrics",
        "Measure on the newest cut-off: intervals, slices, groups.",
        params=("evaluate", "features", "label", "score", "train"),
    ),
    Step(
        6,
        "card",
        ("model", "metrics", "features", "valid"),
        "card",
        "Write the model card; `--open` lists what people answer.",
        files=("model_card.toml", "config.toml", ".dvc/config", "deploy"),
        reads_project=True,
    ),
    Step(
        7,
        "register",
        ("model", "metrics", "features", "valid", "card"),
        "bundle",
        "Refuse or register: gate, rules, bundle, version.",
        params=("card", "evaluate", "features", "label", "register", "score"),
        reads_project=True,
    ),
    Step(
        8,
        "score",
        ("bundle", "features", "valid"),
        "scores",
        "Score everyone who may be scored, with reasons.",
    ),
)
"""The eight steps of the template, in the order of the flow."""


@dataclass(frozen=True)
class Project:
    """A project as the library knows it.

    ``package`` is the import package whose modules the library loads by name: ``steps``,
    ``feature_repo``, ``expectations``, ``pipeline`` and, where there is one, ``rules``.
    ``tables`` are the columns of transactions, customers and groups. ``links`` returns the
    relations between features that a changed input must respect. ``group_origins`` names the
    special category (GDPR Art. 9(1)) that a group column may stand for.
    """

    package: str
    tables: Mapping[str, tuple[Column, ...]]
    features: tuple[Feature, ...]
    target: str
    links: Callable[[], tuple[Link, ...]] = tuple
    steps: tuple[Step, ...] = STANDARD_STEPS
    group_origins: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        """Raise Misuse that names the row for steps that cannot run in their order."""
        # The team's files are there before the first step.
        nouns = {"source"}
        for number, step in enumerate(self.steps, 1):
            row = f"Step({step.number}, '{step.verb}', ...)"
            if step.number != number:
                raise Misuse(f"{row} is row {number} of steps: number the rows 1, 2, 3, ...")
            # The verb is the name of a command, of a function and of its file.
            if not re.fullmatch(r"[a-z]+", step.verb) or not re.fullmatch(r"[a-z]+", step.writes):
                raise Misuse(f"{row} needs one lower-case word as verb and one as noun.")
            if step.verb in {other.verb for other in self.steps[: number - 1]}:
                raise Misuse(f"{row} is the second step with this verb: verbs are unique.")
            if step.writes in nouns:
                raise Misuse(f"{row} writes '{step.writes}', which an earlier step writes.")
            if unknown := [noun for noun in step.reads if noun not in nouns]:
                raise Misuse(
                    f"{row} reads '{unknown[0]}', which no earlier step writes. "
                    f"There are {', '.join(sorted(nouns))}."
                )
            nouns.add(step.writes)

    def with_inputs(self, inputs: Sequence[str]) -> Project:
        """Return the project with the features of ``[features] inputs``, and their links."""
        from sovereign_ml.decisions.feature_contract import links_between

        features = chosen_features(self.features, inputs)
        names = [feature.name for feature in features]
        if len(features) == len(self.features):
            return self
        return replace(self, features=features, links=lambda: links_between(self.links(), names))

    @cached_property
    def numeric(self) -> tuple[str, ...]:
        """Return the names of the numeric features."""
        return tuple(feature.name for feature in self.features if feature.dtype == "float")

    @cached_property
    def categorical(self) -> tuple[str, ...]:
        """Return the names of the categorical features."""
        return tuple(feature.name for feature in self.features if feature.dtype == "string")

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Return the names of all features, the numeric ones first."""
        return (*self.numeric, *self.categorical)

    def step(self, verb: str) -> Step:
        """Return the step called ``verb``. Raises Misuse that lists the known ones."""
        for step in self.steps:
            if step.verb == verb:
                return step
        raise Misuse(f"No step '{verb}': the project has {', '.join(s.verb for s in self.steps)}.")

    def function(self, step: Step) -> Callable[..., None]:
        """Import the step's function from ``<package>.steps._<number>_<verb>``.

        Raises Misuse if there is no such file, or no function of the verb's name in it.
        """
        name = f"steps._{step.number}_{step.verb}"
        missing = Misuse(
            f"Step {step.number} '{step.verb}' needs the function {step.verb}() in "
            f"src/{self.package}/{name.replace('.', '/')}.py."
        )
        try:
            # Imported only here, because the libraries of a step take seconds.
            module = self.module(name)
        except ModuleNotFoundError as error:
            # Another missing module is an error inside the step's own file.
            if error.name != f"{self.package}.{name}":
                raise
            raise missing from None
        function: Callable[..., None] | None = getattr(module, step.verb, None)
        if function is None:
            raise missing
        return function

    def module(self, name: str) -> ModuleType:
        """Import ``<package>.<name>``."""
        return import_module(f"{self.package}.{name}")

    def feature_contract(self) -> FeatureContract:
        """Return ``contract.json``: the features, and the links between them.

        Raises Misuse for a feature that is listed twice and for a link to one that is not listed.
        """
        from pydantic import ValidationError

        from sovereign_ml.decisions.feature_contract import FeatureContract, FeatureSpec

        names = FeatureSpec.model_fields
        try:
            specs = tuple(
                FeatureSpec(**{name: getattr(feature, name) for name in names})
                for feature in self.features
            )
            return FeatureContract(features=specs, links=self.links())
        except ValidationError as error:
            problem = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
            raise Misuse(f"The contract of the features is wrong: {problem}.") from None


def load_project(root: Path) -> Project:
    """Return the object that ``[tool.sovereign-ml] project`` in ``root``/pyproject.toml names.

    Raises Misuse where the file or the entry is missing, or where it names no :class:`Project`.
    """
    named = _named_object(root / "pyproject.toml")
    module, _, attribute = named.partition(":")
    try:
        project = getattr(import_module(module), attribute)
    # The team's own module may refuse with a message of its own.
    except Misuse:
        raise
    except Exception as error:  # the team's own code may raise anything
        raise Misuse(
            f"[tool.sovereign-ml] project = '{named}' cannot be imported: "
            f"{type(error).__name__}: {error}."
        ) from None
    if not isinstance(project, Project):
        raise Misuse(
            f"[tool.sovereign-ml] project = '{named}' is a {type(project).__name__}, not a Project."
        )
    return project


def refuse_other_code(root: Path, package: str) -> None:
    """Refuse to go on where ``package`` was imported from elsewhere than the project in ``root``.

    An environment of a second project, or a variable such as PYTHONPATH, would run that project's
    code on this one's data.
    """
    own = next((path for path in (root / "src" / package, root / package) if path.is_dir()), None)
    if own is None:  # as in an image, or where the package is installed alone
        return
    # By `__path__`, because a package without __init__.py has no file.
    imported = Path(next(iter(import_module(package).__path__)))
    if imported.resolve() == own.resolve():
        return
    installed = {"site-packages", "dist-packages"} & set(imported.parts)
    # A copy that was installed without ``-e`` counts while it is the same.
    if installed and _python_files(imported) == _python_files(own):
        return
    raise Misuse(
        f"This project's code is in {own.absolute()}, but `{package}` was imported from "
        f"{imported}: the environment belongs to another project. Call `make setup` here, then "
        "`make run` or .venv/bin/churn, and take the other folder off PYTHONPATH."
    )


def _python_files(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.py")}


def _named_object(path: Path) -> str:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        return str(table["tool"]["sovereign-ml"]["project"])
    except FileNotFoundError:
        raise Misuse(
            f"No pyproject.toml in {path.parent}: run this in the project's folder, "
            "or set CHURN_ROOT."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Misuse(f"pyproject.toml is not valid TOML: {error}.") from None
    except (KeyError, TypeError):
        raise Misuse(
            "pyproject.toml names no project: add [tool.sovereign-ml] "
            'project = "churn.project:PROJECT".'
        ) from None
