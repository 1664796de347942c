"""How easy a text is to read: Flesch 1948 for English, Amstad 1978 for German; 60 and more is plain."""

from __future__ import annotations

import re

_VOWELS = {"en": r"[aeiouy]+", "de": r"(?:au|ei|eu|äu|ie|ai|[aeiouäöüy])"}


def reading_ease(text: str, language: str) -> float:
    """Return the reading ease of whole sentences, about 0 (hard) to 100 (easy)."""
    words = re.findall(r"[A-Za-zÄÖÜäöüß]+", text)
    sentences = max(1, len(re.findall(r"[.!?:](?:\s|$)", text)))
    syllables = sum(_syllables(word.casefold(), language) for word in words)
    length, weight = len(words) / sentences, syllables / len(words)
    if language == "de":
        return 180 - length - 58.5 * weight
    return 206.835 - 1.015 * length - 84.6 * weight


def _syllables(word: str, language: str) -> int:
    found = len(re.findall(_VOWELS[language], word))
    silent = language == "en" and word.endswith("e") and not word.endswith("le") and found > 1
    return max(1, found - silent)
