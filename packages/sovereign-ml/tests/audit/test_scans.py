"""What should not be in a model is found by its name or its shape; a hit asks a person."""

from pathlib import Path

import pytest

from sovereign_ml.audit import pii_scan, scan
from sovereign_ml.audit.secrets import scan_secrets, secrets_in, unread


@pytest.mark.parametrize(
    "name",
    [
        "email",
        "e_mail",
        "customer_email",
        "first_name",
        "lastname",
        "home_phone",
        "postcode",
        "zip",
        "iban",
        "customer_id",
        "ip",
        "tax_id",
        *(
            "user_id",
            "userId",
            "uid",
            "clientId",
            "account_no",
            "memberId",
            "contact_id",
            "patientId",
        ),
        *(
            "visitor_id",
            "cookieId",
            "sessionId",
            "msisdn",
            "kundennummer",
            "email_address",
            "dateOfBirth",
        ),
        "ipAddress",
    ],
)
def test_a_column_named_like_a_direct_identifier_is_found(name: str) -> None:
    assert pii_scan.identifiers([name]) == (name,)


@pytest.mark.parametrize(
    "name",
    [
        "recency_days",
        "tenure_days",
        "shipments",
        "preferred_category",
        "zipped",
        "emailed_30d",
        "description",
    ],
)
def test_a_feature_of_the_model_is_no_identifier(name: str) -> None:
    assert pii_scan.identifiers([name]) == ()


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("jane.doe+shop@acme.example", "e-mail address"),
        ("call +49 170 1234567 now", "telephone number"),
        ("DE89 3704 0044 0532 0130 00", "IBAN"),
        ("DE89370400440532013000", "IBAN"),
        ("NO9386011117947", "IBAN"),
        ("4111 1111 1111 1111", "card number"),
    ],
)
def test_a_category_that_holds_an_identifier_is_named_by_kind_and_not_repeated(
    value: str, kind: str
) -> None:
    found = pii_scan.identifiers([], [value, "books"])
    assert kind in found
    assert value not in found


@pytest.mark.parametrize(
    "value",
    [
        *("books", "85", "home & garden", "A-12", "2026-01-15", "size 12/14", "1003 2022-08-08 18"),
        *(
            "4111 1111 1111 1112",
            "1660000000000",
            "9999999999999995",
            "DE00 3704 0044 0532 0130 00",
        ),
    ],
)
def test_a_plain_category_holds_no_identifier(value: str) -> None:
    assert pii_scan.identifiers([], [value]) == ()


def test_a_sentence_among_categories_is_counted_and_not_repeated() -> None:
    sentence = "the customer said that she will move to another town soon"
    assert pii_scan.free_text(["books", sentence]) == ("1 category values of more than 8 words",)
    assert pii_scan.free_text(["books", "home and garden"]) == ()


@pytest.mark.parametrize(
    ("word", "category"),
    [
        ("baby_food_share", "health"),
        ("Pharmacy", "health"),
        ("halal", "religion"),
        ("trade_union_discount", "trade union"),
        ("nationality", "ethnic origin"),
        ("fingerprint", "genetic or biometric data"),
        ("political donations", "political opinion"),
        ("Apothekenbedarf", "health"),
        ("Staatsangehörigkeit", "ethnic origin"),
    ],
)
def test_a_word_that_points_to_a_special_category_is_found(word: str, category: str) -> None:
    assert (word, category) in pii_scan.special_categories([word])


@pytest.mark.parametrize(
    "word",
    [
        "books",
        "garden",
        "kitchen",
        "toys",
        "recency_days",
        "wine",
        "returns_share",
        "headnap",
        "Wohnen",
    ],
)
def test_a_harmless_word_is_not(word: str) -> None:
    assert pii_scan.special_categories([word]) == ()


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, ("0-9", 0)),
        (9, ("0-9", 0)),
        (10, ("10-99", 10)),
        (2576, ("1,000-9,999", 1000)),
        (10_000, ("10,000-99,999", 10_000)),
    ],
)
def test_a_count_becomes_its_range(count: int, expected: tuple[str, int]) -> None:
    assert pii_scan.bucket(count) == expected


PIN = "    --hash=sha256:" + "0a" * 32


@pytest.mark.parametrize(
    ("line", "outside", "secrets"),
    [
        (PIN, 0, 0),
        (f"{PIN} \\", 0, 0),
        (f"{PIN} --index-url https://a.s3.amazonaws.com/simple", 1, 0),
        (f"{PIN[:-2]} https://a.s3.amazonaws.com/simple", 1, 0),
        (f"{PIN} password = 'q7Rt2xVb9Kp4'", 0, 1),
    ],
)
def test_only_a_line_that_is_a_hash_and_nothing_else_is_skipped(
    line: str, outside: int, secrets: int, tmp_path: Path
) -> None:
    (tmp_path / "train.lock").write_text(f"wheel==1.0 \\\n{line}\n")
    assert len(scan(tmp_path)) == outside
    assert len(list(secrets_in(line, "train.lock"))) == secrets


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_secret_is_found_however_the_editor_writes_the_file(
    tmp_path: Path, encoding: str
) -> None:
    (tmp_path / "settings.yaml").write_text("password: s3cretS3cret\n", encoding=encoding)
    assert [(hit.file, hit.line) for hit in scan_secrets(tmp_path)] == [("settings.yaml", 1)]
    assert unread(tmp_path) == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_an_address_on_the_first_line_is_found_however_the_editor_writes_the_file(
    tmp_path: Path, encoding: str
) -> None:
    (tmp_path / "settings.toml").write_text('redis_host = "cache.acme.eu"\n', encoding=encoding)
    assert [(row.key, row.address) for row in scan(tmp_path)] == [("redis_host", "cache.acme.eu")]
