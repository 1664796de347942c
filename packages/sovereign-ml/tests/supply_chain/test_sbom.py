"""The bill of materials of a lock: complete, valid, the same bytes each time; a lock without hashes is refused."""

import json
from pathlib import Path

import pytest

from small_project import PROJECT
from sovereign_ml.supply_chain.lockfile import LockError, Pin, read_lock
from sovereign_ml.supply_chain.sbom import licence_of, licences, sbom

LOCKS = PROJECT / "requirements"
HASH = "0" * 64
LOCK = f"""\
# made by uv
numpy==2.2.0 \\
    --hash=sha256:{HASH} \\
    --hash=sha256:{"1" * 64}
    # via -r train.in
pywin32==312 ; sys_platform == 'win32' \\
    --hash=sha256:{HASH}
uvicorn[standard]==0.40 \\
    --hash=sha256:{HASH}
"""


def lock(folder: Path, text: str = LOCK) -> Path:
    path = folder / "train.lock"
    path.write_text(text)
    return path


def test_a_lock_is_read_with_versions_hashes_and_markers(tmp_path):
    pins = read_lock(lock(tmp_path))
    assert [(pin.name, pin.version, len(pin.hashes), pin.marker) for pin in pins] == [
        ("numpy", "2.2.0", 2, ""),
        ("pywin32", "312", 1, "sys_platform == 'win32'"),
        ("uvicorn", "0.40", 1, ""),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("numpy==2.2.0\n", "without a hash: numpy"),
        ("numpy>=2\n", "train.lock:1: 'numpy>=2' is not name==version"),
        ("--index-url https://index.example\n", "is not name==version"),
        (f"    --hash=sha256:{HASH}\n", "is not name==version"),
    ],
)
def test_a_file_that_locks_nothing_is_refused(tmp_path, text, message):
    with pytest.raises(LockError, match=message):
        read_lock(lock(tmp_path, text))


def test_licences_come_from_the_installed_packages():
    assert licence_of("typer") == "MIT"
    assert licence_of("requests") == "Apache-2.0"
    assert licence_of("no-such-package-anywhere") == "unknown"


@pytest.mark.parametrize("name", ["train", "serve", "dev"])
def test_every_lock_of_the_project_gives_a_valid_document_with_every_package(name):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    pins = read_lock(LOCKS / f"{name}.lock")
    document = sbom(pins, name="acme-churn", version="0.1.0")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document)) is None
    assert len(document["components"]) == len(pins) > 50
    assert all(part["externalReferences"][0]["hashes"] for part in document["components"])
    unlicensed = [part["name"] for part in document["components"] if "licenses" not in part]
    assert len(unlicensed) < len(pins) / 20
    assert sum(len(names) for names in licences(pins).values()) == len(pins)


def test_the_library_is_listed_with_version_and_the_hash_of_its_wheel(tmp_path):
    text = f"{LOCK}sovereign-ml==2026.11.0 \\\n    --hash=sha256:{'e' * 64}\n"
    document = sbom(read_lock(lock(tmp_path, text)), name="acme-churn", version="1")
    (library,) = [part for part in document["components"] if part["name"] == "sovereign-ml"]
    assert library["version"] == "2026.11.0"
    assert library["externalReferences"][0]["hashes"] == [{"alg": "SHA-256", "content": "e" * 64}]


def test_a_version_that_is_pinned_once_for_each_platform_is_one_component():
    markers = ("sys_platform == 'win32'", "sys_platform == 'darwin'", "")
    for count, expected in ((2, f"({markers[0]}) or ({markers[1]})"), (3, None)):
        pins = [Pin("uvloop", "1", (str(n) * 64,), markers[n]) for n in range(count)]
        first, second = (json.dumps(sbom(pins, name="a", version="1")) for _ in range(2))
        assert first == second
        [component] = json.loads(first)["components"]
        assert component["bom-ref"] == "pkg:pypi/uvloop@1"
        assert [p["value"] for p in component.get("properties", [])] == [expected][: count == 2]
        assert len(component["externalReferences"][0]["hashes"]) == count


def test_the_same_lock_gives_the_same_bytes(tmp_path):
    pins = read_lock(lock(tmp_path))
    first, second = (json.dumps(sbom(pins, name="a", version="1")) for _ in range(2))
    assert first == second
