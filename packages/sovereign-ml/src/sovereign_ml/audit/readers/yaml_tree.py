"""Addresses in YAML.

Kubernetes, compose, CI of every forge, Feast, compiled pipelines, Helm values, pre-commit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sovereign_ml.audit._mention import Mention, mention
from sovereign_ml.audit._named import by_key, by_line
from sovereign_ml.audit._services import by_setting
from sovereign_ml.audit.readers.addresses import addresses
from sovereign_ml.audit.readers.text_lines import block, lines, names_image

_LARGEST_JSON = 300_000
"""Number of characters of JSON that are read with their paths.

A longer file is data and is read line by line.
"""

_DEEPEST = 300
"""Levels of nesting that are read.

The parser in C calls itself for each level, and a file of brackets would end the process.
"""
_DASHES = re.compile(rf"(?:[-?][ \t]+){{{_DEEPEST}}}")


def _is_deep(text: str) -> bool:
    depth = 0
    for match in re.finditer(r"[\[\]{}]", text):
        depth = depth + 1 if match.group() in "[{" else max(0, depth - 1)
        if depth > _DEEPEST:
            return True
    return _DASHES.search(text) is not None


def yaml(file: str, text: str) -> Iterator[Mention]:
    """Yield every scalar with its key path and line.

    A file that is not YAML (a template, for example) is read line by line.
    """
    import yaml as library

    if (file.endswith(".json") and len(text) > _LARGEST_JSON) or _is_deep(text):
        yield from lines(file, text)
        return
    # the C parser is ten times as fast; a wheel of PyYAML has it
    loader = getattr(library, "CSafeLoader", library.SafeLoader)
    try:
        documents = [row for row in library.compose_all(text, Loader=loader) if row is not None]
        visited: set[int] = set()
        mentions = [
            row for document in documents for row in _walk(file, document, (), library, visited)
        ]
    except (library.YAMLError, RecursionError, ValueError):
        yield from lines(file, text)
        return
    yield from mentions
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.lstrip().startswith("#"):
            yield from by_line(file, number, line)


def _walk(
    file: str, node: Any, path: tuple[str, ...], library: Any, visited: set[int]
) -> Iterator[Mention]:
    # an alias is the same node again: what it says was read where it was written
    if id(node) in visited:
        return
    visited.add(id(node))
    if isinstance(node, library.MappingNode):
        named = _name_of_value(node, library)
        if named and not any(key.value == "value" for key, _ in node.value):
            line = node.start_mark.line + 1
            yield from by_setting(file, line, named, "from elsewhere")
        for key, value in node.value:
            name = str(key.value)
            if "://" in name:
                yield from block(file, key.start_mark.line + 1, ".".join(path), name)
            yield from _walk(
                file, value, (*path, named if name == "value" and named else name), library, visited
            )
    elif isinstance(node, library.SequenceNode):
        for item in node.value:
            yield from _walk(file, item, path, library, visited)
    else:
        yield from _scalar(file, node, path)


def _name_of_value(node: Any, library: Any) -> str:
    """Return the name in ``{name: MLFLOW_TRACKING_URI, value: ...}``.

    Kubernetes keeps the key of a variable beside its value.
    """
    fields = {str(key.value): value for key, value in node.value}
    name = fields.get("name")
    has_value = "value" in fields or "valueFrom" in fields
    return str(name.value) if has_value and isinstance(name, library.ScalarNode) else ""


def _scalar(file: str, node: Any, path: tuple[str, ...]) -> Iterator[Mention]:
    value, line, key = str(node.value), node.start_mark.line + 1, ".".join(path)
    if names_image(_image_key(file, path), value):
        yield mention(file, line, key, value, kind="image")
    elif path and path[-1] == "uses":
        yield from by_key(file, line, key, value)
        yield from _action(file, line, key, value)
    elif path[-1:] == ("runs-on",) and file.startswith(".github/"):
        yield mention(
            file, line, key, "https://github.com", kind="action"
        )  # a self-hosted runner is steered from there
    else:
        yield from block(file, line + (node.style in ("|", ">")), key, value)


def _image_key(file: str, path: tuple[str, ...]) -> str:
    """Return the key of an image.

    GitLab also writes images as ``services: [image]`` and ``image: {name: image}``.
    """
    if (path[-1:] == ("services",) or path[-2:] == ("services", "name")) and "ci" in file:
        return "image"
    return (
        path[-2]
        if path[-1:] == ("name",) and len(path) > 1 and path[-2] == "image"
        else ".".join(path)
    )


def _action(file: str, line: int, key: str, value: str) -> Iterator[Mention]:
    """Yield the address of ``uses: owner/repo@ref``.

    It is fetched from github.com on every forge unless the runner mirrors it.
    """
    if value.startswith("docker://"):
        yield mention(file, line, key, value.removeprefix("docker://"), kind="image")
    elif any(kind == "url" for _, kind in addresses(value)):
        yield mention(file, line, key, value.partition("@")[0], kind="action")
    elif not value.startswith("./"):
        yield mention(file, line, key, f"https://github.com/{value}", kind="action")
