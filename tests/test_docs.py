"""The documentation names what exists: links, paths, make targets and commands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib.metadata import metadata
from pathlib import Path

import pytest
from typer.main import get_command

from bake import ROOT, tracked
from sovereign_ml.cli.main import application

PROJECT = ROOT / "{{cookiecutter.project_slug}}"
LIBRARY = ROOT / "packages" / "sovereign-ml"
SOURCE = LIBRARY / "src" / "sovereign_ml"
PAGES = sorted(n for n in tracked() if n.endswith(".md") and not n.endswith("CHANGELOG.md"))
READMES = ["README.md", f"{PROJECT.name}/README.md"]
BEFORE = {"docs/migrating.md"}  # names what was there before the library
MADE = re.compile(r"(build|data|governance)/|deploy/releases\.json|infra/\.env")
"""Files that exist only after a command of the project has run."""
PATH = re.compile(r"[\w{}.-]+(/[\w{}.-]+)*/?")
FILE = re.compile(r".+\.(py|toml|json|ipynb)")
MAKE = re.compile(r"(?:^|&& )(?:[A-Z_]+=\S+ )*make((?: [a-z][a-z-]+(?![\w=]))+)")


def starts(page: str) -> list[Path]:
    """Return the folders that the paths of ``page`` start from."""
    if page.startswith(f"{PROJECT.name}/"):
        return [PROJECT, LIBRARY / "src", ROOT]
    return [(ROOT / page).parent, ROOT, PROJECT, LIBRARY, LIBRARY / "src", SOURCE]


def blocks(page: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the language and the lines of each code block."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for language, body in re.findall(r"^ *```(\w*)\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE):
        yield language, body.splitlines()


def spans(page: str) -> list[str]:
    """Return the code in the text."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"`([^`\n]+)`", re.sub(r"^ *```.*?^ *```$", "", text, flags=re.S | re.M))


def commands(page: str) -> Iterator[str]:
    """Yield each line that somebody may type."""
    lines = (line for _, block in blocks(page) for line in block)
    yield from (line.split("#")[0].strip() for line in (*lines, *spans(page)))


def paths(page: str) -> list[str]:
    """Return the code in the text that looks like a path of this repository."""
    tops = {entry.name for folder in starts(page) for entry in folder.iterdir()}
    inside = {span for span in spans(page) if PATH.fullmatch(span) and span.split("/")[0] in tops}
    return sorted(span for span in inside if "/" in span and not MADE.match(span))


def added(page: str) -> set[str]:
    """Return the files and the verbs that the diffs of ``page`` add to a project."""
    diffs = "\n".join("\n".join(block) for language, block in blocks(page) if language == "diff")
    files = re.findall(r"^--- /dev/null\n\+\+\+ b/(\S+)$", diffs, re.MULTILINE)
    return {*files, *re.findall(r'^\+ +Step\(\d+, "(\w+)"', diffs, re.MULTILINE)}


def tree(page: str) -> Iterator[Path]:
    """Yield the files and folders of the annotated tree of a README."""
    root = starts(page)[0]
    for language, block in blocks(page):
        parents = {-1: root}
        for line in [] if language else block:
            depth = len(line) - len(line.lstrip())
            parent = parents[max(level for level in parents if level < depth)]
            names = re.split(r" {3,}", line.strip())[0].split()  # the description follows
            for name in names:
                if not (name.endswith("/") or FILE.fullmatch(name)):
                    break
                if not MADE.match(name):
                    yield parent / name
            parents = {k: v for k, v in parents.items() if k < depth} | {depth: parent / names[0]}


def targets(page: str) -> set[str]:
    """Return the make targets that a page may name."""
    files = [folder / "Makefile" for folder in starts(page) if (folder / "Makefile").is_file()]
    if page.startswith(f"{PROJECT.name}/"):
        files.remove(ROOT / "Makefile")
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    return set(re.findall(r"^([a-z-]+):(?!=)", text, re.MULTILINE))


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    inside = [link for link in links if not re.match(r"\w+:", link)]
    assert [link for link in inside if not (ROOT / page).parent.joinpath(link).exists()] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page not in BEFORE])
def test_every_path_in_the_text_exists(page: str) -> None:
    missing = {p for p in paths(page) if not any((base / p).exists() for base in starts(page))}
    assert missing - added(page) == set()


@pytest.mark.parametrize("page", READMES)
def test_every_line_of_the_tree_exists(page: str) -> None:
    named = list(tree(page))
    assert len(named) > 8
    assert [str(path) for path in named if not path.exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_exists(page: str) -> None:
    named = {w for line in commands(page) for part in MAKE.findall(line) for w in part.split()}
    assert named - targets(page) == set()


def unknown(line: str, start: str) -> Iterator[str]:
    """Yield the commands of `churn` in ``line``, each after ``start``, that do not exist."""
    for first, second in re.findall(rf"{start}churn ([a-z][a-z-]+)(?: ([a-z][a-z-]+))?", line):
        command = get_command(application()).commands.get(first)  # type: ignore[attr-defined]
        parts = getattr(command, "commands", None)
        if command is None or (parts and second and second not in parts):
            yield f"{first} {second}".strip()


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_churn_exists(page: str) -> None:
    named = {name for line in commands(page) for name in unknown(line, "(?:^|bin/)")}
    assert named - added(page) == set()


def test_every_command_that_the_code_names_exists() -> None:
    files = [*(LIBRARY / "src").rglob("*.*"), *PROJECT.rglob("*.*")]
    texts = [f for f in files if f.suffix in (".py", ".toml", ".html", ".j2", ".yaml", ".txt")]
    named = {(f.name, name) for f in texts for name in unknown(f.read_text("utf-8"), "`")}
    assert len(texts) > 400
    assert named == set()


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (test_every_link_leads_to_a_file, "[a page](gone.md)"),
        (test_every_path_in_the_text_exists, "`docs/gone.md`"),
        (test_every_make_target_exists, "`make gone`"),
        (test_every_make_target_exists, "```sh\nA=1 make test gone  # both\n```"),
        (test_every_command_of_churn_exists, "```sh\n.venv/bin/churn gone\n```"),
        (test_every_command_of_churn_exists, "```sh\nchurn servers gone\n```"),
    ],
)
def test_each_check_refuses_what_is_gone(
    check: Callable[[str], None], text: str, tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{text}\n", encoding="utf-8")
    with pytest.raises(AssertionError, match=r"gone"):
        check(str(page))


def test_the_licences_of_the_tools_are_those_of_their_packages() -> None:
    names = {"Apache Software License": "Apache-2.0", "MIT License": "MIT"}
    page = (PROJECT / "docs/tools.md").read_text(encoding="utf-8")
    table = page.split("## Instead")[0]
    seen = 0
    for row in re.findall(r"(?m)^\| .+$", table)[1:]:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        for package in re.findall(r"`([a-z-]+)`", cells[1]):
            about = metadata(package)
            classified = [line.split(" :: ")[-1] for line in about.get_all("Classifier", [])]
            known = [names[line] for line in classified if line in names]
            [licence] = about.get_all("License-Expression", known)
            assert licence in cells[3], f"{package}: {licence}, the page has {cells[3]}"
            seen += 1
    assert seen > 8
