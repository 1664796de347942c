"""The documentation names what exists, and its site can be read by everybody, offline."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from html.parser import HTMLParser
from importlib.metadata import metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from axe_playwright_python.sync_playwright import Axe
from chromium import chromium
from playwright.sync_api import Browser
from playwright.sync_api import Page as BrowserPage
from typer.main import get_command

import make_site
import reference
from bake import ROOT, tracked
from conftest import Project
from sealed import sealed
from sovereign_ml.cli.main import application

PROJECT = ROOT / "{{cookiecutter.project_slug}}"
LIBRARY = ROOT / "packages" / "sovereign-ml"
SOURCE = LIBRARY / "src" / "sovereign_ml"
ZENSICAL = ROOT / "build/docs-env/bin/zensical"
LOOKED_AT = (
    "index.html",
    "docs/article-22.html",
    "packages/sovereign-ml/docs/config.html",
    "project/docs/your-data.html",
)
SIZES = {"desktop": (1280, 800), "phone": (390, 800)}
FIRST_ROWS = {"include": ["html"], "exclude": ["tbody tr:nth-child(n+4)"]}
"""A long table would take most of the time, and its rows are alike."""
PAGES = sorted(n for n in tracked() if n.endswith(".md") and not n.endswith("CHANGELOG.md"))
READMES = ["README.md", f"{PROJECT.name}/README.md"]
BEFORE = {"docs/migrating.md"}  # names what was there before the library
MADE = re.compile(r"(build|data|governance)/|deploy/(releases|tried_variables)\.json|infra/\.env")
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
    lines = re.findall(r"^([a-z][a-z -]*):(?!=)", text, re.MULTILINE)
    return {name for line in lines for name in line.split()}


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


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_churn_exists(page: str) -> None:
    named = {part for line in commands(page) for part in unknown(line, "(?:^|bin/)")}
    assert named - added(page) == set()


def test_every_command_that_the_code_names_exists() -> None:
    files = [*(LIBRARY / "src").rglob("*.*"), *PROJECT.rglob("*.*")]
    texts = [f for f in files if f.suffix in (".py", ".toml", ".html", ".j2", ".yaml", ".txt")]
    named = {(f.name, name) for f in texts for name in unknown(f.read_text("utf-8"), "`")}
    assert len(texts) > 400
    assert named == set()


@cache
def churn() -> Any:
    """Return the command with everything below it."""
    return get_command(application())


def unknown(text: str, start: str) -> Iterator[str]:
    """Yield the commands and options of `churn`, each after ``start``, that it does not have."""
    for call in re.findall(rf"{start}churn ([^|;&)>`\n]+)", text):
        command: Any = churn()
        words = call.split()
        while words and hasattr(command, "commands") and re.fullmatch(r"[a-z][a-z-]+", words[0]):
            inner = command.commands.get(words[0])
            if inner is None:
                yield words[0]
                break
            command, words = inner, words[1:]
        else:
            options = {"--help"} | {
                name for given in command.params for name in (*given.opts, *given.secondary_opts)
            }
            yield from (
                w for word in words if (w := word.split("=")[0])[:2] == "--" and w not in options
            )


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (test_every_link_leads_to_a_file, "[a page](gone.md)"),
        (test_every_path_in_the_text_exists, "`docs/gone.md`"),
        (test_every_make_target_exists, "`make gone`"),
        (test_every_make_target_exists, "```sh\nA=1 make test gone  # both\n```"),
        (test_every_command_of_churn_exists, "```sh\n.venv/bin/churn gone\n```"),
        (test_every_command_of_churn_exists, "```sh\nchurn servers gone\n```"),
        (test_every_command_of_churn_exists, "`churn card gone`"),
        (test_every_command_of_churn_exists, "`churn card answer --gone=1`"),
    ],
)
def test_each_check_refuses_what_is_gone(
    check: Callable[[str], None], text: str, tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{text}\n", encoding="utf-8")
    with pytest.raises(AssertionError, match=r"gone"):
        check(str(page))


class Page(HTMLParser):
    """The ids, the links and the assets of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.assets: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the tag names; a link of ``<a>`` is followed by people, all else is loaded."""
        given = {name: value for name, value in attrs if value}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        loaded = [given[name] for name in ("src", "data", "poster", "action") if name in given]
        loaded += given.get("srcset", "").split(",") if "srcset" in given else []
        loaded += re.findall(r"url\(['\"]?([^)'\"]+)", given.get("style", ""))
        if "href" in given and tag != "a":
            loaded.append(given["href"])
        self.assets += loaded
        self.links += [given["href"]] if tag == "a" and "href" in given else loaded


def elsewhere(text: str) -> list[str]:
    """Return what a page or a style sheet loads from another host."""
    named = [*Page(text).assets, *re.findall(r"(?:url\(|@import )['\"]?([^)'\";]+)", text)]
    return [address for address in named if re.match(r"\s*(\w+:)?//", address)]


@pytest.fixture(scope="module")
def site(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built where nothing can leave."""
    assert ZENSICAL.is_file(), "call `make docs` once: it installs what builds the site"
    folder = tmp_path_factory.mktemp("docs")
    make_site.collect(folder, rendered)
    sealed(Project(folder, folder / "home"), *make_site.command(ZENSICAL))
    return folder / "site"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    with chromium() as opened:
        yield opened


def test_every_page_for_people_is_in_the_navigation() -> None:
    folders = ("docs/", f"{PROJECT.name}/docs/", "packages/sovereign-ml/docs/")
    written = {page for page in PAGES if page.startswith(folders)}
    shown = {page.replace("project/", f"{PROJECT.name}/", 1) for page in make_site.pages()}
    assert written - shown == set()
    assert len(make_site.pages()) == len(shown)


def test_every_link_inside_the_site_leads_to_a_page_and_a_heading(site: Path) -> None:
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    dead = []
    seen = 0
    for path, page in pages.items():
        for link in page.links:
            address, _, heading = unquote(link).partition("#")
            if re.match(r"(\w+:|//)", link) or path.name == "404.html":
                continue
            target = (path.parent / address.partition("?")[0]).resolve() if address else path
            target = target / "index.html" if target.is_dir() else target
            seen += 1
            known = pages[target].ids if target in pages else set()
            if not target.is_file() or (heading and heading != "__top" and heading not in known):
                dead.append(f"{path.relative_to(site)}: {link}")
    assert seen > 1000
    assert dead == []


def test_nothing_on_the_site_is_loaded_from_another_host(site: Path) -> None:
    files = [path for path in site.rglob("*") if path.suffix in (".html", ".css")]
    assert len(files) > len(make_site.pages())
    loaded = {path.name: elsewhere(path.read_text(encoding="utf-8")) for path in files}
    assert {name: found for name, found in loaded.items() if found} == {}


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//cdn.example/x.css">',
        '<img srcset="https://cdn.example/x.png 2x">',
        "<style>@import 'https://cdn.example/x.css'</style>",
        "body { background: url(https://cdn.example/x.png) }",
    ],
)
def test_an_asset_of_another_host_would_be_found(text: str) -> None:
    assert len(elsewhere(text)) == 1
    assert elsewhere('<a href="https://example.eu">read</a>') == []


@pytest.mark.parametrize("size", SIZES)
def test_the_pages_of_the_site_can_be_used_by_everybody(
    site: Path, browser: Browser, size: str
) -> None:
    width, height = SIZES[size]
    page = browser.new_page(viewport={"width": width, "height": height})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    found: list[tuple[Any, ...]] = []
    for name in LOOKED_AT:
        page.goto((site / name).as_uri())
        found += [(name, *finding) for finding in serious(page)]
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            found.append((name, "scrolls sideways"))
    page.close()
    assert found == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


def serious(page: BrowserPage) -> list[tuple[str, list[str]]]:
    """Return the serious and critical findings of axe."""
    violations = Axe().run(page, FIRST_ROWS).response["violations"]
    grave = [found for found in violations if found["impact"] in ("serious", "critical")]
    return [(found["id"], [node["html"] for node in found["nodes"]][:3]) for found in grave]


def test_the_search_works_without_a_server(site: Path, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto((site / "index.html").as_uri())
    page.keyboard.press("/")
    page.keyboard.type("tombstone")
    page.get_by_text("People's rights").last.wait_for(timeout=15_000)
    page.close()


@pytest.mark.parametrize("page", reference.PAGES)
def test_a_reference_page_says_what_the_code_says(page: str) -> None:
    written = (ROOT / page).read_text(encoding="utf-8")
    assert written == reference.PAGES[page](), "call .venv/bin/python docs/reference.py"


def test_every_key_of_config_toml_has_a_meaning() -> None:
    rows = [line for line in reference.config_page().splitlines() if line.startswith("| `")]
    assert len(rows) > 150
    assert [row for row in rows if row.endswith("|  |")] == []


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
