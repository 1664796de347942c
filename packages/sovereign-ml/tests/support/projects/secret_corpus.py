"""The corpus of secrets with values made up at test time, and a comparison with detect-secrets.

Run ``python secret_corpus.py`` where detect-secrets is installed: it prints recall and precision of both scanners.
"""

import random
import re
import string
import tempfile
from collections.abc import Callable
from pathlib import Path

CORPUS = Path(__file__).parents[2] / "data" / "secrets.tsv"
ALPHABETS = {
    "a": string.ascii_letters + string.digits,
    "h": "0123456789abcdef",
    "u": string.ascii_uppercase + "234567",
    "d": string.digits,
    "w": string.ascii_letters + string.digits + "_-",
    "b": string.ascii_letters + string.digits + "+/",
    "l": string.ascii_letters,
    "k": string.ascii_lowercase + string.digits,
}


def corpus(seed: int = 7) -> list[tuple[str, str, str]]:
    """Return rows of SECRET or NONE, file name and text."""
    chosen = random.Random(seed)
    rows = []
    for line in CORPUS.read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            continue
        made = re.sub(
            rf"<([{''.join(ALPHABETS)}])(\d+)>",
            lambda match: "".join(chosen.choices(ALPHABETS[match[1]], k=int(match[2]))),
            line,
        )
        expected, file, text = made.split("\t")
        rows.append((expected, file, text.replace("\\n", "\n")))
    return rows


def measured(scanner: Callable[[str, str], bool]) -> tuple[int, int, int, int]:
    """Return secrets found, all secrets, false alarms and all harmless rows for ``scanner(text, file)``."""
    rows = corpus()
    secrets = [row for row in rows if row[0] == "SECRET"]
    harmless = [row for row in rows if row[0] == "NONE"]
    found = sum(scanner(text, file) for _, file, text in secrets)
    false = sum(scanner(text, file) for _, file, text in harmless)
    return found, len(secrets), false, len(harmless)


def ours(text: str, file: str) -> bool:
    """Return True where the scan of `churn audit --secrets` has a hit."""
    from sovereign_ml.audit.secrets import secrets_in

    return any(secrets_in(text, file))


def detect_secrets(text: str, file: str) -> bool:
    """Return True where detect-secrets with its default plugins has a hit."""
    from detect_secrets import SecretsCollection
    from detect_secrets.settings import default_settings

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
        collection = SecretsCollection()
        with default_settings():
            collection.scan_file(str(path))
        return bool(list(collection))


if __name__ == "__main__":
    for name, scanner in (("churn audit", ours), ("detect-secrets", detect_secrets)):
        found, secrets, false, harmless = measured(scanner)
        print(
            f"{name:15} found {found} of {secrets} ({found / secrets:.0%}), "
            f"false alarms {false} of {harmless}, precision {found / (found + false):.0%}"
        )
