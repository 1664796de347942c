"""SARIF 2.1.0 (OASIS): the form in which code forges show findings beside a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif_log(
    tool: str,
    rules: Sequence[Mapping[str, Any]],
    results: Sequence[Mapping[str, Any]],
    notifications: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Return a log with one run of ``tool``.

    Each rule needs ``id``, and each result a ``ruleId`` among them, ``level`` and ``message``. The
    notifications tell of what was not read.
    """
    places = {rule["id"]: number for number, rule in enumerate(rules)}
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": tool, "rules": [dict(rule) for rule in rules]}},
                "results": [{**row, "ruleIndex": places[row["ruleId"]]} for row in results],
                "invocations": [
                    {
                        "executionSuccessful": True,
                        "toolExecutionNotifications": [dict(row) for row in notifications],
                    }
                ],
            }
        ],
    }


def physical_location(file: str, line: int = 1) -> dict[str, Any]:
    """Return the location of a line in a file, relative to the root of the repository."""
    # SARIF counts lines from 1, and a finding about a whole file has the line 0.
    place = {"artifactLocation": {"uri": file}, "region": {"startLine": max(1, line)}}
    return {"physicalLocation": place}
