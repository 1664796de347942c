"""Comparison of people's names.

It finds out whether a text names a person, and whether two texts name the same one. Four eyes rest
on this comparison, so it errs on the safe side: initials, second names, accents, order, capital
letters and letters that only look alike make no other person.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from itertools import takewhile
from typing import Final

__all__ = ["author_is", "hidden_in", "is_named_person", "names_somebody", "plain", "same_person"]

NAMED: Final = re.compile(r"[^\W\d_][\w.'’-]*(,? [^\W\d_][\w.'’-]*)+")
NOT_A_PERSON: Final = re.compile(
    r"\b(team|bot|admin|owner|officer|department|service|ci|pipeline|group|committee|head of"
    r"|director|manager|scientist|analyst|chief|ceo|cto|cio|cfo|dpo|lead)\b",
    re.I,
)
WITHOUT_SPACES: Final = frozenset({"CJK", "HIRAGANA", "KATAKANA", "HANGUL"})
SCRIPTS: Final = WITHOUT_SPACES | {
    *("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "GEORGIAN", "HEBREW", "ARABIC", "THAI"),
    *("DEVANAGARI", "BENGALI", "GUJARATI", "GURMUKHI", "TAMIL", "TELUGU", "ETHIOPIC"),
}
FILLERS: Final = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
"""Letters and marks that show nothing."""
LOOKALIKES: Final = str.maketrans(
    "авекмнорстухіјѕԁԛԝһьӏгпиαβγεζηικμνορςτυχωσλıɑɩ",
    "abekmhopctyxijsdqwhblrnuabyeznikuvopctuxwoliai",
)
"""Cyrillic, Greek and rare Latin letters, and the Latin letter that each looks like."""
LONG_ENOUGH: Final = 8
"""From this many letters of a whole name on, one letter more, less or other is a slip."""
ALIKE: Final = str.maketrans({"æ": "a", "œ": "o", "i": "l", "1": "l", "|": "l", "0": "o"})
"""Letters that sound alike, and small and capital letters and digits that look alike in print."""
SOUNDS: Final = str.maketrans(
    {
        **dict(zip("абвгдезиклмнопрстуфыіў", "abvgdeziklmnoprstufiiu", strict=True)),
        **dict(zip("αβγδεζηθικλμνξοπρσςτυφω", "avgdezitiklmnxoprsstyfo", strict=True)),
        **{"ж": "zh", "х": "kh", "ц": "ts", "ч": "ch", "ш": "sh", "щ": "sh", "ю": "yu", "я": "ya"},
        **{"э": "e", "є": "ye", "ґ": "g", "ъ": "", "ь": "", "χ": "ch", "ψ": "ps"},
        **{"љ": "lj", "њ": "nj", "џ": "dz", "ђ": "dj", "ћ": "ch", "ј": "j"},
    }
)
"""Cyrillic and Greek letters as they are usually written in Latin ones."""
GREEK: Final = (("μπ", "b"), ("ντ", "d"), ("γκ", "g"), ("ου", "u"), ("(?<=[αε])υ", "v"))
"""Two letters with one sound."""
SPELLINGS: Final = (
    (r"(?<=[aou])e", ""),
    (r"tsch|tch|sch|sh|sz|tz|ts|zh|ch|cz|[csz]", "s"),
    *((r"ph", "f"), (r"th", "t"), (r"kh", "h"), (r"gh", "g"), (r"ck|q", "k"), (r"x", "ks")),
    (r"[vw]", "f"),
    *((r"h", ""), (r"ou|oo|[ou]", "u"), (r"[eiyj]+", "i"), (r"(.)\1+", r"\1")),
)
"""Spellings of one name in different countries, and the letter that stands for all of them."""
TITLES: Final = frozenset(
    (
        *("mr", "mrs", "ms", "miss", "mx", "dr", "drs", "prof", "professor", "sir", "madam", "hr"),
        *("herr", "frau", "mme", "mlle", "monsieur", "madame", "señor", "señora", "signor"),
        *("signora", "mevrouw", "meneer", "dipl", "dipling", "dring", "drmed", "drrernat"),
        *("lady", "lord", "count", "countess", "baroness", "viscountess", "duchess"),
        *("gräfin", "graf", "freifrau", "freiherr", "baronin", "prinzessin"),
        *("comtesse", "contessa", "condesa", "baronne", "baronesa", "baronessa", "fräulein"),
        *("mademoiselle", "signorina", "señorita", "doña", "mejuffrouw", "fru", "rouva", "herra"),
        *("pani", "mister", "missis", "mistress", "reverend", "rev", "captain", "capt", "colonel"),
        *("lieutenant", "kapitän", "oberst", "hofrat", "hofrätin", "magister", "magistra"),
        *("doktor", "doctor", "professorin", "госпожа", "господин", "κυρία", "κύριος"),
    )
)
"""Titles and forms of address in front of a name, or behind it and a comma."""
ABBREVIATED: Final = frozenset(
    (
        *("fr", "sr", "sra", "srta", "sig", "dott", "dottssa", "ing", "mag", "doc", "mgr", "phdr"),
        *("judr", "mudr", "dhr", "mevr", "med", "rer", "nat", "phil", "jur", "hc", "habil"),
    )
)
"""Titles only with a full stop: without it some are first names or surnames."""
PARTICLES: Final = re.compile(r"^((von|van|der|den|de|del|della|di|da|dos|du|zu|zum|af|of) )+")
"""Small words in front of a surname."""
DEGREES: Final = frozenset(("phd", "dphil", "mba", "msc", "bsc", "llm", "esq", "jr"))
"""Degrees and the like behind a name."""
LATIN: Final = re.compile(r"LATIN .*\b([A-Z])( WITH .*)?")


def plain(name: str) -> str:
    """Return the name in NFKC with single spaces: full-width and decorated letters become plain."""
    return " ".join(unicodedata.normalize("NFKC", name).split())


def hidden_in(name: str) -> str:
    """Return what a reader of the name cannot see, or "" for an honest one."""
    for sign in name:
        # Control, format, unassigned, private-use and surrogate characters.
        if sign in FILLERS or unicodedata.category(sign) in ("Cc", "Cf", "Cn", "Co", "Cs"):
            return f"the invisible character U+{ord(sign):04X}"
    scripts = {_script(sign) for sign in plain(name) if sign.isalpha()}
    if unknown := sorted(scripts - SCRIPTS):
        return f"letters of the script {unknown[0].title()}, which look like others"
    # Chinese, Japanese and Korean scripts may stand side by side in one name.
    if len(scripts) > 1 and not scripts <= WITHOUT_SPACES:
        return f"letters of several scripts ({', '.join(s.title() for s in sorted(scripts))})"
    return ""


def _untitled(name: str) -> str:
    """Return the name without titles and small words in front, and titles and degrees behind.

    Nobody becomes another person by a title.
    """
    parts = plain(name).split()
    # What a comma follows is a surname: Graf, Steffi.
    while parts and _is_title(parts[0]) and not parts[0].endswith(","):
        parts = parts[1:]
    has_comma = any(part.endswith(",") for part in parts[:-1])
    while parts and (_bare(parts[-1]) in DEGREES or (has_comma and _is_title(parts[-1]))):
        parts = parts[:-1]
    # "von Lovelace" has no first name; "Van Morrison" has.
    return PARTICLES.sub("", " ".join(parts).rstrip(","))


def _is_title(part: str) -> bool:
    return _bare(part) in TITLES or (part.endswith(".") and _bare(part) in ABBREVIATED)


def _bare(part: str) -> str:
    return re.sub(r"[^\w]", "", part).casefold()


def is_named_person(name: str) -> bool:
    """Return whether ``name`` reads as first and last name of a person.

    A role, team or machine is no person, and a title is no first name. Initials alone are nobody's
    name: "A. L." is everybody whose names begin so.
    """
    visible = _untitled(name)
    if hidden_in(name) or NOT_A_PERSON.search(visible):
        return False
    letters = [sign for sign in visible if sign.isalpha()]
    # These scripts put no space between the parts of a name.
    if len(letters) > 1 and {_script(sign) for sign in letters} <= WITHOUT_SPACES:
        return visible.replace(" ", "").isalpha()
    whole = [part for part in re.findall(r"[^\W\d_]+", visible) if len(part) > 1]
    return bool(whole and NAMED.fullmatch(visible))


def names_somebody(author: str) -> bool:
    """Return whether a text such as ``Name <mail>`` holds a letter or a digit at all."""
    return re.search(r"\w", author) is not None


def same_person(name: str, other: str) -> bool:
    """Return whether two names may be those of one person.

    They are compared as they look and as they sound in Latin letters. Every part of the shorter
    name is a part of the longer one, or begins it, and one part is whole.
    """
    # Without its titles a name may be empty, such as "Dr". Then it is compared as it is.
    name, other = _untitled(name) or name, _untitled(other) or other
    return _alike(_words(name), _words(other)) or _alike(_sounds(name), _sounds(other))


def _alike(words: list[str], other: list[str]) -> bool:
    joined, other_joined = "".join(words), "".join(other)
    # In a very short name such a match may be chance.
    if len(joined) == len(other_joined) > 5 and joined in other_joined * 2:
        return True  # "Ada Love Lace": the same letters in order, the spaces elsewhere
    # One slip in a long name makes no other person.
    if _one_letter_apart("".join(sorted(words)), "".join(sorted(other))):
        return True
    # Long parts come first: a short one may begin several of the others.
    shorter, longer = sorted((_by_length(words), _by_length(other)), key=len)
    unmatched, whole = list(longer), 0
    for part in shorter:
        # Whole parts before beginnings, so that an initial uses up no whole name.
        match = next((candidate for candidate in unmatched if candidate == part), None)
        whole += match is not None and len(part) > 1
        match = match or next(
            (candidate for candidate in unmatched if _begins(part, candidate)), None
        )
        if match is None:
            return False
        unmatched.remove(match)
    return whole > 0


def author_is(person: str, authors: Iterable[str]) -> bool:
    """Return whether ``person``, a name or ``Name <mail>``, is one of the git authors ``Name <mail>``."""
    return any(_same_identity(person, author) for author in authors)


def _same_identity(identity: str, other: str) -> bool:
    (name, mail), (other_name, address) = _split(identity), _split(other)
    # One mail address is one person, whatever the names are.
    if mail and mail == address:
        return True
    # Many mail addresses have the name in them.
    mine = [text for text in (name, _local_part(mail)) if text]
    theirs = [text for text in (other_name, _local_part(address)) if text]
    return any(same_person(a, b) for a in mine for b in theirs)


def _split(identity: str) -> tuple[str, str]:
    name, _, mail = identity.partition("<")
    mail = mail.rstrip("> ")
    if not mail and "@" in name:
        name, mail = "", name
    return name.strip(), plain(mail).casefold()


def _local_part(mail: str) -> str:
    # Digits are often added to a name that was taken.
    return re.sub(r"[\d._+-]+", " ", mail.partition("@")[0]).strip()


def _by_length(words: list[str]) -> list[str]:
    return sorted(words, key=len, reverse=True)


def _sounds(name: str) -> list[str]:
    """Return the words as they sound: "Каренина" and "Karenina" are one, "Yuri" and "Juri" too."""
    # A sign that nobody sees makes no other person.
    visible = "".join(sign for sign in name if not hidden_in(sign) or sign.isalpha())
    apart = unicodedata.normalize("NFKD", plain(visible).casefold())
    spelled = "".join(sign for sign in apart if not unicodedata.combining(sign))
    # The order matters: pairs of Greek letters, then single letters, then the spellings.
    for letters, sound in GREEK:
        spelled = re.sub(letters, sound, spelled)
    spelled = "".join(_latin(sign) for sign in spelled.translate(SOUNDS))
    for letters, sound in SPELLINGS:
        spelled = re.sub(letters, sound, spelled)
    return re.findall(r"[^\W\d_]+", spelled)


def _one_letter_apart(text: str, other: str) -> bool:
    """Return whether one letter was changed, added, left out, or two were turned around."""
    shorter, longer = sorted((text, other), key=len)
    if len(shorter) < LONG_ENOUGH or len(longer) - len(shorter) > 1:
        return False
    start = _common(shorter, longer)
    end = _common(shorter[::-1], longer[::-1])
    apart = len(longer) - start - end
    return apart <= 1 or (apart == 2 and sorted(text) == sorted(other))


def _words(name: str) -> list[str]:
    """Return the words as they sound and look: "Mueller" is "Müller", a doubled letter is a single one."""
    spelled = re.sub(r"(?<=[aou])e", "", _skeleton(name).translate(ALIKE))
    return re.findall(r"[^\W\d_]+", re.sub(r"(.)\1+", r"\1", spelled))


def _skeleton(name: str) -> str:
    """Return the name as it looks: small letters without accents, lookalikes as the Latin letter."""
    visible = "".join(sign for sign in name if not hidden_in(sign) or sign.isalpha())
    apart = unicodedata.normalize("NFKD", plain(visible).casefold())
    bare = "".join(sign for sign in apart if not unicodedata.combining(sign))
    return "".join(_latin(sign) for sign in bare.translate(LOOKALIKES))


def _latin(sign: str) -> str:
    if sign.isascii():
        return sign
    match = LATIN.fullmatch(unicodedata.name(sign, ""))
    return match[1].lower() if match else sign


def _common(text: str, other: str) -> int:
    """Return with how many equal letters both begin."""
    return sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(text, other, strict=False))
    )


def _begins(word: str, other: str) -> bool:
    """Return whether one is an initial or another beginning of the other, such as "Alex" of "Alexander"."""
    return word.startswith(other) or other.startswith(word)


def _script(sign: str) -> str:
    return unicodedata.name(sign, "UNKNOWN").partition(" ")[0]
