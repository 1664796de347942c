"""Scan of text line by line: one key per line, under the last section."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace

from sovereign_ml.audit._mention import Mention, mention
from sovereign_ml.audit._named import by_key, by_line
from sovereign_ml.audit._normalise import LOCK_HASH, VARIABLE, only_variable
from sovereign_ml.audit._payloads import (
    CODE_LINE,
    DOWNLOAD,
    LINK,
    SENDS,
    Payload,
    fits,
    is_document,
)
from sovereign_ml.audit.readers.addresses import ADDRESS_KEY, LONGEST_LINE, addresses
from sovereign_ml.jurisdictions._table import scheme_owner

_IMAGE_KEYS = {
    "image",
    "base_image",
    "baseimage",
    "container",
    "container_image",
    "containerimage",
    "newname",
}
_IMAGE = re.compile(r"[a-z0-9][\w./:@-]*", re.I)
_SECTION = re.compile(r"^\s*\[+\s*([^\]]+?)\s*\]+\s*(#.*)?$")
_KEY = re.compile(
    r"^\s*(?:-\s+)?(?:(?:export|const|let|var|val|final|static|public|private|readonly|String"
    r"|ENV)\s+){0,5}"
    r"[\"']?([\w.$@/-]+)[\"']?\s*(?:<-|[?+:]{0,2}=|:)(?!//)"
)
_PAIR = re.compile(r"^\s*[\w.]{1,60}\(\s*[\"']([\w.-]{2,80})[\"']\s*,(?=\s*[\"'])")
# what has comments of C: /* … */ and //
_BRACES = (
    *("*.java", "*.kt", "*.kts", "*.scala", "*.go", "*.rs", "*.cs", "*.swift"),
    *("*.js", "*.mjs", "*.cjs", "*.ts", "*.jsx", "*.tsx", "*.cpp", "*.c"),
    *("*.h", "*.dart"),
)
# in code a bare word is an expression, a text stands in quotes
_CODE = (*_BRACES, "*.R", "*.r", "*.php", "*.rb", "*.vue")
_IN_QUOTES = re.compile(r"\"[^\"]*\"|'[^']*'|`[^`]*`")
_ASSIGNMENT = re.compile(
    r"(?:^|[\s\"'])([A-Z][A-Z0-9_]+|(?:https?|all|no)_proxy)=|\(([A-Z][A-Z0-9_]+) ?= ?(?!=)"
)
_HASH, _SLASHES, _DASHES, _SEMICOLON = r"(^|\s)#.*$", r"(^|\s)//.*$", r"(^|\s)--\s.*$", r"^\s*;.*$"
_STARS = r"/\*.*?\*/|^\s*\*(\s.*)?$"
_C_LIKE = (
    *_BRACES,
    *("*.css", "*.scss", "*.cc", "*.hpp", "*.groovy", "*.gradle", "*.proto", "*.jsonc"),
    *("*.json5", "*.bicep"),
)
_COMMENTS = (
    (("*.tf", "*.tfvars", "*.hcl", "*.php"), re.compile(rf"{_STARS}|{_HASH}|{_SLASHES}")),
    ((*_C_LIKE, "Jenkinsfile"), re.compile(rf"{_STARS}|{_SLASHES}|(?<![:\w])///?!?\s.*$")),
    (("*.sql",), re.compile(rf"{_STARS}|{_DASHES}")),
    (("*.ini", "*.cfg", "*.conf", ".dvc/config*"), re.compile(rf"{_HASH}|{_SEMICOLON}")),
    (("*.html", "*.htm", "*.xml", "*.md"), re.compile(r"<!--.*?-->")),
    (("*.json",), re.compile(r"^\s*//.*$")),
    (("*",), re.compile(_HASH)),
)
# A comment of several lines opens here. A glob ("src/**") and an address pattern (".../*") open
# none.
_OPENS = re.compile(r"(?:^|[;{},)])\s*/\*(?!.*\*/)")
_MARKUP = ("*.html", "*.htm", "*.xml", "*.vue")
_STARRED = ("*.tf", "*.tfvars", "*.hcl", "*.sql", "*.php", "Jenkinsfile", *_C_LIKE)


def lines(file: str, text: str) -> Iterator[Mention]:
    """Scan TOML, INI, shell, requirement and all other text.

    There is one key per line, under the last section.
    """
    comment = next(
        pattern for names, pattern in _COMMENTS if any(fits(file, name) for name in names)
    )
    section = key = ""
    tag = ""  # what has been opened of a tag that goes on in the next line
    markup = any(fits(file, name) for name in _MARKUP)
    document = is_document(file)
    code = any(fits(file, name) for name in _CODE)
    command = ""
    rows = (_folded(text) if code or fits(file, "*.tf") else text).splitlines()
    if markup or any(fits(file, name) for name in _STARRED):
        rows = list(_without_long_comments(rows, markup=markup))
    for number, raw in enumerate(rows, start=1):
        if LOCK_HASH.fullmatch(raw):
            key = "--hash"
            command = command if raw.endswith("\\") else ""
            continue
        line = comment.sub("", raw) if len(raw) <= LONGEST_LINE else raw
        if not line.strip():
            continue
        if match := _SECTION.match(line[:300]):
            section, key = match.group(1), ""
            yield from by_line(file, number, line)
            continue
        match = _KEY.match(line[:300]) or (_PAIR.match(line[:300]) if code else None)
        if document:  # "Note: see https://…" is a sentence, NAME=https://… a setting
            key = ""
            match = match if match and line[match.end() - 1] == "=" else None
        if match:
            key = match.group(1)
        # the key of an .npmrc is an address itself: //host/:_authToken=…
        rest = line[match.end() :] if match and "//" not in match.group(1) else line
        yield from by_line(file, number, line)
        opened = f"{tag} {line[: match.end()]}" if markup and match else tag
        path = f"{section}.{key}".strip(".")
        if code and key and "://" not in rest and ADDRESS_KEY.search(path):
            rest = " ".join(_IN_QUOTES.findall(rest))
        yield from block(file, number, path, rest, before=f"{opened} {command}".strip())
        # what a backslash carries on in the next line is one command
        command = f"{command} {line[:-1]}"[-300:] if line.endswith("\\") else ""
        if markup:
            last = f"{tag} {line[-300:]}".rpartition("<")[2]
            tag = f"<{last}" if ">" not in last and len(last) < 300 else ""


_ITEMS = r"(?P<items>(?:[^\[\](){}]|\$\{\w{1,40}\}){1,500})"
_GLUE = r"[\"'`](?P<glue>[^\"'`\n]{0,5})[\"'`]"
_JOINS = (
    re.compile(rf"\[{_ITEMS}\]\s{{0,20}}\.join\(\s{{0,5}}{_GLUE}\s{{0,5}}\)"),
    re.compile(
        rf"\b(?:listOf|List|Seq|Array|asList)\({_ITEMS}\)\s{{0,20}}\.(?:joinToString"
        rf"|mkString)\({_GLUE}\)"
    ),
    re.compile(rf"\b(?:join|implode)\(\s{{0,5}}{_GLUE}\s{{0,5}},\s{{0,5}}\[{_ITEMS}\]\s{{0,5}}\)"),
    re.compile(rf"\bString\.join\(\s{{0,5}}{_GLUE}\s{{0,5}},{_ITEMS}\)"),
    re.compile(rf"\bstrings\.Join\(\[\]string\{{{_ITEMS}\}},\s{{0,5}}{_GLUE}\)"),
    re.compile(rf"\bpaste0?\({_ITEMS}(?:,\s{{0,5}}(?:sep|collapse)\s{{0,5}}=\s{{0,5}}{_GLUE})\)"),
    re.compile(rf"\bpaste0\({_ITEMS}(?P<glue>)\)"),
)
_ITEM = re.compile(r"\"([^\"]*)\"|'([^']*)'|`([^`]*)`|[^\s,\"'`]+")
_LITERAL_IN_TEXT = re.compile(r"[$#]\{\s{0,5}([\"'])([^\"'`${}\n]{0,200})\1\s{0,5}\}")
_ADDED = re.compile(r"([\"'`])(?:[ \t]{0,20}\+[ \t]{0,20}|\.concat\([ \t]{0,5}| \. )\1")


def _folded(text: str) -> str:
    """Return code in which texts that it joins are joined. Its lines keep their numbers."""
    if "${" in text or "#{" in text:
        text = _LITERAL_IN_TEXT.sub(r"\2", text)
    text = _ADDED.sub("", text)
    if "join" in text.lower() or "paste" in text or "mkString" in text or "implode" in text:
        for pattern in _JOINS:
            text = pattern.sub(_joined_items, text)
    return text


def _joined_items(match: re.Match[str]) -> str:
    items = [
        next((group for group in item.groups() if group is not None), VARIABLE)
        for item in _ITEM.finditer(match["items"])
    ]
    return f'"{match["glue"].join(items)}"' + "\n" * match.group().count("\n")


def _without_long_comments(rows: list[str], *, markup: bool) -> Iterator[str]:
    """Yield the lines of a text. Those inside a comment of several lines are empty."""
    closing = "-->" if markup else "*/"
    inside = False
    for row in rows:
        if inside:
            _, end, rest = row.partition(closing)
            inside = not end
            yield rest
        elif markup and "<!--" in row and "-->" not in row.rpartition("<!--")[2]:
            inside = True
            yield row.rpartition("<!--")[0]
        elif not markup and (match := _OPENS.search(row[:LONGEST_LINE])):
            inside = True
            yield row[: match.start() + 1]
        else:
            yield row


_LOGIN = re.compile(r"\s*machine\s+(\S{1,253})|([^:#\s]{1,253}):[\d*]{1,6}:")


def logins(file: str, text: str) -> Iterator[Mention]:
    """Scan ``.netrc`` and ``.pgpass``, in which a login stands beside its host."""
    for number, line in enumerate(text.splitlines(), start=1):
        match = _LOGIN.match(line)
        if match:
            yield from block(file, number, "host", match.group(1) or match.group(2))
        elif not line.lstrip().startswith("#"):
            yield from block(file, number, "", line)


def template_source(file: str, text: str) -> Iterator[Mention]:
    """Scan ``.cruft.json``, in which code comes from the template.

    Its ``context`` lists choices that were not taken.
    """
    try:
        source = json.loads(text)["template"]
        line = next(n for n, row in enumerate(text.splitlines(), start=1) if '"template"' in row)
    except (ValueError, KeyError, TypeError, StopIteration, RecursionError):
        yield from lines(file, text)
        return
    for row in block(file, line, "template", str(source)):
        yield replace(row, component="ci", carries=(Payload.CODE,))


def block(file: str, first: int, key: str, text: str, before: str = "") -> Iterator[Mention]:
    """Scan one value that may span lines. ``first`` is the line on which it starts.

    In ``NAME=value``, as in environment lists, the name tells more than the key around it.
    ``before`` is the text in front, such as a tag that an earlier line opened.
    """
    if names_image(key, text):
        yield mention(file, first, key, text.strip(" \"',"), kind="image")
        return
    yield from by_key(file, first, key, text)
    command = before
    for offset, whole in enumerate(text.splitlines()):
        for line in _pieces(whole):
            named = list(_ASSIGNMENT.finditer(line))
            for match in named:
                if (match[1] or match[2]) != key:
                    yield from by_key(
                        file, first + offset, match[1] or match[2], line[match.end() :]
                    )
            path = named[0][1] or named[0][2] if named else key
            for address, kind in addresses(line, path):
                if not _says_something(address):
                    continue
                at = max(0, line.find(address[:12]))
                before_it = [match for match in named if match.end() <= at] or named[:1]
                name = before_it[-1][1] or before_it[-1][2] if before_it else key
                # in a text for people a sentence goes on after NAME=value
                if (
                    before_it
                    and is_document(file)
                    and line[before_it[-1].end() : at].strip("\"'`<")
                ):
                    name = key
                row = mention(file, first + offset, name, address, kind=kind)
                yield _by_command(row, f"{command} {line[:at]}"[-400:], f"{command} {line[:1000]}")
        command = f"{command} {whole[-300:-1]}"[-300:] if whole.endswith("\\") else before


def _by_command(row: Mention, before: str, line: str) -> Mention:
    """Return ``row`` with the payload that a command or link in front of the address gives it."""
    if CODE_LINE.search(before) or DOWNLOAD.search(line):
        return replace(row, component="ci", carries=(Payload.CODE,))
    if LINK.search(before):
        return replace(row, component="link", carries=())
    if row.carries == (Payload.CODE,) and SENDS.search(line):
        return replace(row, component="other", carries=(Payload.METADATA,))
    return row


def _pieces(line: str) -> Iterator[str]:
    """Yield a line, or the parts of a very long one.

    No address spans a quote, a blank or a comma.
    """
    if len(line) <= LONGEST_LINE:
        yield line
        return
    for part in re.split(r"[\s\"',;]+", line):
        if "." in part or "://" in part:
            for start in range(0, len(part), LONGEST_LINE):
                yield part[start : start + LONGEST_LINE]


def names_image(key: str, text: str) -> bool:
    """Return True if ``key`` holds a container image and ``text`` is one.

    A variable or a URL is none.
    """
    value = text.strip(" \"',")
    return (
        key.rpartition(".")[2].lower() in _IMAGE_KEYS
        and len(value) < 500
        and _IMAGE.fullmatch(value) is not None
        and not value.startswith(("var.", "local.", "module.", "each.", "data."))
    )


def _says_something(address: str) -> bool:
    """Return True for more than ``http://`` before a variable. ``s3://`` alone names Amazon."""
    scheme, colon, rest = address.partition("://")
    if not colon:
        return not only_variable(address)
    if scheme_owner(scheme.lower()) is not None:
        return True
    host = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    host = re.sub(r":\d+$", "", host)
    return re.search(r"[a-z0-9]", host, re.I) is not None and not only_variable(host)
