"""DVC reruns a step after any change of a file that the step imports, however it imports it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sovereign_ml.pipeline.stages import with_imports

FILES = {
    "__init__.py": '"""The package."""\n',
    "contract.py": "from .words import WORDS\n",
    "words.py": "WORDS = ()\n",
    "steps/__init__.py": '"""The steps."""\n',
    "steps/helper.py": "",
    "parts/__init__.py": "from . import first\n",
    "parts/first.py": "",
    "parts/second.py": "",
    "parts/deep/__init__.py": '"""Nothing."""\n',
    "parts/deep/third.py": "from ...words import WORDS\n",
}


@pytest.mark.parametrize(
    ("line", "needed"),
    [
        ("from churn import contract", {"contract.py", "words.py"}),
        ("from . import helper", {"steps/helper.py"}),
        ("from .helper import value", {"steps/helper.py"}),
        ("from .. import contract", {"contract.py", "words.py"}),
        ("from ..contract import TARGET", {"contract.py", "words.py"}),
        ("def run():\n    from ..words import WORDS", {"words.py"}),
        ("import churn.parts", {"parts/__init__.py", "parts/first.py"}),
        ("from ..parts import first", {"parts/__init__.py", "parts/first.py"}),
        (
            "from ..parts import second",
            {"parts/__init__.py", "parts/first.py", "parts/second.py"},
        ),
        (
            "import churn.parts.deep.third as third",
            {"parts/__init__.py", "parts/first.py", "parts/deep/third.py", "words.py"},
        ),
        ("from .nowhere import value", set()),
        ("from ..words import *", {"words.py"}),
        ("import numpy", set()),
    ],
)
def test_a_step_depends_on_what_it_imports(tmp_path: Path, line: str, needed: set[str]) -> None:
    package = tmp_path / "churn"
    for name, content in FILES.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(content)
    step = package / "steps" / "_1_data.py"
    step.write_text(f"{line}\n")
    files = {path.relative_to(package).as_posix() for path in with_imports([step], package)}
    assert files == {"steps/_1_data.py", *needed}


def test_the_code_of_a_package_belongs_to_each_of_its_files(tmp_path: Path) -> None:
    package = tmp_path / "churn"
    (package / "steps").mkdir(parents=True)
    (package / "__init__.py").write_text("from .limits import LIMIT\n")
    (package / "limits.py").write_text("LIMIT = 1\n")
    step = package / "steps" / "_1_data.py"
    step.write_text("")
    expected = {step, package / "__init__.py", package / "limits.py"}
    assert with_imports([step], package) == expected
