"""Content that a committed notebook must not hold.

That is outputs with data, people's ids and addresses, attachments, and secrets.

An output other than a picture or a short text is refused, whatever it holds: strip it
(``nbstripout``). In sources only what is written down counts: literals of rows, a filter on one
person, printed records, secrets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from sovereign_ml.audit.pii_scan import IDENTIFIER_NAMES, PERSON_KEY, snake_case, values_in
from sovereign_ml.audit.secrets import ScanHit, committed, decoded, secrets_in

STRIP = "output to strip: neither a picture nor a short text"
_ID = re.compile(r"\b(?:[0-9a-f]{32}|[0-9a-f]{64}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b")
_TECHNICAL = re.compile(
    r"(?:run|sha\d*|digest|commit|image|version|experiment|model|etag|md5"
    r"|layer)\W{0,3}(?:id)?\W{0,4}$",
    re.I,
)
_PICTURES = {"image/png", "image/jpeg", "image/gif", "image/webp"}
_SHORT_LINES, _SHORT_TEXT = 3, 200
# what a short text must not look like: a record, a row, a table's frame
_PERSON_WORD = r"(?:user|customer|client|person|member|contact|kunden?|name|email|who)"
_RECORD = re.compile(
    r"[│┃║╎┌┐└┘├┤╔╗]|(?<![\w-])(?-i:[A-Z]{1,4})-\d{4,12}(?![\w-])|^\s*\|.*\||\bRow\("
    r"|[{\[]\s*[\"']?\w+[\"']?\s*[:=]\s*[^,{}()\[\]]{1,80},\s*[\"']?\w+[\"']?\s*[:=]"
    # an estimator writes itself as a call too, but with no word for a person
    rf"|\(\s*(?:id|\w{{0,30}}{_PERSON_WORD}\w{{0,30}})="
    rf"|[{{]\s*[\"'][\w-]{{0,40}}\d[\w-]{{0,10}}\d[\w-]{{0,40}}[\"']\s*:"
    # the shape of a table and a date are numbers in brackets; a row holds a text
    r"|[(\[](?=[^)\]]{0,200}[\"'])\s*(?:[\"'][^\"']{0,80}[\"']|-?\d[\d.]*)\s*,"
    r"\s*(?:[\"'][^\"']{0,80}[\"']|-?\d[\d.]*)\s*[,)\]]"
    r"|^\s*\d+\s+\S+(?:\s{2,}|\t)\S+|^\s*\S+(?:\s{2,}|\t)-?\d\S*\s*$"
    r"|^\s*(?=\S{0,60}[A-Za-z])\S+\s+\d{4}-\d\d-\d\d\s+-?\d[\d.]*\s*$"
    r"|^[^,;\t]{1,80}(?:(?:[;\t]|,(?! ))[^,;\t]{1,80}){2,}$"
    rf"|\b(?:{PERSON_KEY})[\"']?\s{{0,3}}[:=]\s{{0,3}}[\"']?[\w-]{{0,30}}\d",
    re.MULTILINE | re.IGNORECASE,
)
_CSV_ROW = re.compile(
    r"^\s*\d{1,12}[,;\t][\"']?(?=\w)[^\W\d][\w .-]{1,60}[\"']?$"
    r"|^\s*(?:\"[^\"]{0,200}\"|'[^']{0,200}'|[\w.@:+ -]{0,200})(?:[,;\t](?:\"[^\"]{0,200}\""
    r"|[\w.@:+ -]{0,200})){2,60}\\?[\"']?\s*$"
)
_ENOUGH_ROWS = 2
_VALUE = r"(?:\"[^\"\n]{1,80}\"|'[^'\n]{1,80}'|\d[\w.-]{0,40})"
_ONE_PERSON = re.compile(
    rf"(?i)\b(?:\w{{0,20}}_)?(?:{PERSON_KEY}|e_?mail|phone|iban|last_?name"
    rf"|surname)[\"'`\])\s]{{0,5}}\s?(?:==?|<=>|\beq\b|\bis\b|\bin\b|\blike\b|\bbetween\b"
    rf"|\.(?:str\.)?(?:is_?in|eq|ne|equals|contains|startswith"
    rf"|match)\()\s{{0,5}}[(\[]?\s{{0,3}}{_VALUE}"
    rf"|(?i:\.(?:loc|get|xs|filter|query|find|lookup|predict_for"
    rf"|score)[\[(]\s{{0,3}}(?:{PERSON_KEY})\s{{0,3}}=\s{{0,3}}{_VALUE})"
)
_ONE_ROW = re.compile(
    # a person under a name of the notebook's own, and one taken out of a collection of people
    rf"^\s*(?!\w{{0,30}}(?:count|days|rows|limit|size|total|max|min|num"
    rf"|n_))\w{{0,20}}(?:{_PERSON_WORD}|subject)\w{{0,10}}\s*=\s*"
    r"[\"']?[A-Za-z]{0,6}[-_]?\d{5,20}\b"
    rf"|\b\w{{0,20}}(?:user|customer|client|person|member"
    rf"|kunde)\w{{0,10}}\[[\"'][^\"'\n]{{0,20}}\d{{3}}[^\"'\n]{{0,20}}[\"']\]"
    r"|\bname[\"'\])]{0,3}\s?==\s?[\"'](?-i:[A-ZÄÖÜ][a-zäöüß]{1,20} [A-ZÄÖÜ][a-zäöüß]{1,20})[\"']|"
    r"\.(?:loc|xs|at)\[\s{0,3}(?:[\"'][^\"'\n]{0,30}\d{3}[^\"'\n]{0,30}[\"']|\d{5,20})"
    rf"|\b\w{{0,30}}(?:{_PERSON_WORD}|predict|score|explain"
    rf"|lookup)\w{{0,30}}\(\s{{0,3}}[\"'][A-Za-z]{{0,6}}[-_]?\d{{4,20}}[\"']",
    re.IGNORECASE | re.MULTILINE,
)
# lists of ids, scores by id, columns of people, rows in a text with \\n, and calls that make people
_PEOPLE = re.compile(
    r"(?:[\"'](?=[^\"'\n]{0,40}\d[^\"'\n]{0,40}\d)(?!(?:[a-z]+_)+\d|v?\d+\.\d|\d{4}-\d\d|\d{1,2}:)"
    r"[\w.:-]{4,40}[\"']\s{0,5},\s{0,5}){2}[\"']"
    r"|[\"'][\w-]{0,30}\d{3}[\w-]{0,30}[\"']\s{0,3}:\s{0,3}-?[\d.]{1,20}\s{0,3},\s{0,20}[\"'][\w-]"
    r"{0,30}\d{3}[\w-]{0,30}[\"']\s{0,3}:"
    r"|[\[{]\s{0,5}(?:(?!\d{0,20}00\b)\d{5,20}\s{0,3},\s{0,5}){2}(?!\d{0,20}00\b)\d{5,20}"
    rf"|[\"']\w{{0,20}}{_PERSON_WORD}s?[\"']\s{{0,3}}:\s{{0,3}}\[\s{{0,5}}[\"'][^\"'\n]{{1,60}}"
    rf"[\"']\s{{0,3}},"
    r"|(?:(?<=[\"'])|(?<=\\n))(?:[^\"'\\\n;,|]{1,100}[;,|][^\"'\\\n]{1,100}\\n){2}"
    rf"|\b[A-Z]\w{{1,30}}\((?:id|\w{{0,20}}{_PERSON_WORD}\w{{0,20}})=(?:\d"
    rf"|[\"'])[^()\n]{{0,200}}\)\s{{0,3}},\s{{0,20}}[A-Z]\w{{1,30}}\(",
    re.IGNORECASE,
)
_JSON_LINE = re.compile(r"^[^{]{0,30}\{\s{0,3}[\"']\w{1,60}[\"']\s{0,3}:.{1,1500}\}[^\w}]{0,8}$")
_INSERT = re.compile(
    r"(?i)\binsert\s+into\b[^;]{0,300}\bvalues\s{0,5}\("
    r"|\bvalues\s{0,5}\(\s{0,3}(?:'[^']{0,80}'|\d[\d.]*)\s{0,3},"
)
_PERSON_LITERAL = re.compile(rf"[\"'](\w{{2,40}})[\"']\s{{0,5}}:\s{{0,5}}[\[(]?\s{{0,5}}({_VALUE})")
_RECORDS = re.compile(
    r"[\[,(]\s{0,200}[{(\[][^{}()\[\]\n]{1,400},[^{}()\[\]\n]{1,400}[})\]]\s{0,5},"
    r"\s{0,200}[{(\[][^{}()\[\]\n]{1,400},[^{}()\[\]\n]{1,400}[})\]]"
)
# a small matrix, and places with their labels, as the ticks of a figure have
_SMALL = re.compile(r"(?:\W|\b\d{1,4}\b)+$|\(\s*\[[\d\s.,-]{1,200}\]\s*,\s*\[")
# frequent given names: a list of people is told from one of models ("Random Forest") by them
_GIVEN = (
    "Adam|Alexander|Alice|Ana|Anders|Andrea|Andreas|Anna|Anne|Anton|Antonio|Barbara|Ben|Bert"
    "|Carlos|Carmen|Charlotte"
    "|Christian|Christine|Clara|Claudia|Daniel|David|Elena|Elisabeth|Elizabeth|Emil|Emma|Erik|Eva"
    "|Felix|Filip|Francesca"
    "|Francesco|Frank|Georg|George|Giulia|Hannah|Hans|Heike|Helena|Ines|Ingrid|Isabel|Jakob|James"
    "|Jan|Jane|Jean|Joanna"
    "|Johan|Johann|John|Jonas|Jose|José|Juan|Julia|Karin|Karl|Katarzyna|Klaus|Lars|Laura|Lena|Leon"
    "|Linda|Lisa|Louise"
    "|Lucas|Lucia|Luis|Lukas|Manuel|Marco|Maria|María|Marie|Mario|Mark|Marta|Martin|Mary|Matteo"
    "|Max|Maximilian|Mia"
    "|Michael|Miguel|Monika|Nicolas|Nina|Olga|Oliver|Patrick|Paul|Paula|Pavel|Pedro|Peter|Petra"
    "|Philip|Pierre"
    "|Piotr|Robert|Sabine|Sara|Sarah|Sebastian|Silvia|Simon|Sofia|Sophie|Stefan|Susanne|Sven"
    "|Thomas|Tim|Tomas|Ursula"
    "|Victor|Werner|William|Wolfgang|Zofia"
)
_WORD = r"[A-ZÀ-Ž][\w'-]{1,30}"
_FULL_NAME = re.compile(
    r"(?:[\"'(,\[]\s{0,3}|^[ \t]*(?:[-*+]\s|\d{1,3}[.)]\s)?)"
    r"(?:(?:Dr|Prof|Mr|Mrs|Ms|Herr|Frau)\.?\s)?"
    rf"(?:{_GIVEN})(?:[ -][A-ZÀ-Ž][\w.-]{{0,20}})?"
    rf"(?:\s(?:von|van|de|da|del|der|den|di|du|la|le|zu))?\s{_WORD}"
    r"(?=\s{0,3}(?:[\"'),\];]|$))"
    rf"|[\"']{_WORD},\s(?:{_GIVEN})[\"']",
    re.MULTILINE,
)
# people under a name that says so; `model_names = ["Random Forest", …]` are none
_NO_PEOPLE = (
    "model|feature|col|class|file|metric|algo|plot|label|sheet|table|estimator|cit|countr|categor"
    "|product|brand|shop|store|test|group|segment|type|tier|band|status|reason|event|title"
)
_TWO_WORDS = rf"(?-i:[\"']{_WORD} {_WORD}[\"'])"
_PEOPLE_NAMED = re.compile(
    rf"(?<![\w.])(?!\w{{0,40}}(?:{_NO_PEOPLE}))\w{{0,30}}"
    r"(?:customers?|clients?|users?|people|persons?|kunden|full_?names?|members?|employees?"
    r"|patients?)"
    rf"\w{{0,10}}[\"']?\]?\s{{0,3}}[:=]\s{{0,3}}(?:[\w.]{{1,30}}\()?[\[({{]\s{{0,5}}"
    rf"{_TWO_WORDS}\s{{0,5}},\s{{0,5}}{_TWO_WORDS}",
    re.IGNORECASE,
)
_COLUMNS = re.compile(
    r"(?i)\bDataFrame\(\s{0,20}\{[^{}]{0,2000}?:\s{0,5}\[\s{0,5}(?:\"[^\"]{0,80}\"|'[^']{0,80}'"
    r"|-?\d[\d.]*)\s{0,5},"
)
_MARKDOWN_ROW = re.compile(r"^\s*\|?(?:[^|\n]{0,200}\|){1,40}[^|\n]{0,200}$")
_PEOPLE_HEAD = re.compile(
    r"\b(who|customers?|users?|clients?|persons?|kunden?|e-?mail|vorname|nachname)\b", re.IGNORECASE
)
_STREET = re.compile(
    r"\b[A-ZÄÖÜ][\wäöüß.-]{1,30}(?:stra(?:ß|ss)e|str\.|weg|platz|allee|gasse| Street| Road| Avenue"
    r"| Lane"
    r"| Rue) \d{1,4}\b|\b\d{1,4},? (?:rue|avenue|boulevard) [\w' ]{3,30}\b"
)
_PLAIN_LITERAL = re.compile(r"[\[(](?:\s*-?\d[\d.eE+-]*\s*,?)+[\])]$")
_LONGEST = 200_000
"""Number of characters of a cell's text that are searched. A longer text is refused as data."""


def scan_notebooks(root: Path, exclude: Iterable[str] = ()) -> list[ScanHit]:
    """Return the hits in the notebooks that git tracks or would track below ``root``."""
    patterns = tuple(exclude)
    hits: list[ScanHit] = []
    for path in committed(root, "*.ipynb"):
        name = path.relative_to(root).as_posix()
        if not any(fnmatch(name, pattern) for pattern in patterns):
            hits += scan_notebook(name, decoded(path.read_bytes()) or "")
    return hits


NO_NOTEBOOK = "not a readable notebook"
"""Kind of the hit for a file that is no notebook at all."""


def scan_notebook(file: str, text: str) -> list[ScanHit]:
    """Return the hits in one notebook, at the line of the .ipynb file.

    A file that is not a notebook is a hit itself.
    """
    try:
        notebook = json.loads(text)
        cells = notebook["cells"]
        pairs = [row for cell in cells for row in _cell(cell)]
        if "widgets" in notebook.get("metadata", {}):
            pairs.append(("widgets", "state of widgets"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return [ScanHit(file, 1, NO_NOTEBOOK)]
    raw = text.splitlines()
    hits = {ScanHit(file, _line_of(raw, needle), kind): None for needle, kind in pairs}
    return sorted(hits, key=lambda hit: (hit.line, hit.kind))


def _cell(cell: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield ``(text to find again, kind)`` for the source, attachments and outputs of a cell."""
    source = _joined(cell.get("source", ""))
    if len(source) > _LONGEST:
        yield source[:40], "rows of data in the source"
        source = source[:_LONGEST]
    yield from _text(source)
    yield from _source(source, markdown=cell.get("cell_type") == "markdown")
    for name in cell.get("attachments") or {}:
        yield name, "attachment"
    for output in cell.get("outputs") or ():
        yield from _output(output)


def _source(source: str, *, markdown: bool) -> Iterator[tuple[str, str]]:
    if markdown:
        yield from _markdown(source)
    else:
        yield from _rows(source)
        for pattern in (_RECORDS, _COLUMNS, _INSERT):
            for match in pattern.finditer(source):
                if pattern is _RECORDS and _SMALL.match(match.group()):
                    continue
                yield match.group().splitlines()[0], "rows of data in the source"
        for match in _PEOPLE.finditer(source):
            yield match.group().splitlines()[0], "rows of data in the source"
        for match in _PERSON_LITERAL.finditer(source):
            # a new name, a type or a function for a column is a word in small letters
            if re.fullmatch(
                r"[\"'][a-z_]+[\"']", match.group(2)
            ) is None and IDENTIFIER_NAMES.search(snake_case(match.group(1))):
                yield match.group(), "a record of a person"
    for match in _names(source, markdown=markdown):
        yield match.group().strip().splitlines()[0], "names of people"
    for pattern in (_ONE_PERSON, _ONE_ROW):
        for match in pattern.finditer(source):
            yield match.group().splitlines()[0], "filter on one person"
    for match in _STREET.finditer(source):
        yield match.group(), "postal address"


def _names(source: str, *, markdown: bool) -> Iterator[re.Match[str]]:
    names = list(_FULL_NAME.finditer(source))
    yield from names[:1] if len(names) >= _ENOUGH_ROWS else ()
    yield from () if markdown else _PEOPLE_NAMED.finditer(source)


def _markdown(source: str) -> Iterator[tuple[str, str]]:
    """Yield tables of figures or people, and pictures, in a text cell."""
    rows = [line for line in source.splitlines() if _MARKDOWN_ROW.match(line)]
    data = [line for line in rows if len(re.findall(r"\|\s*-?\d[\d.,]*\s*(?=\||$)", line)) >= 1]
    people = rows and _PEOPLE_HEAD.search(rows[0]) and len(rows) > 1 + _ENOUGH_ROWS
    if len(data) >= _ENOUGH_ROWS or people:
        yield (data or rows)[-1], "rows of data in the source"
    for match in re.finditer(r"(?i)<td[ >]", source):
        yield match.group(), "rows of data in the source"
    for match in re.finditer(r"data:image/\w{1,20}", source):
        yield match.group(), "attachment"


def _output(output: dict[str, Any]) -> Iterator[tuple[str, str]]:
    data = output.get("data") or {}
    for kind in data:
        if kind not in _PICTURES and kind != "text/plain":
            yield kind, STRIP
    trace = _joined(output.get("traceback", "")) + "\n" + _joined(output.get("evalue", ""))
    plain = _joined(output.get("text", "")) + "\n" + _joined(data.get("text/plain", ""))
    for text in (plain.strip(), trace.strip()):
        if not text:
            continue
        first = text.splitlines()[0]
        if len(text) > _SHORT_TEXT or text.count("\n") >= _SHORT_LINES:
            yield first[:60], STRIP
        elif _RECORD.search(text):
            yield first, "rows of data in an output"
        yield from _text(text[:_LONGEST])
        for match in _ID.finditer(text[:_LONGEST]):
            if not _TECHNICAL.search(text[max(0, match.start() - 30) : match.start()]):
                yield match.group(), "identifier of a person or record"


def _text(text: str) -> Iterator[tuple[str, str]]:
    lines = text.splitlines()
    for number, kind in secrets_in(text):
        yield lines[number - 1], kind
    for match, kind in values_in(text):
        if not _harmless(text, match):
            yield match.group(), kind


def _harmless(text: str, match: re.Match[str]) -> bool:
    """Return True for the decimals of a number and for git@host: no card number, no person."""
    return text[: match.start()].endswith(".") or match.group().startswith("git@")


def _rows(text: str) -> Iterator[tuple[str, str]]:
    """Yield the start of each run of lines that look like rows of a table.

    Imports, calls and lists of numbers are code.
    """
    run: list[str] = []
    for line in [*text.splitlines(), ""]:
        is_row = (
            len(line) < 2000
            and (_CSV_ROW.match(line) or _JSON_LINE.match(line))
            and not re.match(r"\s*(?:from|import)\b|\s*-?[\d.]+,\s*$", line)
        )
        if is_row and re.search(r"\d", line) and not _PLAIN_LITERAL.search(line):
            run.append(line)
            continue
        if len(run) >= _ENOUGH_ROWS:
            yield run[0], "rows of data in the source"
        run = []


def _joined(value: Any) -> str:
    return "".join(map(str, value)) if isinstance(value, list) else str(value)


def _line_of(raw: list[str], needle: str) -> int:
    """Return the first line of the file that holds ``needle``, written as JSON writes it."""
    needle = needle[:200]
    spellings = {json.dumps(needle)[1:-1], json.dumps(needle, ensure_ascii=False)[1:-1]}
    return next(
        (number for number, line in enumerate(raw, 1) if any(text in line for text in spellings)), 1
    )
