"""YAML of a foreign card, read as text.

Aliases, repeated keys and deep nesting are refused. A date stays text, so that it becomes no other.
"""

from __future__ import annotations

from typing import Any

from sovereign_ml.card.importers.leaves import DEEPEST, MOST_LEAVES, DuplicateKeyError

LONGEST = 200_000
"""Most characters of YAML that are read."""


def read_yaml(text: str) -> Any:
    """Return mappings, lists and texts.

    Raises ValueError in one line for YAML that a card has no use for.
    """
    import yaml

    if len(text) > LONGEST:
        raise ValueError(f"the YAML is longer than {LONGEST:,} characters; a model card is not")
    # the C parser is ten times as fast, where PyYAML was built with it
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _bounded(text, yaml, loader)
        node = yaml.compose(text, Loader=loader)
    except yaml.YAMLError as error:
        raise ValueError(f"the front matter is not YAML: {' '.join(str(error).split())}") from None
    return None if node is None else _built(node, yaml)


def _bounded(text: str, yaml: Any, loader: Any) -> None:
    """Refuse aliases, depth and size before anything is built from them."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=loader)):
        # Through aliases a small file can become a huge value.
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ValueError("the front matter uses YAML anchors or aliases: write the values out")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ValueError(f"the front matter is nested deeper than {DEEPEST} levels")
        if count > 4 * MOST_LEAVES:
            raise ValueError(f"the front matter holds more than {MOST_LEAVES:,} values")


def _built(node: Any, yaml: Any) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return [_built(item, yaml) for item in node.value]
    if not isinstance(node, yaml.MappingNode):
        return node.value
    mapping: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise ValueError("the front matter has a key that is no text: write it as name: value")
        if key.value in mapping:
            raise DuplicateKeyError(
                f"the key {key.value[:60]!r} stands twice: keep one of the two values"
            )
        mapping[key.value] = _built(value, yaml)
    return mapping
