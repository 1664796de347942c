"""Encoding of a text file, by its byte order mark, its bytes or the letters that they would be."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sovereign_ml.storage.csv_records import MARKS
from sovereign_ml.storage.file_format import FileFormat, open_bytes

__all__ = ["EncodingGuess", "encoding_of"]

CHUNK = 1 << 20
ASCII = bytes(range(128))
SIGNS = "€£§°…’“”„–«»º"
WESTERN = ("äöüßéèêëàâçñåæøáíóúîïôûùœìòõã",)
"""Letters of Western Europe. One file may hold several of its languages."""
CENTRAL = ("ąćęłńóśźż", "áčďéěíňóřšťúůýžäľô", "áéíóöőúüű", "ăâîșțşţ", "čćđšž", "äöüß")
"""Letters of Polish, Czech and Slovak, Hungarian, Romanian, Croatian and Slovene, German."""
LETTERS = {
    "cp1252": WESTERN,
    "cp1250": CENTRAL,
    "iso8859_2": CENTRAL,
    "iso8859_15": WESTERN,
    "cp1257": ("ąčęėįšųūž", "āčēģīķļņšūž", "äõöüšž"),  # Lithuanian, Latvian, Estonian
    "cp850": WESTERN,
    "cp852": CENTRAL,
    "mac_roman": WESTERN,
}
"""Encodings of one byte per letter, with the letters of languages that are written in Latin.

The most frequent encoding comes first.
"""
GREEK, CYRILLIC = "αάοόιίεέτσςνηήρ", "аеиотнср"
FREQUENT = {
    **{"cp1253": GREEK, "iso8859_7": GREEK, "cp737": GREEK},
    **{"cp1251": CYRILLIC, "koi8_r": CYRILLIC, "cp866": CYRILLIC, "iso8859_5": CYRILLIC},
}
"""The same for other scripts, with their most frequent letters.

All letters would tell nothing: those of one encoding are letters of the others too.
"""
RUN = re.compile(rb"[\x80-\xff]{3,}")
"""Letters beyond ASCII side by side, rare where they are accents in Latin words."""
UTF_8 = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
CLEAR = 1.3
"""Ratio of the share of frequent letters to the next one from which an encoding is certain."""


@dataclass(frozen=True)
class EncodingGuess:
    """The encoding of a file, None where its bytes do not tell, and what speaks for it.

    The candidates have a name and what speaks for it, the likeliest first.
    """

    name: str | None
    why: tuple[str, ...]
    candidates: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class _HighBytes:
    """The bytes above 127 of a file, and how many stand in long runs and in letters of UTF-8."""

    letters: Counter[int]
    in_runs: int
    in_utf_8: int

    @property
    def total(self) -> int:
        return sum(self.letters.values())


def encoding_of(path: Path, file_format: FileFormat) -> EncodingGuess:
    """Return the encoding of the text file ``path``, a question where its letters do not tell."""
    with open_bytes(path, file_format) as file:
        head = file.read(4096)
    for mark, name in MARKS.items():
        if head.startswith(mark):
            return _decided("", f"{name}, by its byte order mark")
    first, second = head[::2].count(0), head[1::2].count(0)
    # A value or two may hold a NUL in any file: it is the many digits and delimiters that tell.
    if max(first, second) > len(head) / 8:
        name = "utf-16-le" if second > first else "utf-16-be"
        return _decided(name, "every other byte is empty")
    if _is_utf_8(path, file_format):
        return _decided("utf-8", "all bytes are UTF-8")
    high = _high_bytes(path, file_format)
    if 2 * high.in_utf_8 > high.total:
        return _of_two_encodings(high)
    return _one_byte_encoding(high)


def _decided(name: str, *why: str) -> EncodingGuess:
    return EncodingGuess(name, why)


def _chunks(path: Path, file_format: FileFormat) -> Iterator[bytes]:
    with open_bytes(path, file_format) as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _is_utf_8(path: Path, file_format: FileFormat) -> bool:
    # A chunk may end within a letter, which only an incremental decoder carries over.
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for chunk in _chunks(path, file_format):
            decoder.decode(chunk)
        # A file that ends within a letter is not UTF-8.
        decoder.decode(b"", final=True)
    except UnicodeError:
        return False
    return True


def _high_bytes(path: Path, file_format: FileFormat) -> _HighBytes:
    letters: Counter[int] = Counter()
    in_runs = in_utf_8 = 0
    for chunk in _chunks(path, file_format):
        letters.update(chunk.translate(None, ASCII))
        in_runs += sum(map(len, RUN.findall(chunk)))
        in_utf_8 += sum(map(len, UTF_8.findall(chunk)))
    return _HighBytes(letters, in_runs, in_utf_8)


def _of_two_encodings(high: _HighBytes) -> EncodingGuess:
    """Return the question about a file most of which is UTF-8, but not all."""
    why = (
        f"{high.total - high.in_utf_8:,} of {high.total:,} bytes beyond ASCII are not UTF-8, the "
        "others are: files of two encodings were put together. Name them one by one, or correct "
        "the lines",
    )
    return EncodingGuess(None, why, (("cp1252", "if the other letters may be spoilt"),))


def _one_byte_encoding(high: _HighBytes) -> EncodingGuess:
    """Return the encoding whose letters are those of a European text.

    It is a question where two encodings are as good.
    """
    # Words of another script have no letter of ASCII between the others.
    another_script = high.in_runs > 0.6 * high.total
    texts: dict[str, str] = {}
    for name in FREQUENT if another_script else LETTERS:
        try:
            texts[name] = bytes(high.letters).decode(name)
        except UnicodeError:
            continue
    scores = _frequent(high, texts) if another_script else _usual(high, texts)
    best = max(scores.values(), default=0.0)
    near = best / CLEAR if another_script else best
    # Encodings that give the same letters are one choice.
    # Backwards, so that the most frequent of them is written last and stays.
    ranked = {texts[name]: name for name in reversed(texts) if scores[name] >= near}
    fitting = [name for name in texts if name in ranked.values()]
    # The others have to fit better than those of Windows, because hardly a program writes them.
    if not another_script:
        fitting = [name for name in fitting if name.startswith("cp125")] or fitting
    # A pilcrow in the place of a letter shows the wrong one of two similar encodings.
    clean = [n for n in fitting if all(sign.isalpha() or sign in SIGNS for sign in texts[n])]
    fitting = clean or fitting
    fitting.sort(key=lambda name: -scores[name])
    candidates = [
        (name, f"its letters are {' '.join(sorted(texts[name])[:12])}")
        for name in [*fitting, *(name for name in texts if name not in fitting)]
    ]
    enough = 0.4 if another_script else 0.9
    if best >= enough and len(fitting) == 1:
        return _decided(fitting[0], "not UTF-8", candidates[0][1])
    return EncodingGuess(None, ("not UTF-8",), tuple(candidates))


def _usual(high: _HighBytes, texts: Mapping[str, str]) -> dict[str, float]:
    """Return for each encoding the share of letters that one of its languages has."""
    scores = {}
    for name, text in texts.items():
        counted = list(zip(text, high.letters.values(), strict=True))
        scores[name] = max(
            sum(n for letter, n in counted if letter in language + language.upper() + SIGNS)
            for language in LETTERS[name]
        )
    return {name: score / high.total for name, score in scores.items()}


def _frequent(high: _HighBytes, texts: Mapping[str, str]) -> dict[str, float]:
    """Return for each encoding the share of its script's most frequent letters."""
    return {
        name: sum(
            n
            for letter, n in zip(text, high.letters.values(), strict=True)
            if letter.lower() in FREQUENT[name]
        )
        / high.total
        for name, text in texts.items()
    }
