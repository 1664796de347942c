"""Write the reference pages from the code: `.venv/bin/python docs/reference.py`.

Every key of config.toml, every command, every rule of the card, and every public name. The pages
are committed, because people read them on a forge too. A test compares them with the code.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import tomlkit
from cookiecutter.generate import generate_context
from cookiecutter.prompt import prompt_for_config
from typer.main import get_command

from sovereign_ml import config, public_api
from sovereign_ml.card import export
from sovereign_ml.cli.main import application
from sovereign_ml.config.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "packages" / "sovereign-ml"
CONFIG = ROOT / "{{cookiecutter.project_slug}}" / "config.toml"
QUESTIONS = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
ANSWERS = prompt_for_config(generate_context(str(ROOT / "cookiecutter.json")), no_input=True)
NOT_IN_THE_FILE = {"root", "profile_name", "secrets", "old_features_asked", "team"}
"""Fields of Settings that come from the call or the environment, and the team's own table."""
SCHEMA = Settings.model_json_schema()

CONFIG_HEAD = """# Every key of config.toml

Written by `docs/reference.py` from the settings that the library reads. An unknown key, a wrong
type and a value out of range are refused with one line. "Starts as" is what a new project has. A
key that is not set there may be added. `CHURN_PROFILE` or `--profile` chooses between the tables
`[profile.local]` and `[profile.eu]`. Keys of `[team]` are your own.
"""
COMMANDS_HEAD = """# Every command of churn

Written by `docs/reference.py` from the command itself. In a project it is `.venv/bin/churn`, and
`make help` lists the targets that call it. `--help` explains any command. `--profile local` or
`--profile eu` chooses the profile (else `CHURN_PROFILE`, else `local`). Exit codes: 0 done,
1 refused by a gate or check, 2 wrong use, 130 interrupted. Steps of your own are commands too.
"""
WORDS = {
    "boolean": "true, false",
    "date": "date",
    "integer": "whole number",
    "number": "number",
    "path": "path",
    "string": "text",
}


def cell(text: object) -> str:
    """Return ``text`` as one cell of a Markdown table."""
    return " ".join(str(text).replace("``", "`").split()).replace("|", "\\|")


def code(text: object) -> str:
    """Return ``text`` as code in a cell, or nothing."""
    return f"`{cell(text)}`" if str(text) else ""


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema that a reference leads to, or ``schema`` itself."""
    reference = schema.get("$ref", "")
    return SCHEMA["$defs"][reference.rsplit("/", 1)[-1]] if reference else schema


def allowed(schema: dict[str, Any]) -> str:
    """Return in words which values a key may have."""
    schema = resolved(schema)
    if "anyOf" in schema:
        parts = (allowed(part) for part in schema["anyOf"] if part.get("type") != "null")
        return " or ".join(parts)
    if "const" in schema or "enum" in schema:
        values = schema.get("enum", [schema.get("const")])
        return ", ".join(f'`"{value}"`' for value in values)
    by_pattern = schema.get("patternProperties", {}).values()
    kind, values = (
        schema["type"],
        schema.get("additionalProperties") or next(iter(by_pattern), None),
    )
    if kind == "array":
        parts = (allowed(part) for part in schema.get("prefixItems") or [schema["items"]])
        return f"list of: {', '.join(parts)}"
    if kind == "object" and isinstance(values, dict):
        return f"table of: {allowed(values)}"
    if kind == "object":
        return "table of " + ", ".join(f"`{name}`" for name in schema["properties"])
    return " ".join([WORDS.get(schema.get("format", ""), WORDS[kind]), *limits(schema)])


def limits(schema: dict[str, Any]) -> Iterator[str]:
    """Yield the limits of a number in words."""
    words = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    named = [f"{word} {schema[key]}" for key, word in words.items() if key in schema]
    if named:
        yield ", ".join(named)


def below_fields() -> dict[tuple[str, str], str]:
    """Return the strings below the fields of the settings' classes, by class and field."""
    found = {}
    for path in Path(inspect.getfile(config)).parent.glob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.ClassDef):
                continue
            for field, text in pairwise(node.body):
                if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                    found[node.name, ast.unparse(field.target)] = str(ast.literal_eval(text.value))
    return found


def comment(table: Any, key: str) -> str:
    """Return the comment behind ``key`` in config.toml, or behind the bracket that it opens."""
    if table is None or key not in table:
        return ""
    item = table.item(key)
    behind = str(item.trivia.comment) or "".join(re.findall(r"^\[ *(#.*)", item.as_string()))
    return without_mark(behind).lstrip("# ")


def beginning(table: Any, key: str) -> str:
    """Return the value of a new project; an answer in free text is shown by its name."""
    if table is None or key not in table:
        return ""
    text = re.sub(r"(?m)^(\[?) *#.*$", r"\1", table.item(key).as_string())
    text = " ".join(text.split())
    text = re.sub(r"\{\{ cookiecutter\.(\w+) \}\}", answer, text)
    return text if len(text) <= 60 else f"{text[:57]}..."


def answer(match: re.Match[str]) -> str:
    """Return the default where people choose or the answers decide, else the question's name."""
    name = match[1]
    free = isinstance(QUESTIONS[name], str) and not name.startswith("_")
    return f"<{name}>" if free else str(ANSWERS[name])


def section(path: str, schema: dict[str, Any], table: Any, notes: dict[Any, str]) -> Iterator[str]:
    """Yield the part of the page about one table of config.toml, then those of the tables in it."""
    own: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
    inner: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
    for key, given in schema["properties"].items():
        target = resolved(given)
        nested = "properties" in target and not path.startswith("retention")
        (inner if nested else own).append((key, given, target))
    about = comment_of_table(table) or cell(schema.get("description", ""))
    yield f"\n## [{path}]\n\n{about[:1].upper()}{about[1:].rstrip('.')}.\n"
    if own:
        yield "\n| key | allowed | starts as | meaning |\n|---|---|---|---|\n"
    name = schema["title"]
    for key, given, target in own:
        meaning = given.get("description") or comment(table, key) or notes.get((name, key), "")
        start = code(beginning(table, key)) or default(given)
        yield f"| `{key}` | {cell(allowed(target))} | {start} | {cell(meaning)} |\n"
    for key, _, target in inner:
        child = table.get(key) if table is not None else None
        yield from section(f"{path}.{key}", target, child, notes)


def comment_of_table(table: Any) -> str:
    """Return the comment behind the head of a table."""
    return without_mark(str(table.trivia.comment)).lstrip("# ") if table is not None else ""


def without_mark(text: str) -> str:
    """Return a comment without the mark of the part with which its line is rendered."""
    return re.sub(r" *# with [a-z ]+$", "", text)


def default(schema: dict[str, Any]) -> str:
    """Return what holds where a new project does not have the key."""
    value = schema.get("default")
    return "not set" if value in (None, "", [], {}) else f"not set: {code(value)} holds"


def config_page() -> str:
    """Return the page about config.toml."""
    document: Any = tomlkit.parse(CONFIG.read_text(encoding="utf-8"))
    notes = below_fields()
    parts = [CONFIG_HEAD]
    for key, given in SCHEMA["properties"].items():
        if key in NOT_IN_THE_FILE:
            continue
        table = document.get(key)
        if key == "profile":
            parts += section("profile.local", resolved(given), table["local"], notes)
        else:
            parts += section(key, resolved(given), table, notes)
    return "".join(parts)


def commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield every command below ``command`` with its full name."""
    inner = getattr(command, "commands", {})
    # A group may do something by itself, as `churn card` does.
    runs = not inner or getattr(command, "invoke_without_command", False)
    if runs and not command.hidden:
        yield name, command
    for word in sorted(inner):
        yield from commands(inner[word], f"{name} {word}")


def parameters(command: Any) -> Iterator[tuple[str, str]]:
    """Yield usage and meaning of each argument and option, without those of every command."""
    for parameter in command.params:
        option = parameter.param_type_name == "option"
        if getattr(parameter, "hidden", False) or "--profile" in parameter.opts:
            continue
        given = parameter.default
        shown = "" if given in (None, "", False, True, ()) or callable(given) else f" (`{given}`)"
        if option:
            spelled = ", ".join((*parameter.opts, *parameter.secondary_opts))
            value = "" if parameter.is_flag else f" {parameter.name.upper()}"
        else:
            spelled, value = parameter.name.upper(), ""
        need = "Needed. " if parameter.required else ""
        yield f"{spelled}{value}", f"{need}{parameter.help or ''}{shown}"


def commands_page() -> str:
    """Return the page about the commands."""
    listed = list(commands(get_command(application()), "churn"))
    parts = [COMMANDS_HEAD, "\n| command | does |\n|---|---|\n"]
    for name, command in listed:
        parts.append(f"| [`{name}`](#{name.replace(' ', '-')}) | {cell(first(command))} |\n")
    for name, command in listed:
        parts.append(f"\n## {name}\n\n{cell(command.help or '')}\n")
        rows = [f"| {code(usage)} | {cell(text)} |\n" for usage, text in parameters(command)]
        if rows:
            parts += ["\n| argument or option | meaning |\n|---|---|\n", *rows]
    return "".join(parts)


def first(command: Any) -> str:
    """Return the first paragraph of a command's help."""
    return str(command.help or "").split("\n\n", maxsplit=1)[0]


PAGES = {
    "packages/sovereign-ml/docs/config.md": config_page,
    "packages/sovereign-ml/docs/cli.md": commands_page,
}
"""Pages that only this script writes; the library has tests of the others."""


if __name__ == "__main__":
    export.write(LIBRARY / "docs")
    (LIBRARY / "API.md").write_text(public_api.table(), encoding="utf-8")
    for page, content in PAGES.items():
        (ROOT / page).write_text(content(), encoding="utf-8")
        print(page)
