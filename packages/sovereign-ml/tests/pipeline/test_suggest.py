"""`churn data suggest`: a file that nobody described becomes a mapping that step 1 runs with."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from mapped_file import Mapped, gates, read_files
from mapped_file import input_files as input_files_of
from sovereign_ml.cli.main import application
from sovereign_ml.config import settings
from sovereign_ml.config.settings import ENVIRONMENT
from sovereign_ml.errors import Misuse
from sovereign_ml.pipeline.intake import Intake
from sovereign_ml.pipeline.source import input_files
from sovereign_ml.pipeline.suggest import suggestions
from sovereign_ml.pipeline.suggest.proposal import Proposal

PEOPLE = 24
BASIS = "lawful_basis=contract"
Line = tuple[str, str, str]
"""Customer, time in UTC and amount in EUR, as step 1 has to read them."""


def table(header: str, rows: Sequence[Sequence[object]], delimiter: str = ",") -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\r\n")
    writer.writerow(header.split(delimiter))
    writer.writerows(rows)
    return buffer.getvalue()


@dataclass
class Export:
    """A reconstruction of an export with invented values, and what step 1 has to make of it."""

    content: bytes
    kept: list[Line]
    aside: dict[str, int] = field(default_factory=dict)
    answers: Sequence[str] = ()
    named: str = ""
    """The name of the export, as the proposal has it."""


def shopify() -> Export:
    header = (
        "Name,Email,Financial Status,Paid at,Currency,Subtotal,Shipping,Taxes,Total,Created at,Lineitem quantity,"
        "Lineitem name,Lineitem price,Cancelled at,Refunded Amount,Billing Name,Id"
    )
    rows: list[list[object]] = []
    kept: list[Line] = []
    for i in range(PEOPLE):
        mail, at, state = f"P{i % 12}@Shop.example", f"2026-03-{i + 1:02} 23:30:00 +0100", "paid"
        refund = "5.00" if i == 3 else "0.00"
        state = "partially_refunded" if i == 3 else "pending" if i == 5 else state
        order = f"#{1000 + i}"
        first = [state, at, "EUR", "18.00", "2.00", "3.19", "20.00"]
        tail = ["", refund, "Ann Example", 5_000_000_000 + i]
        rows += [
            [order, mail, *first, at, 1, "Vase", "8.00", *tail],
            [order, mail, *[""] * 7, at, 2, "Cup", "5.00", "", "", "", ""],
        ]
        if i != 5:
            amount = "15.00" if i == 3 else "20.00"
            kept.append((mail.lower(), f"2026-03-{i + 1:02} 22:30", amount))
    return Export(
        table(header, rows).encode(), kept, {"filtered": PEOPLE + 1}, (), "Shopify orders"
    )


def woocommerce() -> Export:
    header = "order_id,order_number,order_date,status,order_total,order_currency,customer_id,billing_email,total_refunded"
    rows, kept = [], []
    for i in range(PEOPLE):
        who, mail = ("0" if i % 4 == 0 else str(40 + i % 6)), f"Guest{i % 8}@shop.example"
        state = "wc-cancelled" if i == 7 else "wc-completed"
        rows.append(
            [
                900 + i,
                900 + i,
                f"2026-04-{i + 1:02} 09:15:00",
                state,
                "31.5",
                "EUR",
                who,
                mail,
                "1.5",
            ]
        )
        if i != 7:
            kept.append((mail.lower() if who == "0" else who, f"2026-04-{i + 1:02} 07:15", "30.00"))
    zone = ("timezone=Europe/Berlin",)
    return Export(
        table(header, rows).encode("utf-8-sig"), kept, {"filtered": 1}, zone, "WooCommerce orders"
    )


def magento_grid() -> Export:
    header = (
        "ID|Purchase Point|Purchase Date|Bill-to Name|Grand Total (Base)|Grand Total (Purchased)|Status|"
        "Customer Email|Customer Group|Total Refunded"
    )
    rows, kept = [], []
    for i in range(PEOPLE):
        hour = "10:30:00 PM" if i % 2 else "9:05:00 AM"
        base = "€1,234.50" if i == 2 else "€40.00"
        state = "Canceled" if i == 9 else "Complete"
        rows.append(
            [
                f"{i:09}",
                "Main Website",
                f"Apr {i + 1}, 2026, {hour}",
                "Ann Example",
                base,
                base,
                state,
                f"b{i % 9}@shop.example",
                "General",
                "€0.00",
            ]
        )
        if i != 9:
            clock = "22:30" if i % 2 else "09:05"
            kept.append(
                (
                    f"b{i % 9}@shop.example",
                    f"2026-04-{i + 1:02} {clock}",
                    "1234.50" if i == 2 else "40.00",
                )
            )
    return Export(
        table(header, rows, "|").encode(),
        kept,
        {"filtered": 1},
        ("timezone=UTC",),
        "Magento orders (grid)",
    )


def magento_table() -> Export:
    header = "entity_id,increment_id,customer_id,customer_email,created_at,base_grand_total,base_total_refunded,base_currency_code,status"
    rows, kept = [], []
    for i in range(PEOPLE):
        who, mail = ("" if i % 5 == 0 else str(70 + i % 7)), f"m{i % 6}@shop.example"
        rows.append(
            [
                i,
                f"{i:09}",
                who,
                mail,
                f"2026-05-{i + 1:02} 06:00:00",
                "12.5000",
                "",
                "EUR",
                "complete",
            ]
        )
        kept.append((who or mail, f"2026-05-{i + 1:02} 06:00", "12.50"))
    return Export(table(header, rows).encode(), kept, named="Magento orders (sales_order)")


def stripe_dashboard() -> Export:
    header = "id,Created date (UTC),Amount,Amount Refunded,Currency,Captured,Status,Customer ID,Customer Email"
    rows, kept = [], []
    for i in range(PEOPLE):
        state, code = ("Failed", "eur") if i == 4 else ("Paid", "gbp" if i % 2 else "eur")
        rows.append(
            [
                f"ch_{i:024}",
                f"2026-06-{i + 1:02} 21:45:10",
                "20.00",
                "0.50",
                code,
                "true",
                state,
                f"cus_{i % 7}",
                "a@shop.example",
            ]
        )
        if i != 4:
            kept.append(
                (f"cus_{i % 7}", f"2026-06-{i + 1:02} 21:45", "23.40" if i % 2 else "19.50")
            )
    return Export(
        table(header, rows).encode(),
        kept,
        {"filtered": 1},
        ("rates.GBP=1.2",),
        "Stripe payments (dashboard)",
    )


def stripe_api() -> Export:
    header = "id,object,amount,amount_refunded,created,currency,customer,status"
    start = 1_780_000_000
    rows, kept = [], []
    for i in range(PEOPLE):
        at = start + i * 86_400
        rows.append([f"ch_{i:024}", "charge", 1999, 0, at, "eur", f"cus_{i % 7}", "succeeded"])
        when = datetime.fromtimestamp(at, tz=UTC)
        kept.append((f"cus_{i % 7}", f"{when:%Y-%m-%d %H:%M}", "19.99"))
    return Export(table(header, rows).encode(), kept, named="Stripe charges (API)")


def datev() -> Export:
    header = (
        "Umsatz (ohne Soll/Haben-Kz);Soll/Haben-Kennzeichen;WKZ Umsatz;Kurs;Konto;"
        "Gegenkonto (ohne BU-Schlüssel);BU-Schlüssel;Belegdatum;Belegfeld 1;Buchungstext"
    )
    rows, kept = [], []
    for i in range(PEOPLE):
        back, payment = i % 8 == 1, i % 8 == 2
        account = "1200" if payment else "8400"
        rows.append(
            [
                "1234,56" if i == 0 else "12,50",
                "H" if back or payment else "S",
                "EUR",
                "",
                10_000 + i % 6,
                account,
                "",
                f"{i + 1:02}02",
                f"RE{i}",
                "Käse für Größe",
            ]
        )
        if not payment:
            amount = "1234.56" if i == 0 else "-12.50" if back else "12.50"
            kept.append((str(10_000 + i % 6), f"2026-02-{i + 1:02} 00:00", amount))
    above = '"EXTF";700;21;"Buchungsstapel";13;20260301;;"RE";"";"";1001;1;20260101;4;20260201;20260228;"";""\r\n'
    text = above + table(header, rows, ";")
    return Export(text.encode("cp1252"), kept, {"filtered": 3}, (), "DATEV postings")


def sap() -> Export:
    header = "Kunde;Belegnummer;Belegart;Belegdatum;Betrag in Hauswährung;Hauswährung;Text"
    rows, kept = [], []
    for i in range(PEOPLE):
        kind = "DZ" if i == 6 else "DG" if i % 8 == 1 else "RV"
        amount = "1.234,50-" if kind == "DG" else "2.000,00"
        rows.append(
            [f"{i % 5:010}", 18_000 + i, kind, f"{i + 1:02}.03.2026", amount, "EUR", "Müller"]
        )
        if kind != "DZ":
            kept.append(
                (
                    f"{i % 5:010}",
                    f"2026-03-{i + 1:02} 00:00",
                    "-1234.50" if kind == "DG" else "2000.00",
                )
            )
    return Export(
        table(header, rows, ";").encode("cp1252"),
        kept,
        {"filtered": 1},
        (),
        "SAP line items of customers",
    )


def online_retail() -> Export:
    header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
    rows, kept = [], []
    for i in range(PEOPLE):
        who = "" if i == 3 else str(17_850 + i % 6)
        back = i == 8
        rows.append(
            [
                f"{'C' if back else ''}{536_365 + i}",
                f"8512{i}A",
                "LANTERN",
                -2 if back else 6,
                f"2011-07-{i + 1:02} 08:26:00",
                "2.55",
                who,
                "United Kingdom",
            ]
        )
        if who:
            kept.append((who, f"2011-07-{i + 1:02} 07:26", "-5.10" if back else "15.30"))
    answers = ("rates.GBP=1.0",)
    return Export(
        table(header, rows).encode(), kept, {"no_customer_id": 1}, answers, "Online Retail"
    )


def cdnow() -> Export:
    lines, kept = [], []
    for i in range(PEOPLE):
        lines.append(f" {i % 9:05} 199701{i + 1:02}  {i % 3 + 1} {11.77 + i:7.2f}")
        kept.append((f"{i % 9:05}", f"1997-01-{i + 1:02} 00:00", f"{11.77 + i:.2f}"))
    return Export(("\r\n".join(lines) + "\r\n").encode(), kept, named="CDNOW")


EXPORTS = (
    shopify,
    woocommerce,
    magento_grid,
    magento_table,
    stripe_dashboard,
    stripe_api,
    datev,
    sap,
    online_retail,
    cdnow,
)


@pytest.fixture
def own(new_project: Callable[..., Path]) -> Path:
    root = new_project()
    ENVIRONMENT["CHURN_ROOT"] = str(root)
    ENVIRONMENT["HOME"] = str(root.parent)
    return root


def suggest(root: Path, content: bytes | None, *more: str) -> Result:
    if content is not None:
        (root / "export.csv").write_bytes(content)
    return CliRunner().invoke(application(), ["data", "suggest", "export.csv", *more])


def answered(*answers: str) -> list[str]:
    return [part for answer in answers for part in ("--set", answer)]


def mapped(root: Path) -> Mapped:
    return read_files(input_files(settings.load(root=root)), root)


def lines_of(done: Mapped) -> list[Line]:
    return sorted(
        (row["customer_id"], f"{row['event_time']:%Y-%m-%d %H:%M}", f"{row['amount_eur']:.2f}")
        for row in done.rows
    )


@pytest.mark.parametrize("make", EXPORTS)
def test_a_known_export_goes_from_the_proposal_to_the_right_values(
    own: Path, make: Callable[[], Export]
) -> None:
    export = make()
    said = suggest(own, export.content, *answered(BASIS, *export.answers), "--apply", "--yes")
    assert said.exit_code == 0, (said.output, said.exception)
    assert export.named in said.stdout
    tomllib.loads(said.stdout)
    done = mapped(own)
    assert lines_of(done) == sorted(export.kept)
    assert done.aside == export.aside
    assert f"{done.counts.read:,} read = {done.counts.kept:,} kept" in " ".join(
        said.stdout.replace("#", "").split()
    )


def test_every_record_of_the_real_online_retail_file_is_accounted_for(own: Path) -> None:
    """The file is 45 MB and not in this repository; a clone without it reads the reconstruction again."""
    path = ENVIRONMENT.get("CHURN_ONLINE_RETAIL")
    content = Path(path).read_bytes() if path else online_retail().content
    answers = answered("lawful_basis=legitimate_interests", "rates.GBP=1.152")
    said = suggest(own, content, *answers, "--apply", "--yes")
    assert said.exit_code == 0, said.output
    done = mapped(own)
    total, nobody, customers = (541_909, 135_037, 4_372) if path else (PEOPLE, 1, 6)
    assert (done.counts.read, done.aside["no_customer_id"]) == (total, nobody)
    assert len(set(done.column("customer_id"))) == customers


# What the file does not tell is a question with candidates, and never an answer.


def look(
    root: Path, content: str | bytes, customers: str = "", **answers: Any
) -> tuple[dict[str, Any], dict[str, list[Any]], Proposal]:
    """Return what is proposed, what is open with its candidates, and the proposal itself."""
    raw = content if isinstance(content, bytes) else content.encode()
    (root / "lines.csv").write_bytes(raw)
    if customers:
        (root / "people.csv").write_text(customers)
    files = input_files_of(root, lawful_basis="contract")
    people = "people.csv" if customers else ""
    found = suggestions.suggest(files, "lines.csv", people, answers, in_clear=False)
    decided = {d.name: d.value for d in found.decisions if not d.is_open}
    return decided, {d.name: [c.value for c in d.candidates] for d in found.open}, found


def shop(*dates: str, amounts: Sequence[object] = ("5.00",), mark: str = ",", **more: str) -> str:
    """Return a file of one order for each of ``dates``, five times over."""
    rows = [
        [f"C{i % 7}", date, amounts[i % len(amounts)], *more.values()]
        for i, date in enumerate(dates * 5)
    ]
    return table(mark.join(["customer_id", "order_date", "amount", *more]), rows, mark)


DAY = "strptime(order_date, '%d/%m/%Y')"
MONTH = "strptime(order_date, '%m/%d/%Y')"


@pytest.mark.parametrize(
    ("dates", "value"),
    [
        (("01/02/2024", "13/02/2024"), DAY),
        (("01/02/2024", "02/13/2024"), MONTH),
        (("1/2/2024 9:05", "3/31/2024 18:10"), "strptime(order_date, '%m/%d/%Y %H:%M')"),
        (("01.02.2024", "02.03.2024"), "strptime(order_date, '%d.%m.%Y')"),
        (("01.02.24 10:00:00", "02.03.24 10:00:00"), "strptime(order_date, '%d.%m.%y %H:%M:%S')"),
        (("2024-02-01", "14.02.2024"), "strptime(order_date, ['%Y-%m-%d', '%d.%m.%Y'])"),
        (("1 Feb 2024", "14 Mar 2024"), "strptime(order_date, '%d %b %Y')"),
        (("01-Feb-24", "14-Mar-24"), "strptime(order_date, '%d-%b-%y')"),
        (
            ("Thu, 01 Feb 2024 10:00:00 +0000", "Thu, 14 Mar 2024 10:00:00 +0000"),
            "strptime(order_date, '%a, %d %b %Y %H:%M:%S %z')",
        ),
        (
            ("45323.4171", "45365.25"),
            "TIMESTAMP '1899-12-30' + to_seconds(CAST(round(order_date * 86400) AS BIGINT))",
        ),
        (("20240201", "20240214"), "strptime(order_date, '%Y%m%d')"),
        (("1706778000000", "1707901200000"), "to_timestamp(order_date / 1000)"),
        (("45323", "45336"), "TIMESTAMP '1899-12-30' + to_days(CAST(order_date AS INTEGER))"),
        (("2024-02-01T10:00:00Z", "2024-02-14T10:00:00Z"), "order_date"),
        (("01.02.2024 à 10:05", "14.02.2024 à 9:05"), "strptime(order_date, '%d.%m.%Y à %H:%M')"),
        (
            ("01.02.2024 10:05 Uhr", "2.3.2024 9:05 Uhr"),
            "strptime(order_date, '%d.%m.%Y %H:%M Uhr')",
        ),
    ],
)
def test_the_values_decide_how_a_date_reads(
    tmp_path: Path, dates: tuple[str, ...], value: str
) -> None:
    decided, _, found = look(tmp_path, shop(*dates))
    assert decided["event_time"] == value
    assert f"{len(dates) * 5} read = " in found.trial.headline
    assert not any("time" in word for word in found.trial.headline.split(", "))


@pytest.mark.parametrize(
    ("dates", "first"),
    [
        (("01/02/2024", "02/03/2024"), "01/02/2024 has two readings"),
        (("5-6-2024", "7-8-2024"), "has two readings"),
        (("13/02/2024", "02/13/2024", "01/01/2024"), "two notations in one column"),
    ],
)
def test_a_date_of_two_readings_is_a_question(
    tmp_path: Path, dates: tuple[str, ...], first: str
) -> None:
    decided, asked, found = look(tmp_path, shop(*dates))
    assert "event_time" not in decided
    day, month = asked["event_time"]
    assert "'%d" in day
    assert "'%m" in month
    assert f'# event_time = "{day}"' in found.toml()
    assert f'# event_time = "{month}"' in found.toml()
    assert first in found.toml()
    assert "event_time" not in tomllib.loads(found.toml())["data"]["columns"]
    answer = asked["event_time"][1]
    assert look(tmp_path, shop(*dates), event_time=answer)[0]["event_time"] == answer


@pytest.mark.parametrize(
    "dates",
    [
        ("24-02-01", "24-02-13", "24-02-20"),
        ("24/12/31 10:05", "25/01/02 9:05", "25/01/03 9:05"),
        ("01.02.19", "01.02.20", "01.02.21"),  # a payment on the first day of each month
    ],
)
def test_a_year_of_two_digits_may_come_first(tmp_path: Path, dates: tuple[str, ...]) -> None:
    """24-02-13 is in 2024 or in 2013, which no value of the file tells."""
    decided, asked, found = look(tmp_path, shop(*dates))
    assert "event_time" not in decided
    year, day = asked["event_time"]
    assert "'%y" in year
    assert "'%d" in day
    assert "year first: reads 100.0% of the values" in found.toml()


@pytest.mark.parametrize("halves", [("πμ", "μμ"), ("odp.", "dop."), ("a. m.", "p. m.")])
def test_halves_of_the_day_in_another_language_are_never_left_out(
    tmp_path: Path, halves: tuple[str, str]
) -> None:
    """3:04 in the afternoon would be the middle of the night."""
    dates = [f"{day}/2/2024 3:04:05 {half}" for day, half in zip((13, 14), halves, strict=True)]
    assert "event_time" not in look(tmp_path, shop(*dates))[0]


@pytest.mark.parametrize(
    ("amounts", "decimal"),
    [
        (("12,50", "1.234,56"), ","),
        (("12.50", "1,234.56"), "."),
        (("5,5", "7"), ","),
        (("12,50", "12.50"), None),
        (("1.234", "2.000"), None),
        (("1,234", "2,000"), None),
    ],
)
def test_the_values_decide_the_decimal_mark(
    tmp_path: Path, amounts: tuple[str, ...], decimal: str | None
) -> None:
    decided, asked, _ = look(tmp_path, shop("2024-02-01", amounts=amounts, mark=";"))
    assert decided.get("reader.decimal") == decimal
    assert (set(asked.get("reader.decimal", ())) == {",", "."}) == (decimal is None)


@pytest.mark.parametrize(
    ("amounts", "kept"),
    [
        (("1,234.50", "20.50-"), [1234.5, -20.5]),
        (("(20.50)", "30.00"), [-20.5, 30]),
        (("€ 1.234,50", "-€ 2,00"), [1234.5, -2]),
        (("12,50 EUR", "3,00- EUR"), [12.5, -3]),
        ((*["12,50 €"] * 3, "\N{MINUS SIGN}2,00 €", "\N{EN DASH}€ 3,00"), [12.5, -2, -3]),
        (("1\N{THIN SPACE}234,50 €", "20,00 €"), [1234.5, 20]),
        (("12,5000", "1234,2500"), [12.5, 1234.25]),
        (("12.5000", "1,234.2500"), [12.5, 1234.25]),
        # What is left of the last one without its word would be a purchase.
        ((*["12,50 €"] * 24, "2,00 € Storno"), [12.5]),
        ((*["12.50"] * 12, "€ 3.00", *["4.00"] * 12, "2.00 CR"), [12.5, 3, 4]),
    ],
)
def test_another_notation_of_amounts_is_turned_into_numbers(
    own: Path, amounts: tuple[str, ...], kept: list[float]
) -> None:
    dates = [f"2024-02-{1 + i % 28:02}" for i in range(max(2, len(amounts)))]
    content = shop(*dates, amounts=amounts, mark=";").encode()
    said = suggest(own, content, *answered(BASIS), "--apply", "--yes")
    assert said.exit_code == 0, said.output
    assert sorted({float(amount) for amount in mapped(own).column("amount_eur")}) == sorted(kept)


@pytest.mark.parametrize(
    ("amounts", "currency"),
    [
        (("12,50 Kč", "3,00 Kč"), "CZK"),
        (("1 234 Ft", "300 Ft"), "HUF"),
        (("12,50 lei", "RON 3,00"), "RON"),
        (("12,50 лв.", "3,00 лв"), "BGN"),
        (("DKK 12,50", "DKK 3,00"), "DKK"),
    ],
)
def test_the_sign_of_another_currency_is_no_euro(
    tmp_path: Path, amounts: tuple[str, ...], currency: str
) -> None:
    decided, asked, found = look(tmp_path, shop("2024-02-01", "2024-02-02", amounts=amounts))
    assert (decided["currency"], list(asked)) == (f"'{currency}'", [f"rates.{currency}"])
    assert "10 read = 10 kept" in found.trial.headline


@pytest.mark.parametrize(
    ("text", "encoding", "proposed"),
    [
        ("Käse", "utf-8", "utf-8"),
        ("Käse für Größe", "cp1252", "cp1252"),
        ("Łódź żółty ąę", "cp1250", "cp1250"),
        ("Käse für Größe", "cp850", "cp850"),
        ("Kaese", "utf-16-le", "utf-16-le"),
        ("Käse", "utf-16", ""),
        ("Τρόφιμα και Ποτά", "cp1253", "cp1253"),
        ("ΗΛΕΚΤΡΟΝΙΚΑ ΕΙΔΗ", "iso8859_7", "cp1253"),  # the same letters
        ("Ένδυση, Άνδρες, Έπιπλα", "iso8859_7", "iso8859_7"),
        ("Храни и напитки", "cp1251", "cp1251"),
        ("ДРЕХИ И ОБУВКИ", "cp1251", "cp1251"),
        ("Łódź żółty ąę śliwka", "iso8859_2", "iso8859_2"),
        ("Příliš žluťoučký kůň", "cp852", "cp852"),
        ("Drabužiai ir žaislai šeimai", "cp1257", "cp1257"),
        ("Café à la crème", "cp1252", "cp1252"),
        ("Køb på nettet, bær, øl", "cp1252", "cp1252"),
        ("50 € – „Spaß“", "cp1252", "cp1252"),
    ],
)
def test_the_encoding_is_found(tmp_path: Path, text: str, encoding: str, proposed: str) -> None:
    content = shop("2024-02-01", category=text, second=text[::-1]).encode(encoding)
    decided, _, found = look(tmp_path, content)
    assert decided["reader.encoding"] == proposed
    assert "5 read" in found.trial.headline


def test_letters_of_two_encodings_are_a_question(tmp_path: Path) -> None:
    content = shop("2024-02-01", category="x\u0142\u00f1").encode("cp1250", "replace")
    _, asked, _ = look(tmp_path, content.replace(b"?", b"\xf1").replace(b"\xb3", b"\xf1"))
    assert set(asked["reader.encoding"]) >= {"cp1252", "cp1250"}


def test_files_of_two_encodings_that_were_put_together_are_a_question(tmp_path: Path) -> None:
    content = shop("2024-02-01", "2024-02-02", category="Käse").encode()
    line = "C1,2024-02-01,5.00,Käse\r\n".encode("cp1252")
    _, asked, found = look(tmp_path, content + line)
    assert asked == {"reader.encoding": ["cp1252"]}
    assert "1 of 21 bytes beyond ASCII are not UTF-8" in " ".join(found.toml().split())


@pytest.mark.parametrize("sign", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_a_sign_inside_of_a_value_ends_no_line(tmp_path: Path, sign: str) -> None:
    content = shop("2024-02-01", "2024-02-02", mark=";", note=f"a{sign}b")
    decided, asked, found = look(tmp_path, content)
    assert (decided["reader.delimiter"], asked) == (";", {})
    assert "10 read = 10 kept" in found.trial.headline


def test_a_header_of_two_delimiters_is_a_question(tmp_path: Path) -> None:
    rows = "".join(f"a{i},b;c{i},d;e{i}\n" for i in range(9))
    _, asked, _ = look(tmp_path, "customer_id,x;order_date,y;amount\n" + rows)
    assert asked["reader.delimiter"] == [",", ";"]


@pytest.mark.parametrize(
    ("more", "amounts", "answers"),
    [
        ({"debit_credit": "C"}, ("5.00",), None),
        ({"type": "refund"}, ("5.00",), "-abs(amount)"),
        ({}, ("-5.00", "-6.00", "7.00"), "-(amount)"),
    ],
)
def test_a_sign_that_may_be_turned_is_a_question(
    tmp_path: Path, more: dict[str, str], amounts: tuple[str, ...], answers: str | None
) -> None:
    text = shop("2024-02-01", "2024-02-02", amounts=amounts, **more)
    for name, value in more.items():
        text = text.replace(f",{value}\r", f",{'D' if name == 'debit_credit' else 'charge'}\r", 4)
    _, asked, _ = look(tmp_path, text)
    assert len(asked["amount_eur"]) == 2
    assert (answers or "CASE WHEN debit_credit IN ('C')") in asked["amount_eur"][0]


@pytest.mark.parametrize(
    ("column", "key", "asked", "decided"),
    [
        ("amount_cents", "amount_eur", ["amount_cents / 100", "amount_cents"], None),
        ("price_in_cent", "amount_eur", ["price_in_cent / 100", "price_in_cent"], None),
        ("Betrag TEUR", "amount_eur", ['"Betrag TEUR" * 1000', '"Betrag TEUR"'], None),
        ("amount_usd", "currency", [], "'USD'"),
        ("Umsatz CHF", "currency", [], "'CHF'"),
        ("amount_eur", "currency", [], ""),
        ("total", "currency", [], ""),
    ],
)
def test_the_name_of_an_amount_may_say_its_unit_and_currency(
    tmp_path: Path, column: str, key: str, asked: list[str], decided: str | None
) -> None:
    text = shop("2024-02-01").replace("amount", column, 1)
    found, questions, _ = look(tmp_path, text)
    assert (questions.get(key, []), found.get(key)) == (asked, decided)


@pytest.mark.parametrize("empty", ["", "  ", "NULL"])
def test_a_row_without_a_state_is_never_filtered_in_silence(tmp_path: Path, empty: str) -> None:
    """Of 12 rows, four are cancelled and eight have no state, in a column that only marks those."""
    states = ["cancelled" if i % 3 == 0 else empty for i in range(12)]
    rows = [[f"C{i % 5}", f"2024-02-{i + 1:02}", "5.00", state] for i, state in enumerate(states)]
    decided, asked, proposal = look(tmp_path, table("customer_id,order_date,amount,status", rows))
    assert proposal.trial.headline.startswith("12 read = 8 kept + 4 set aside (4 filtered)")
    if empty.strip():
        assert "where" in asked
    else:
        assert decided["where"] == "coalesce(status, '') NOT IN ('cancelled')"
        assert "cancelled 4, (empty) 8" in proposal.toml()


def test_the_evidence_counts_the_rows_of_each_choice(tmp_path: Path) -> None:
    states = ["paid"] * 6 + ["cancelled"] * 3 + [""] * 2 + ["odd"]
    rows = [[f"C{i % 5}", f"2024-02-{i + 1:02}", "5.00", state] for i, state in enumerate(states)]
    _, asked, proposal = look(tmp_path, table("customer_id,order_date,amount,status", rows))
    text = proposal.toml()
    assert len(asked["where"]) == 4
    for words in (
        "paid 6, cancelled 3, odd 1, (empty) 2",
        "so the 2 rows without a state stay",
        "the most frequent one alone: 6 rows",
    ):
        assert words in text.replace("\n#   ", " ").replace("\n# ", " "), text


BROKEN = ("typo", "'", "CAST(customer_id AS INTEGER)", "max(amount)", "?")


@pytest.mark.parametrize("expression", BROKEN)
@pytest.mark.parametrize("key", ["currency", "where", "customer_id"])
def test_a_broken_answer_is_told_in_one_line_and_never_a_traceback(
    tmp_path: Path, key: str, expression: str
) -> None:
    header = "customer_id,order_date,amount,currency,contract_end"
    rows = [[f"C{i % 7}", "2024-02-01", "5.00", "EUR", ""] for i in range(8)]
    try:
        proposal = look(tmp_path, table(header, rows), people(), **{key: expression})[2]
        # Without a customers table, other questions look at the expression.
        proposal = look(tmp_path, table(header, rows), **{key: expression})[2]
        told = proposal.trial.stopped or proposal.trial.headline
    except Misuse as error:
        told = str(error)
    assert told
    assert "\n" not in told


def test_a_rate_may_be_given_beside_a_filter_that_is_broken(tmp_path: Path) -> None:
    rows = [[f"C{i % 7}", "2024-02-01", "5.00", "GBP"] for i in range(8)]
    content = table("customer_id,order_date,amount,currency", rows)
    answers = {"where": "typo", "rates.GBP": 1.2}
    assert "where = 'typo'" in look(tmp_path, content, **answers)[2].trial.stopped


@pytest.mark.parametrize(
    ("words", "decided", "asked"),
    [
        (("EUR", "GBP"), "currency", None),
        (
            ("Euro", "Pound"),
            "CASE CAST(currency AS VARCHAR) WHEN 'Euro' THEN 'EUR' WHEN 'Pound' THEN 'GBP' END",
            None,
        ),
        (("\u20ac", "\u20ac"), "CASE CAST(currency AS VARCHAR) WHEN '\u20ac' THEN 'EUR' END", None),
        (("\u20ac", "Taler"), None, 2),
    ],
)
def test_a_currency_that_is_no_code_is_never_taken_for_euros(
    tmp_path: Path, words: Sequence[str], decided: str | None, asked: int | None
) -> None:
    rows = [[f"C{i % 7}", "2024-02-01", "5.00", words[i % 2]] for i in range(8)]
    found, questions, _ = look(tmp_path, table("customer_id,order_date,amount,currency", rows))
    assert found.get("currency") == decided
    assert len(questions.get("currency", [])) == (asked or 0)


@pytest.mark.parametrize("column", ["refund_amount", "Discount", "Rabatt"])
def test_a_number_that_may_have_to_be_taken_off_is_a_question(tmp_path: Path, column: str) -> None:
    text = shop("2024-02-01", **{column: "1.50"})
    taken, whole = look(tmp_path, text)[1]["amount_eur"]
    assert (taken, whole) == (f"amount - coalesce({column}, 0)", "amount")
    nothing = shop("2024-02-01", **{column: "0.00"})
    assert look(tmp_path, nothing)[0]["amount_eur"] == "amount"


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("customer_id", "customer_name", "customer_id"),
        ("customer_id", "customer_type", "customer_id"),
        ("customer_id", "Kunde Ort", "customer_id"),
        ("order_date", "date_of_birth", "event_time"),
        ("order_date", "delivery_date", "event_time"),
        ("order_date", "Date updated", "event_time"),
        ("amount", "shipping_amount", "amount_eur"),
        ("amount", "tax_total", "amount_eur"),
    ],
)
def test_a_name_that_says_something_else_is_a_question(
    tmp_path: Path, old: str, new: str, key: str
) -> None:
    decided, asked, _ = look(tmp_path, shop("2024-02-01", "2024-02-14").replace(old, new, 1))
    assert key in asked
    assert key not in decided


@pytest.mark.parametrize(
    ("name", "values", "asked"),
    [
        (
            "is_cancelled",
            ("1", "0"),
            ["coalesce(lower(trim(CAST(is_cancelled AS VARCHAR))), '') NOT IN ('1')", ""],
        ),
        (
            "test_order",
            ("true", ""),
            ["coalesce(lower(trim(CAST(test_order AS VARCHAR))), '') NOT IN ('true')", ""],
        ),
        (
            "cancelled",  # PostgreSQL
            ("f", "t", "f"),
            ["coalesce(lower(trim(CAST(cancelled AS VARCHAR))), '') NOT IN ('t')", ""],
        ),
        (
            "cancelled",  # pandas, where a value is missing
            ("0.0", "1.0", ""),
            ["coalesce(lower(trim(CAST(cancelled AS VARCHAR))), '') NOT IN ('1.0')", ""],
        ),
        (
            "storno",
            ("", "x"),
            ["coalesce(lower(trim(CAST(storno AS VARCHAR))), '') NOT IN ('x')", ""],
        ),
        ("storno", ("", "doppelt", "falsch geliefert"), ["storno IS NULL", ""]),
        ("cancelled", ("f", ""), None),
        ("status", ("Anulowane", "Zako\u0144czone"), ["", "status = 'Anulowane'"]),
        ("status", ("9", "1"), ["", "status = '1'"]),
        (
            "status",
            ("cancelled", "new"),
            ["coalesce(status, '') NOT IN ('cancelled')", "", "status = 'cancelled'"],
        ),
        (
            "status",
            ("cancelled", "paid", ""),
            [
                "coalesce(status, '') NOT IN ('cancelled')",
                "trim(coalesce(status, '')) <> '' AND coalesce(status, '') NOT IN ('cancelled')",
                "",
                "status = 'cancelled'",
            ],
        ),
        ("status", ("new", ""), ["", "status = 'new'"]),
        ("status", ("paid", ""), None),
        ("status", ("paid", "shipped"), None),
        ("is_gift", ("1", "0"), None),
    ],
)
def test_a_mark_or_a_state_that_is_not_known_is_a_question(
    tmp_path: Path, name: str, values: Sequence[str], asked: list[str] | None
) -> None:
    rows = [[f"C{i % 7}", "2024-02-01", "5.00", values[i % len(values)]] for i in range(8)]
    decided, questions, _ = look(tmp_path, table(f"customer_id,order_date,amount,{name}", rows))
    assert questions.get("where") == asked
    assert decided.get("where") == ("" if asked is None else None)


@pytest.mark.parametrize(
    "header",
    [
        "Kundnummer;Orderdatum;Belopp",
        "Z\u00e1kazn\u00edk;Datum objedn\u00e1vky;Cena celkem",
        "\u03a0\u03b5\u03bb\u03ac\u03c4\u03b7\u03c2;\u0397\u03bc\u03b5\u03c1\u03bf\u03bc\u03b7\u03bd\u03af\u03b1;\u03a0\u03bf\u03c3\u03cc",
        "\u041a\u043b\u0438\u0435\u043d\u0442;\u0414\u0430\u0442\u0430;\u0421\u0443\u043c\u0430",
    ],
)
def test_columns_are_known_in_other_languages_of_europe(tmp_path: Path, header: str) -> None:
    names = header.split(";")
    text = shop("2024-02-01", amounts=("5,50",), mark=";").split("\r\n", 1)[1]
    decided, asked, _ = look(tmp_path, header + "\r\n" + text)
    assert not asked
    wanted = [name if name.isascii() and name.isidentifier() else f'"{name}"' for name in names]
    assert [decided[k] for k in ("customer_id", "event_time", "amount_eur")] == wanted


def test_a_total_that_is_not_the_product_is_a_question(tmp_path: Path) -> None:
    text = shop("2024-02-01", quantity="2", unit_price="2.50")
    assert look(tmp_path, text)[0]["amount_eur"] == "amount"
    _, asked, _ = look(tmp_path, text.replace(",2.50", ",9.00"))
    assert asked["amount_eur"] == ["amount", "quantity * unit_price"]


def test_columns_without_a_telling_name_are_candidates(tmp_path: Path) -> None:
    rows = [[f"K{i % 5}", f"2024-02-0{i % 9 + 1}", "5.00"] for i in range(20)]
    decided, asked, _ = look(tmp_path, table("aaa,bbb,ccc", rows))
    assert asked["customer_id"] == ["aaa"]
    assert asked["event_time"] == ["bbb"]
    assert asked["amount_eur"] == ["ccc"]
    assert not {"customer_id", "event_time", "amount_eur"} & set(decided)
    done = look(
        tmp_path, table("aaa,bbb,ccc", rows), customer_id="aaa", event_time="bbb", amount_eur="ccc"
    )
    assert "20 read = " in done[2].trial.headline


def test_columns_that_only_have_the_word_in_their_name_are_no_answer(tmp_path: Path) -> None:
    """Headers of a public data set of subscriptions, with invented values."""
    header = "msno,plan_list_price,actual_amount_paid,transaction_date,membership_expire_date,order_status"
    rows = [[f"Y{i % 9}=", 149, 99, f"201509{i + 1}", f"201511{i + 1}", "ok"] for i in range(9, 27)]
    decided, asked, _ = look(tmp_path, table(header, rows))
    assert asked["customer_id"] == ["msno"]
    assert asked["amount_eur"] == ["plan_list_price", "actual_amount_paid"]
    assert decided["event_time"] == "strptime(transaction_date, '%Y%m%d')"
    assert decided["order_id"] == ""


def test_two_amounts_that_differ_are_a_question(tmp_path: Path) -> None:
    text = shop("2024-02-01", net_amount="4.20").replace("amount,", "gross_amount,", 1)
    assert look(tmp_path, text)[1]["amount_eur"] == ["net_amount", "gross_amount"]


def test_an_id_that_each_row_has_alone_is_no_customer(tmp_path: Path) -> None:
    rows = [[i, "2024-02-01", "5.00", f"a{i % 5}@x.example"] for i in range(30)]
    _, asked, _ = look(tmp_path, table("customer_id,order_date,amount,email", rows))
    assert asked["customer_id"] == ["email", "customer_id"]


def test_several_currencies_are_counted_and_rates_are_asked(tmp_path: Path) -> None:
    text = shop("2024-02-01", "2024-02-02", currency="USD").replace("USD", "EUR", 3)
    decided, asked, found = look(tmp_path, text)
    assert decided["currency"] == "currency"
    assert "rates.USD" in asked
    assert "several currencies: USD 7, EUR 3" in found.toml()


def test_lines_above_the_header_and_a_file_without_header(tmp_path: Path) -> None:
    above = look(tmp_path, "Report of June\nall shops\n" + shop("2024-02-01", mark=";"))
    assert above[0]["reader.skip_lines"] == 2
    assert "5 read = " in above[2].trial.headline
    bare = shop("2024-02-01").split("\r\n", 1)[1]
    decided, _, found = look(
        tmp_path, bare, customer_id="column0", event_time="column1", amount_eur="column2"
    )
    assert decided["reader.names"] == ("column0", "column1", "column2")
    assert "5 read = " in found.trial.headline


def test_parquet_says_itself_how_it_is_written(tmp_path: Path) -> None:
    stamps = pd.to_datetime(["2024-02-01 10:00", "2024-02-02 10:00"] * 5)
    frame = pd.DataFrame({"KundenNr": range(10), "Bestelldatum": stamps, "Betrag": 5.0})
    frame["KundenNr"] %= 4
    frame.to_parquet(tmp_path / "x")
    decided, asked, found = look(tmp_path, (tmp_path / "x").read_bytes())
    assert (decided["customer_id"], decided["amount_eur"]) == ("KundenNr", "Betrag")
    assert asked["timezone"]
    assert not [name for name in decided if name.startswith("reader.")]
    assert "10 read = " in found.trial.headline


# What looks like something else.


def test_a_nul_in_a_value_makes_no_utf_16(tmp_path: Path) -> None:
    text = shop("2024-02-01", note="x\0y")
    assert look(tmp_path, text)[0]["reader.encoding"] == "utf-8"
    assert look(tmp_path, text.encode("utf-16-le"))[0]["reader.encoding"] == "utf-16-le"
    assert look(tmp_path, text.encode("utf-16-be"))[0]["reader.encoding"] == "utf-16-be"


def test_a_download_that_broke_off_is_refused_in_one_line(tmp_path: Path) -> None:
    whole = gzip.compress(
        shop(*(f"2024-02-{i:02} 10:{i}:0{i % 9}" for i in range(10, 28))).encode()
    )
    with pytest.raises(Misuse, match=r"Cannot read .*lines\.csv"):
        look(tmp_path, whole[:-60])


def test_line_breaks_in_a_header_are_spaces(own: Path) -> None:
    content = shop("2024-02-01").replace("customer_id", '"Customer\r\nID"').encode()
    said = suggest(own, content, *answered(BASIS), "--apply", "--yes")
    assert said.exit_code == 0, said.exception
    assert settings.load(root=own).data.columns.customer_id == '"Customer ID"'


def test_addresses_in_any_column_are_one_customer_in_any_case(tmp_path: Path) -> None:
    text = shop("2024-02-01").replace("C1", "A@x.example").replace("C", "c@x.example")
    assert look(tmp_path, text)[0]["customer_id"] == "lower(customer_id)"


@pytest.mark.parametrize(
    ("amounts", "decided", "asked"),
    [
        (("£5.00", "£1,200.00"), "'GBP'", []),
        (("CHF 1'234.50", "CHF 5.00"), "'CHF'", []),
        (("€ 5.00", "6.00 EUR"), "", []),
        (("$5.00", "$7.00"), None, ["'USD'", ""]),
        (
            ("£5.00", "€7.00"),
            "CASE WHEN regexp_matches(CAST(amount AS VARCHAR), '£|GBP') THEN 'GBP' ELSE 'EUR' END",
            [],
        ),
    ],
)
def test_a_currency_beside_the_amounts_is_never_taken_for_euros(
    tmp_path: Path, amounts: Sequence[str], decided: str | None, asked: list[str]
) -> None:
    found, questions, _ = look(tmp_path, shop("2024-02-01", "2024-02-02", amounts=amounts))
    assert (found.get("currency"), questions.get("currency", [])) == (decided, asked)


def test_a_time_of_day_in_a_column_of_its_own_is_named(tmp_path: Path) -> None:
    found = look(tmp_path, shop("14.02.2024", uhrzeit="10:15:00"))[2].toml()
    assert "order_date has no time of day, and uhrzeit may be it" in found


# Customers: the ids that are met count, and consent is never assumed.

PEOPLE_HEADER = "nr,mail,newsletter_optin,einwilligung,geburtsdatum,land,geloescht"


def people(consent: str = "ja") -> str:
    rows = [[i, f"c{i}", "1", consent if i else "nein", "1980-02-03", "DE", ""] for i in range(9)]
    return table(PEOPLE_HEADER, rows)


def test_the_id_of_the_customers_table_is_the_one_that_is_met(tmp_path: Path) -> None:
    decided, asked, found = look(tmp_path, shop("2024-02-01").replace("C", "c"), people())
    assert decided["customer_columns.customer_id"] == "mail"
    assert (
        decided["customer_columns.consent"]
        == "lower(trim(CAST(einwilligung AS VARCHAR))) IN ('ja')"
    )
    assert decided["customer_columns.birth_year"] == "year(CAST(geburtsdatum AS DATE))"
    assert not any(name.startswith("customer_columns") for name in asked)
    assert "1 no consent" in found.trial.headline


def test_marketing_is_no_consent_and_an_unclear_consent_is_a_question(tmp_path: Path) -> None:
    text = shop("2024-02-01").replace("C", "c")
    assert "customer_columns.consent" in look(tmp_path, text, people("vielleicht"))[1]
    without = people().replace("einwilligung", "xyz")
    decided, _, found = look(tmp_path, text, without)
    assert decided["customer_columns.consent"] == ""
    assert "newsletter_optin may be a consent to letters" in found.toml()


@pytest.mark.parametrize("name", ["opt_out", "Do not contact", "Werbesperre", "unsubscribed"])
def test_a_refusal_is_a_question_and_never_passed_over(tmp_path: Path, name: str) -> None:
    rows = people().replace("geloescht", f"geloescht,{name}").splitlines()
    marked = "\n".join(
        [rows[0], *(f"{row},{'yes' if i == 3 else 'no'}" for i, row in enumerate(rows[1:]))]
    )
    _, asked, found = look(tmp_path, shop("2024-02-01").replace("C", "c"), marked)
    mark, letters = asked["customer_columns.objected_at"]
    assert "NOT IN ('no')" in mark
    assert letters == ""
    assert "1 objected" in found.trial.headline


@pytest.mark.parametrize(
    ("name", "values", "asked"),
    [
        ("no_consent", ("1", "0"), "IN ('0')"),
        ("consent_refused", ("yes", "no"), "IN ('no')"),
        ("ohne Einwilligung", ("ja", "nein"), "IN ('nein')"),
        ("profiling_allowed", ("no", "yes"), "IN ('yes')"),
        ("gdpr_accepted", ("0", "1"), "IN ('1')"),
        ("consent_given_at", ("", "2024-01-01"), "consent_given_at IS NOT NULL"),
    ],
)
def test_a_consent_is_never_read_the_wrong_way_round(
    tmp_path: Path, name: str, values: Sequence[str], asked: str
) -> None:
    """The first value is that of the one person who did not consent."""
    rows = [[f"C{i}", values[i > 0]] for i in range(7)]
    text = shop("2024-02-01", "2024-02-02")
    decided, questions, found = look(tmp_path, text, table(f"customer_id,{name}", rows))
    assert "customer_columns.consent" not in decided
    assert asked in questions["customer_columns.consent"][0]
    assert "(2 no consent)" in found.trial.headline


@pytest.mark.parametrize(
    ("names", "first"),
    [
        (("newsletter_consent",), "newsletter_consent"),
        (("consent_marketing", "consent_profiling"), "consent_profiling"),
        (("consent_version", "consent"), "consent"),
        (("consent_date", "consent"), "consent"),
        (("email_consent",), "email_consent"),
    ],
)
def test_which_of_several_consents_counts_is_a_question(
    tmp_path: Path, names: Sequence[str], first: str
) -> None:
    values = {"consent_version": "1", "consent_date": "2026-01-01"}
    rows = [
        [f"C{i}", *(values.get(name, "yes" if i else "no") for name in names)] for i in range(7)
    ]
    people = table(f"customer_id,{','.join(names)}", rows)
    decided, asked, found = look(tmp_path, shop("2024-02-01", "2024-02-02"), people)
    assert "customer_columns.consent" not in decided
    assert first in asked["customer_columns.consent"][0]
    assert asked["customer_columns.consent"][-1] == ""
    assert "(2 no consent)" in found.trial.headline


def test_a_second_column_that_may_bar_people_is_named(tmp_path: Path) -> None:
    rows = [[f"C{i}", "1" if i == 3 else "", "yes" if i == 4 else "no"] for i in range(7)]
    people = table("customer_id,objected_at,opt_out", rows)
    found = look(tmp_path, shop("2024-02-01", "2024-02-02"), people)[2]
    assert "opt_out may bar people too" in " ".join(found.toml().split())


@pytest.mark.parametrize(
    ("state", "key"),
    [("blocked", "restricted_at"), ("gelöscht", "erased_at"), ("Opted out", "objected_at")],
)
def test_a_state_that_may_bar_somebody_is_a_question(tmp_path: Path, state: str, key: str) -> None:
    rows = [[f"C{i}", "active" if i else state] for i in range(7)]
    people = table("customer_id,status", rows)
    _, asked, found = look(tmp_path, shop("2024-02-01", "2024-02-02"), people)
    mark, other = asked[f"customer_columns.{key}"]
    assert mark.startswith("CASE WHEN lower(trim(CAST(status AS VARCHAR)))")
    assert other == ""
    assert f"2 {key.removesuffix('_at')}" in found.trial.headline


@pytest.mark.parametrize("no", ["false", "0", "nein", "NULL", "0000-00-00"])
def test_an_objection_that_says_no_is_none(tmp_path: Path, no: str) -> None:
    rows = people().replace("geloescht", "geloescht,objected_at").splitlines()
    marked = "\n".join(
        [rows[0], *(f"{row},{'1' if i == 3 else no}" for i, row in enumerate(rows[1:]))]
    )
    found = look(tmp_path, shop("2024-02-01").replace("C", "c"), marked)[2]
    assert "1 objected" in found.trial.headline


def test_ids_of_two_files_are_met_in_any_spelling_that_step_1_takes_for_one(tmp_path: Path) -> None:
    text = shop("2024-02-01").replace("C", "Zoe\u0308-")
    decided = look(tmp_path, text, people().replace(",c", ",Zo\u00eb-"))[0]
    assert decided["customer_columns.customer_id"] == "mail"


def test_a_customers_table_of_other_people_is_a_question(tmp_path: Path) -> None:
    _, asked, _ = look(tmp_path, shop("2024-02-01").replace("C", "Z"), people())
    assert "customer_columns.customer_id" in asked


# Nothing is applied without a person, and nothing personal is shown unasked.


def test_an_open_question_keeps_the_proposal_out_of_the_configuration(own: Path) -> None:
    before = (own / "config.toml").read_text()
    said = suggest(own, shop("01/02/2024").encode(), *answered(BASIS), "--apply", "--yes")
    assert said.exit_code
    assert "a person has to decide event_time" in str(said.exception)
    assert (own / "config.toml").read_text() == before


def test_nothing_is_applied_without_a_yes(own: Path) -> None:
    before = (own / "config.toml").read_text()
    for more in ((), ("--apply",)):
        said = suggest(own, shop("2024-02-01").encode(), *answered(BASIS), *more)
        assert (own / "config.toml").read_text() == before
        assert bool(said.exit_code) == bool(more)


def test_a_proposal_replaces_the_reader_of_another_file_and_keeps_the_comments(own: Path) -> None:
    german = shop("2024-02-01", amounts=("12,50",), mark=";").replace("C", "Ä").encode("cp1252")
    assert not suggest(own, b"Report\r\n" + german, *answered(BASIS), "--apply", "--yes").exit_code
    assert settings.load(root=own).data.reader.skip_lines == 1
    assert not suggest(own, shop("2024-02-01").encode(), "--apply", "--yes").exit_code
    reader = settings.load(root=own).data.reader
    assert (reader.skip_lines, reader.decimal, reader.delimiter) == (0, ".", ",")
    assert "# how the files are written" in (own / "config.toml").read_text()


def test_ids_are_shapes_unless_a_person_asks_on_a_terminal(own: Path) -> None:
    text = shop("2024-02-01", email="ann@example.com").replace("C", "Ann-98765-")
    said = suggest(own, text.encode(), *answered(BASIS), "--write", "new.toml")
    assert said.exit_code == 0, said.output
    written = Path("new.toml").read_text()
    Path("new.toml").unlink()
    assert "aaa-99999-9" in written
    assert not [word for word in ("Ann", "98765", "ann@") if word in written + said.output]
    asked = suggest(own, text.encode(), "--show-values")
    assert "on a terminal only" in str(asked.exception)


def test_a_file_that_is_there_is_never_overwritten(own: Path) -> None:
    (own / "new.toml").write_text("mine")
    said = suggest(own, shop("2024-02-01").encode(), "--write", str(own / "new.toml"))
    assert "exists already" in str(said.exception)
    assert (own / "new.toml").read_text() == "mine"


def test_an_answer_to_no_question_is_refused(own: Path) -> None:
    said = suggest(own, shop("2024-02-01").encode(), *answered("event_tme=order_date"))
    assert "this file has no such question" in str(said.exception)


# Contracts: a column that looks like an end makes the label a question.


def contracts(column: str, ends: Sequence[str], start: str = "") -> str:
    header = f"customer_id,{column}" + (f",{start}" if start else "")
    return table(
        header, [[f"C{i}", end, "2023-01-05"][: 3 if start else 2] for i, end in enumerate(ends)]
    )


def mostly(running: str, *ends: str) -> list[str]:
    return [*ends, *[running] * 6]


@pytest.mark.parametrize(
    ("column", "ends", "proposed"),
    [
        ("ended_at", mostly("", "2024-01-31"), "ended_at"),
        ("contract_end_date", mostly("", "2024-01-31"), "contract_end_date"),
        ("Vertragsende", mostly("", "31.01.2024"), "strptime(Vertragsende, '%d.%m.%Y')"),
        ("Kündigung zum", mostly("", "31.01.2024"), "strptime(\"Kündigung zum\", '%d.%m.%Y')"),
        ("end", mostly("NULL", "2024-01-31", "2024-02-29"), '"end"'),
        (
            "cancelled_on",
            mostly("n/a", "01/31/2024"),
            "strptime(nullif(cancelled_on, 'n/a'), '%m/%d/%Y')",
        ),
        ("valid_until", mostly("9999-12-31", "2024-01-31"), "valid_until"),
        ("fecha_baja", mostly("", "2024-01-31 10:00:00"), "fecha_baja"),
        (
            "subscription_end",
            mostly("", "1706659200", "1704067200"),
            "to_timestamp(subscription_end)",
        ),
    ],
)
def test_a_column_that_looks_like_an_end_makes_the_label_a_question(
    tmp_path: Path, column: str, ends: list[str], proposed: str
) -> None:
    text, people = shop("2024-02-01"), contracts(column, ends)
    _, asked, found = look(tmp_path, text, people)
    assert asked["label.kind"] == ["ended", "no_purchase"]
    assert asked["customer_columns.ended_at"] == [proposed]
    assert not found.trial.stopped, found.trial.stopped
    tables = tomllib.loads(found.toml())
    assert "ended_at" not in tables["data"]["customer_columns"]
    assert tables["label"] == {}
    assert '# kind = "ended"' in found.toml().splitlines()
    with pytest.raises(Misuse, match=r"a person has to decide .*label\.kind"):
        found.applied_to('[data]\ntransactions = ""\n')

    decided, asked, found = look(tmp_path, text, people, **{"label.kind": "ended"})
    assert (decided["customer_columns.ended_at"], decided["label.kind"]) == (proposed, "ended")
    assert not asked
    assert "5 read = 5 kept" in found.trial.headline
    applied = tomllib.loads(found.applied_to('[data]\ntransactions = ""\n[label]\nkind = "x"\n'))
    assert applied["label"]["kind"] == "ended"
    assert applied["data"]["customer_columns"]["ended_at"] == proposed

    decided, asked, _ = look(tmp_path, text, people, **{"label.kind": "no_purchase"})
    assert (decided["customer_columns.ended_at"], decided["label.kind"]) == ("", "no_purchase")
    assert not asked


@pytest.mark.parametrize(
    ("column", "ends"),
    [
        ("ended_at", ["2024-01-31"] * 9),  # all contracts are over
        ("ended_at", mostly("")),  # nothing in it
        ("ended_at", mostly("", "yes", "no")),  # no dates
        ("weekend", mostly("", "2024-01-31")),
        ("last_login", mostly("", "2024-01-31")),
        ("unsubscribed_at", mostly("", "2024-01-31")),  # letters, and not a contract
        ("cancelled_orders", mostly("", "2", "3")),
    ],
)
def test_another_column_asks_for_no_label(tmp_path: Path, column: str, ends: list[str]) -> None:
    decided, asked, found = look(tmp_path, shop("2024-02-01"), contracts(column, ends))
    names = {*decided, *asked}
    assert not names & {"label.kind", "customer_columns.ended_at", "customer_columns.started_at"}
    assert "[label]" not in found.toml()


def test_the_start_goes_along_and_a_day_of_notice_stands_behind_the_end(tmp_path: Path) -> None:
    people = table(
        "customer_id,cancelled_at,contract_end,contract_start",
        [[f"C{i}", "2024-01-05" * (i < 2), "31/12/2024" * (i < 2), "2023-01-05"] for i in range(8)],
    )
    decided, asked, found = look(tmp_path, shop("2024-02-01"), people, **{"label.kind": "ended"})
    assert decided["customer_columns.started_at"] == "contract_start"
    assert asked == {
        "customer_columns.ended_at": ["strptime(contract_end, '%d/%m/%Y')", "cancelled_at"]
    }
    assert "is it the day of the end, or of the notice?" in " ".join(found.toml().split("\n# "))


def test_an_end_in_the_transactions_is_mentioned_and_a_cancelled_order_is_not(
    tmp_path: Path,
) -> None:
    rows = [[f"C{i % 7}", "2024-02-01", "5.00", "2024-03-01" * (i % 7 < 2)] for i in range(35)]
    _, asked, found = look(tmp_path, table("customer_id,order_date,amount,end_date", rows))
    assert "label.kind" not in asked
    assert any("end_date looks like the end of a contract" in note for note in found.notes)
    orders = [[f"C{i % 7}", "2024-02-01", "5.00", "2024-03-01" * (i % 5 == 0)] for i in range(35)]
    found = look(tmp_path, table("customer_id,order_date,amount,cancelled_at", orders))[2]
    assert not any("contract" in note for note in found.notes)


def test_a_column_with_a_word_of_sql_as_its_name_is_quoted(tmp_path: Path) -> None:
    rows = [[f"C{i % 7}", "2024-02-01", "5.00", f"O{i}"] for i in range(9)]
    decided, _, found = look(tmp_path, table("customer_id,order_date,amount,order", rows))
    assert decided["order_id"] == '"order"'
    assert "9 read = 9 kept" in found.trial.headline


# Event tables: whose events, and nothing that is not named.


def tickets(header: str = "ticket_id,customer,opened_at,topic,minutes,status", **more: Any) -> str:
    """Return thirty tickets of the buyers C0 to C6; ``more`` replaces a column by a function of the row."""
    columns: dict[str, Callable[[int], object]] = {
        "ticket_id": lambda i: i,
        "customer": lambda i: f"C{i % 7}",
        "opened_at": lambda i: f"2024-01-{i + 1:02} 10:00:00",
        "topic": lambda i: ("bill", "delivery")[i % 2],
        "minutes": lambda i: 5 + i,
        "status": lambda i: "closed",
    } | more
    names = header.split(",")
    values = list(columns.values())
    return table(header, [[values[k](i) for k in range(len(names))] for i in range(30)])


def look_at_events(
    root: Path, content: str, transactions: str = "shop.csv", **answers: Any
) -> tuple[dict[str, Any], dict[str, list[Any]], Proposal]:
    (root / "tickets.csv").write_text(content)
    days = [f"2024-01-{i % 30 + 1:02}" for i in range(60)]
    (root / "shop.csv").write_text(shop(*days).replace("order_date", "event_time"))
    files = input_files_of(root, transactions=transactions)
    found = suggestions.suggest_events(files, "tickets.csv", "tickets", answers, in_clear=False)
    decided = {d.name: d.value for d in found.decisions if not d.is_open}
    return decided, {d.name: [c.value for c in d.candidates] for d in found.open}, found


def test_an_event_table_is_proposed_and_tried_on_the_buyers(tmp_path: Path) -> None:
    decided, asked, found = look_at_events(tmp_path, tickets())
    expected = {"customer_id": "customer", "event_time": "opened_at", "where": ""}
    assert decided.items() >= (expected | {"kind": "topic", "value": "minutes"}).items()
    assert not asked
    assert "30 read = 30 kept" in found.trial.headline
    assert "7 of 7 customers met among 7 buyers" in found.trial.headline
    proposed = tomllib.loads(found.toml())["data"]["events"]["tickets"]
    assert proposed["file"] == "tickets.csv"
    assert "C1" not in found.toml()
    assert 'source="tickets" has to use the table' in " ".join(found.toml().split("\n# "))


@pytest.mark.parametrize(
    ("content", "decided", "asked"),
    [
        (tickets(customer=lambda i: f"c{i % 7}"), {}, ["customer_id"]),
        (tickets("ticket_id,who,opened_at,topic,minutes,status"), {}, ["customer_id"]),
        (tickets(ticket_id=lambda i: i // 3), {}, ["where"]),
        (tickets(opened_at=lambda i: f"0{i % 9 + 1}/02/2024"), {}, ["event_time"]),
        (tickets(topic=lambda i: f"my parcel {i} is late"), {"kind": ""}, []),
        (tickets(minutes=lambda i: f"{i} of them"), {"value": ""}, []),
        (tickets("a,customer,opened_at,b,c,d"), {"kind": "", "value": "", "where": ""}, []),
        (tickets().replace(",", ";"), {"reader.delimiter": ";"}, []),
    ],
)
def test_what_an_event_table_does_not_tell_is_a_question_or_left_out(
    tmp_path: Path, content: str, decided: dict[str, str], asked: list[str]
) -> None:
    found, questions, _ = look_at_events(tmp_path, content)
    assert list(questions) == asked
    assert found.items() >= decided.items()


def test_numbers_of_tickets_that_are_numbers_of_customers_too_are_no_customers(
    tmp_path: Path,
) -> None:
    text = tickets(ticket_id=lambda i: f"C{i % 7}", customer=lambda i: f"C{i % 3}")
    assert look_at_events(tmp_path, text)[0]["customer_id"] == "customer"


@pytest.mark.parametrize("transactions", ["synthetic", "absent.csv"])
def test_without_purchases_the_events_are_tried_alone_and_it_says_so(
    tmp_path: Path, transactions: str
) -> None:
    decided, _, found = look_at_events(tmp_path, tickets(), transactions)
    assert decided["customer_id"] == "customer"
    assert "30 read = 30 kept" in found.trial.headline
    assert "Who is among the buyers is not known" in found.toml()


def test_an_applied_event_table_is_read_by_step_1(own: Path) -> None:
    (own / "tickets.csv").write_text(tickets().replace(",", ";"))
    purchases = shop(*(f"2024-01-{i % 30 + 1:02}" for i in range(60))).encode()
    assert not suggest(own, purchases, *answered(BASIS), "--apply", "--yes").exit_code
    told = CliRunner().invoke(
        application(),
        ["data", "suggest", "tickets.csv", "--event", "tickets", "--apply", "--yes"],
    )
    assert told.exit_code == 0, (told.output, told.exception)
    found = settings.load(root=own).data
    assert found.events["tickets"].kind == "topic"
    assert (found.reader.delimiter, found.events["tickets"].reader.delimiter) == (",", ";")
    files = input_files(settings.load(root=own))
    pin = own / "pin.json"
    pin.write_text(json.dumps(files.describe(None)))
    tables = Intake(files, gates(own, files)).read(pin)
    tables.mark_erased_and_expired()
    tables.set_aside()
    (rows,) = tables._events
    assert (rows.counts.read, rows.counts.kept) == (30, 30)


@pytest.mark.parametrize("name", ["Tickets", "a.b", "transactions", "x y"])
def test_a_name_that_no_event_table_may_have_is_one_line(own: Path, name: str) -> None:
    said = suggest(own, tickets().encode(), "--event", name)
    assert "--event" in str(said.exception)
    assert "\n" not in str(said.exception)


def test_a_file_without_an_amount_names_the_way_for_events(tmp_path: Path) -> None:
    text = tickets("ticket_id,customer,opened_at,topic,length,status")
    assert any(note.endswith("lines.csv --event NAME") for note in look(tmp_path, text)[2].notes)
    assert not look(tmp_path, shop("2024-02-01"))[2].notes


def test_a_few_addresses_in_a_small_file_are_not_shown_as_states(tmp_path: Path) -> None:
    rows = [[f"C{i % 3}", "2024-02-01", "5.00", f"anna.berg{i}@mail.example"] for i in range(6)]
    text = table("customer_id,order_date,amount,bemail", rows)
    found = look(tmp_path, text, where="bemail <> 'nobody'")[2]
    assert found.trial.samples
    assert "anna.berg" not in str(found.trial.samples)
