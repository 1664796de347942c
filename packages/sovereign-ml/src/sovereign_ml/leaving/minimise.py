"""Minimisation of names, parameters and tags that people wrote (GDPR Art. 5(1)(c)).

Every name and value from SageMaker passes here. Removed content is counted, never repeated.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from sovereign_ml.audit.pii_scan import FREE_TEXT_WORDS, IDENTIFIER_NAMES, bucket, values_in

COHORT = {
    *("cohort", "cohorts", "segment", "segments", "audience", "audiences", "consent", "consented"),
    *("gdpr", "pii", "subpopulation"),
    *("kohorte", "kohorten", "zielgruppe", "zielgruppen", "einwilligung", "dsgvo", "rgpd"),
    *("cohorte", "cohortes", "consentement", "consentimiento", "consenso", "doelgroep"),
}
_PEOPLE = {
    *("users", "customers", "subjects", "observations", "people", "persons", "clients", "members"),
    *("patients", "subscribers", "visitors", "households", "accounts", "employees", "buyers"),
    *("individuals", "consumers", "shoppers", "learners", "students"),
    *("kunden", "nutzer", "benutzer", "personen", "mitglieder", "patienten", "teilnehmer"),
    *("clientes", "utilisateurs", "usuarios", "clienti", "utenti", "klanten", "gebruikers"),
}
_PERSON = {
    *("user", "customer", "subject", "person", "client", "member", "patient", "subscriber"),
    *("visitor", "household", "employee", "individual", "consumer", "shopper", "buyer", "student"),
    *("kunde", "kundin", "mitglied", "patientin", "cliente", "usuario", "utilisateur", "utente"),
    *("klant", "gebruiker"),
}
_COUNT = frozenset(["count", "counts", "total", "number", "num", "n", "size", "amount"])
_FREE = frozenset(["failurereason", "exitmessage", "statusmessage", "description"])
_STAFF = {
    *("createdby", "lastmodifiedby", "userprofilename", "userprofilearn", "iamidentity"),
    *("principalid", "sourceidentity", "username", "userprofile", "owner", "owners", "ownername"),
    *("author", "commitauthor", "committer", "maintainer", "contact", "contactperson", "assignee"),
    *("modifiedby", "updatedby", "startedby", "launchedby", "submittedby", "requestedby"),
    *("approvedby", "approver", "reviewer", "responsible", "besitzer", "verantwortlich"),
    *("verantwortlicher", "ansprechpartner", "ansprechpartnerin"),
}
_ADDRESS = re.compile(
    r"(?i)\b[a-z][a-z0-9+.-]{1,20}://\S|\barn:aws[\w-]*:|\b\d{12}\.dkr\.ecr\.|\bfs-[0-9a-f]{8,17}\b"
    r"|\b[\w.-]+\.amazonaws\.(?:com|eu)|\b[\w-]+\.(?:sagemaker|on|api)\.aws\b"
    r"|\b[\w.-]+\.compute\.internal\b"
    # The folder of a home and a share of Windows name whose they are.
    r"|(?<![\w.])/(?:home|Users)/\w|\b[a-z]:[\\/]Users[\\/]|(?<!\\)\\\\[\w.-]+\\"
)
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:pass(?:word|wd|phrase|wort)|pwd|kennwort|credentials?|secret|dsn"
    r"|(?:access|account|api|auth|encryption|master|private|secret|shared|signing|storage)_?key"
    r"|(?:access|api|auth|bearer|bot|git|github|gitlab|hf|hub|id|personal|refresh|sas|security"
    r"|service|session)_?token|connection_?string)$"
)
_SECRET_VALUE = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[oprsu]_\w{30,}"
    r"|\bgithub_pat_\w{20,}|\bglpat-[\w-]{20}|\bhf_[A-Za-z]{30,}|\bxox[abprs]-\w|\bsk-[\w-]{20,}"
    r"|(?i:\b(?:password|passwd|pwd|accountkey|sharedaccesskey)\s*=\s*[^\s;&]{4})"
    r"|(?i:\b(?:x-amz-signature|sig)=[^\s;&]{16})"
    r"|://[^/\s:@]*:[^/\s@]+@"
)
_NO_SECRET = re.compile(r"(?i)|true|false|none|null|yes|no|nan|-?[\d.]{1,12}")
# Lengths of a UUID and of MD5, SHA-1 and SHA-256. A hashed id is still a pseudonym of a
# person, and so personal data (GDPR recital 26).
_RECORD_ID = re.compile(
    r"(?i)\b(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})\b"
)
_NUMBER = re.compile(r"[+-]?(?:\d[\d,_]*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_DATE = re.compile(r"(?:19|20)\d\d(?:[01]\d(?:[0-3]\d)?)?")
_SMALLEST = 10
"""Smallest count of people that becomes a range. ``min_users = 3`` is rather a setting."""
# MLflow allows 250 characters, and "original." comes in front of some keys.
_LONGEST_KEY = 240


def words_of(name: str) -> list[str]:
    """Return the words of a name in lower case, split at case and punctuation."""
    parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    return [word.lower() for word in re.split(r"[\W_]+", parts) if word]


def is_cohort(text: str) -> bool:
    """Return whether a word of ``text`` tells how people were selected."""
    return not COHORT.isdisjoint(words_of(text))


def names_people(text: str) -> bool:
    """Return whether a word of ``text`` is one for people, such as customer or users."""
    return not (_PEOPLE | _PERSON).isdisjoint(words_of(text))


def has_person_number(text: str) -> bool:
    """Return whether a word for a person has a number behind it that is no date: customer-8123456."""
    words = [word for word in words_of(text) if word not in ("id", "no", "nr", "number")]
    return any(
        # Shorter numbers are mostly versions or counts, as in customer_v2.
        word in _PERSON and len(number) >= 4 and number.isdigit() and not _DATE.fullmatch(number)
        for word, number in pairwise(words)
    )


def is_secret(name: str, text: str) -> bool:
    """Return whether a value is a password, key or token, by its name or by itself."""
    if _SECRET_VALUE.search(text):
        return True
    if _NO_SECRET.fullmatch(text.strip()):
        return False
    words = words_of(name)
    # Tokenisers have tokens too, such as [PAD].
    is_token = words[-1:] == ["token"] and re.fullmatch(r"(?=.*\d)[\w./+=-]{16,}", text)
    return bool(is_token or _SECRET_NAME.search("_".join(words)))


def is_person_key(name: str) -> bool:
    """Return whether a name is that of a key that identifies a person."""
    return bool(IDENTIFIER_NAMES.search("_".join(words_of(name))))


def is_address(text: str) -> bool:
    """Return whether ``text`` contains an address in a cloud."""
    return bool(_ADDRESS.search(text))


@dataclass
class Minimiser:
    """Rules with the project's key.

    ``left_out`` counts removed content by reason, ``places`` maps marks to addresses.
    """

    key: bytes
    keep: frozenset[str] = frozenset()
    left_out: Counter[str] = field(default_factory=Counter)
    places: dict[str, str] = field(default_factory=dict)
    kept_on_request: set[str] = field(default_factory=set)

    def value(self, name: str, value: str | float) -> str | None:
        """Return the minimised value of a parameter or tag, or None if it is removed."""
        text = number_text(value) if isinstance(value, (int, float)) else str(value)
        if name in self.keep:
            self.kept_on_request.add(name)
            return text
        if reason := self._reason(name, text):
            self.left_out[reason] += 1
            return None
        if is_address(text):
            return self.place(text)
        number = _whole(text)
        if number is not None and _counts_people(words_of(name)) and number >= _SMALLEST:
            self.left_out["number of people, as a range"] += 1
            return bucket(number)[0]
        return text

    def values(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Return the minimised values of parameters or tags by name, without the removed ones."""
        minimised = {}
        for name, value in values.items():
            if personal_value(name) or is_address(name):
                self.left_out["identifier"] += 1
            elif (new := self.value(name, value)) is not None:
                minimised[name] = new
        return minimised

    def _reason(self, name: str, text: str) -> str:
        """Return the reason to remove a value, "" if it stays or becomes a range or a mark."""
        words = words_of(name)
        joined, counted = "".join(words), _counts_people(words)
        # An address becomes a mark, whatever else it contains.
        address = is_address(text)
        reasons = {
            # The tracking server is read by more people than the job was.
            "password, key or token": is_secret(name, text),
            "employee": joined in _STAFF,
            "free text": joined in _FREE or (not address and len(text.split()) > FREE_TEXT_WORDS),
            # The SDK puts its own settings here, such as sagemaker_submit_directory.
            "setting of SageMaker's own": name.startswith("sagemaker_"),
            "cohort": is_cohort(name) or (not address and is_cohort(text)),
            "identifier": is_person_key(name)
            or (words[-1:] and words[-1] in _PERSON and not counted)
            or (not address and (personal_value(text) or has_person_number(text))),
        }
        return next((reason for reason, holds in reasons.items() if holds), "")

    def place(self, address: str) -> str:
        """Return a mark for an address, the same for the same address."""
        mark = f"place-{self.mark('place', address)}"
        # The address itself goes into a private file outside git, `progress.PLACES`.
        self.places[mark] = address
        self.left_out["address, as a mark"] += 1
        return mark

    def title(self, name: str, kind: str = "run") -> str:
        """Return the name of a run, experiment or model, or a mark if it tells about people."""
        if name in self.keep:
            return name
        words = set(words_of(name))
        bad = is_cohort(name) or personal_value(name) or is_address(name)
        # A word such as "customer" beside a long number is most likely somebody's id.
        is_person = bool(words & _PERSON) and bool(re.search(r"\d{4}", name))
        if bad or is_person or len(name.split()) > FREE_TEXT_WORDS:
            self.left_out[f"name of a {kind}, as a mark"] += 1
            return f"{kind}-{self.mark(kind, name)}"
        return name

    def metric(self, name: str) -> str:
        """Return a metric's name, with a mark in place of a group of people."""
        parts = re.split(r"[._/:-]", name)
        if not is_cohort(name) and not any(personal_value(part) for part in parts):
            return name
        self.left_out["group of a metric, as a mark"] += 1
        # The measure in front, such as auc, says nothing about people.
        head = re.match(r"[a-zA-Z]+(?=[._/:-])", name)
        mark = f"group-{self.mark('group', name)[:4]}"
        return f"{head[0]}.{mark}" if head else mark

    def mark(self, kind: str, text: str) -> str:
        """Return a mark for ``text``, the same for the same text, but only in this project."""
        # Names are few. Without the key, anybody could hash them all and compare.
        return hmac.digest(self.key, f"leaving {kind} {text}".encode(), "sha256").hex()[:8]


def _counts_people(words: list[str]) -> bool:
    return not _PEOPLE.isdisjoint(words) or not (
        _PERSON.isdisjoint(words) or _COUNT.isdisjoint(words)
    )


def number_text(value: float) -> str:
    """Return a number as a training script wrote it. SageMaker turns 512 into 512.0."""
    # From 2**53 on a float may differ from the integer that was meant.
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return repr(value)


def personal_value(text: str) -> bool:
    """Return whether a value is an e-mail address, a personal number or a record's id."""
    return bool(_RECORD_ID.search(text)) or any(True for _ in values_in(text))


def _whole(text: str) -> int | None:
    if not _NUMBER.fullmatch(text.strip()):
        return None
    number = float(text.replace(",", "").replace("_", ""))
    return int(number) if math.isfinite(number) else None


def marks_key(project_key: bytes) -> bytes:
    """Return the key of marks, from which nobody can compute the key of the pseudonyms."""
    return hmac.digest(project_key, b"marks of leaving", "sha256")


def arn_mark(arn: str) -> str:
    """Return the mark of an imported record, which a rotation of the project's key keeps."""
    return hashlib.sha256(arn.encode()).hexdigest()[:32]


def experiment_of(project: str, name: str, minimiser: Minimiser) -> str:
    """Return the MLflow experiment for SageMaker's experiment ``name``."""
    keys, _ = safe_keys({minimiser.title(name, "experiment"): ""})
    return f"{project}/{next(iter(keys))}"


def safe_keys(values: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return ``values`` under keys that MLflow accepts, and the original of each changed key.

    MLflow refuses characters other than letters, digits and ``_-. :/``, and names that are no
    plain path.
    """
    keys: dict[str, str] = {}
    originals: dict[str, str] = {}
    folded: set[str] = set()
    for name, value in values.items():
        key = safe_key(name)
        # Some databases of MLflow, such as MySQL, compare keys without regard to case.
        if key.lower() in folded:
            mark = hashlib.sha256(name.encode()).hexdigest()[:6]
            key = f"{key[: _LONGEST_KEY - 7]}-{mark}"
        keys[key] = value
        folded.add(key.lower())
        if key != name:
            originals[key] = name[:400]
    return keys, originals


def safe_key(name: str) -> str:
    """Return ``name`` as a key that MLflow accepts. Two names may have the same key."""
    key = re.sub(r"[^\w.\- /:]", "_", name, flags=re.ASCII)[:_LONGEST_KEY]
    parts = [part.strip() for part in key.split("/")]
    key = "/".join(part for part in parts if part.strip(".")).strip() or "_"
    return key.strip("/.") or "_"
