"""Text made readable for the address patterns.

Variables become one word, their defaults stay, and escapes are removed.
"""

from __future__ import annotations

import re
from html import unescape

VARIABLE = "zz0var"
"""Placeholder for the content of a variable. It is a legal label of a host name."""
LOCK_HASH = re.compile(r"\s*--hash=sha256:[0-9a-f]{64}(?: \\)?")
"""A whole line of a lock of packages. It holds no address and no secret.

Most lines of a project are of this kind, so that skipping them makes an audit twice as fast.
"""
_DEFAULT = re.compile(
    r"\$\$?\{(?:[\w.]{1,100}:?[-=+]|oc\.env:\w{1,100},\s{0,5}"
    # Spring and OmegaConf; `${env:NAME}` and the like name a variable, not a default
    r"|(?!(?:env|self|opt|file|ssm|cf|sls|oc|hydra|secret|vault|param|resolve"
    r"|aws)\b)[\w.-]{1,100}:(?=[\w/]))([^${}]*)\}"
)
_BRACED = re.compile(
    r"(?:\$\$?|#)\{[^{}\s]{1,200}\}|`[^`\s][^`:]{0,100}`(?=[\w.@-])|\$\$?\{\{[^{}]{1,200}\}\}"
    r"|\$\$?\{\w{1,100}:?\?[^{}]{0,200}\}"
    r"|\$\([^()]{1,100}\)"
)
_TEMPLATE = re.compile(r"\$?\{\{[-%]?([^{}]{0,300})\}\}")
_PERCENT = re.compile(
    r"%(?:\([\w.]{1,60}\))?[sd](?![\w])|\{[\w.\[\]!]{0,60}(?::[^{}\s\"']{0,20})?\}"
)
_SHELL = re.compile(
    r"%[A-Z_][A-Z0-9_]{2,60}%|\$\$?[A-Za-z_]\w{0,60}"
    r"|<[A-Za-z_][\w -]{0,40}>(?=[@/.:])|(?<=[/@.])<[A-Za-z_][\w-]{0,40}>"
)
_PORT = re.compile(rf"(?<=[\w\]]):{VARIABLE}(?![\w@.-])")
_QUOTED = re.compile(r"[\"']([^\"']*)[\"']")
_MARKS = ("$", "{", "%", "\\", "<", "&#", "&co", "&so", "`", VARIABLE)
_ESCAPED = re.compile(r"\\u00([0-9a-fA-F]{2})|\\x([0-9a-fA-F]{2})|%(3[aA]|2[fFeE])")


def normalise(line: str) -> str:
    r"""Return ``line`` with ``VARIABLE``, or a default value, in place of each variable.

    ``${URI:-https://a.b}`` is ``https://a.b``, ``//u:${PW}@host`` is ``//u:zz0var@host``,
    ``https:\/\/a`` is ``https://a``, ``{{ env('X', 'https://a.b') }}`` is ``https://a.b``.
    """
    if not any(mark in line for mark in _MARKS):
        return line
    line = line.replace("\\/", "/")
    if "&#" in line or "&colon;" in line or "&sol;" in line:
        line = unescape(line)
    if "\\u00" in line or "\\x" in line or "%3a%2f" in line.lower():
        line = _ESCAPED.sub(lambda match: chr(int(match[1] or match[2] or match[3], 16)), line)
    for _ in range(4):  # defaults inside defaults
        line, count = _DEFAULT.subn(lambda match: match.group(1) or VARIABLE, line)
        if not count:
            break
    line = _TEMPLATE.sub(_template_default, line)
    line = _BRACED.sub(VARIABLE, line)
    line = _PERCENT.sub(VARIABLE, line)
    line = _SHELL.sub(VARIABLE, line)
    return _PORT.sub("", line)


def _template_default(match: re.Match[str]) -> str:
    """Return the default inside a template expression if it looks like an address."""
    for text in reversed(_QUOTED.findall(match.group(1))):
        if "://" in text or "." in text:
            return str(text)
    return VARIABLE


def shown(text: str) -> str:
    """Return ``text`` for people, with three dots for each variable."""
    return text.replace(VARIABLE, "…")


def only_variable(host: str) -> bool:
    """Return True for a host that consists of variables alone."""
    labels = [label for label in re.split(r"[.-]", host.lower()) if label]
    return (
        bool(labels)
        and all(label.replace(VARIABLE, "").strip("0123456789_") == "" for label in labels)
        and VARIABLE in host.lower()
    )
