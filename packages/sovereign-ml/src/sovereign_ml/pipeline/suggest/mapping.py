"""Meaning of the columns: customer, time, amount, currency, order, category and filter."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sovereign_ml.config.tables import ReaderSettings
from sovereign_ml.pipeline.suggest.column_values import ColumnValues, TimeReading, read_times
from sovereign_ml.pipeline.suggest.presets import Preset, plain, preset_of
from sovereign_ml.pipeline.suggest.proposed_setting import NO, YES, Candidate, ProposedSetting
from sovereign_ml.storage import duckdb as db
from sovereign_ml.storage.expressions import Expressions

if TYPE_CHECKING:
    import duckdb

__all__ = ["MappingGuess", "decimal_of"]

COLUMNS = "data.columns"
NAMES = {
    "customer_id": "customerid customerno customernumber clientid clientnumber kundennr "
    "kundennummer kundenid "
    "debitor idclient codeclient numclient idcliente codicecliente klantnummer klantid klientid "
    "userid memberid "
    "buyerid shopperid accountid householdkey subscriberid customer kunde client cliente klant "
    "user member klienta nrklienta "
    "customeremail billingemail useremail email emailaddress "
    "kundnummer kundenummer kundenr kundnr asiakas asiakasnumero zakaznik cislozakaznika ugyfel "
    "vevo πελατησ клиент",
    "event_time": "orderedat orderdate ordertime purchasedate purchasedat transactiondate "
    "transactiontime "
    "invoicedate createdat createdatetime created eventtime eventdate timestamp datetime "
    "bestelldatum kaufdatum "
    "rechnungsdatum belegdatum buchungsdatum datecommande dateachat fechapedido fechacompra "
    "dataordine "
    "orderdatum besteldatum saledate salesdate paidat date datum fecha data zamowienia day tag "
    "openedat occurredat loginat loggedinat sentat visitedat clickedat submittedat startedat "
    "opened occurred "
    "eroffnet eroffnetam geoffnetam erstelltam eingangsdatum "
    "ordredato kobsdato dato datumobjednavky datapedido paivamaara datumcumpararii ημερομηνια дата",
    "line_total": "linetotal lineamount netamount grossamount amounteur amount salesvalue sales "
    "revenue turnover "
    "ordertotal grandtotal total totalprice totalamount ordervalue paid belopp belob belop beløb "
    "castka cena cenacelkem valor suma "
    "osszeg summa ποσο сума betrag nettobetrag bruttobetrag umsatz "
    "gesamtbetrag summe montant total importe importo bedrag kwota wartosc wert value price preis "
    "prix",
    "quantity": "quantity qty units menge anzahl stuck stueck quantite cantidad quantita aantal "
    "ilosc "
    "itemquantity lineitemquantity",
    "unit_price": "unitprice priceperunit pricepiece itemprice lineitemprice price einzelpreis "
    "stuckpreis "
    "stueckpreis preis prixunitaire preciounitario prezzounitario stuksprijs",
    "currency": "currency currencycode ordercurrency wahrung waehrung wkz devise moneda moeda "
    "valuta waluta mena "
    "penznem valuutta νομισμα валута",
    "order_id": "orderid orderno ordernumber invoiceid invoiceno invoicenumber invoice "
    "transactionid basketid "
    "receiptid receiptno bestellnummer bestellnr bestellid auftragsnummer auftragsnr "
    "rechnungsnummer "
    "rechnungsnr belegnummer belegnr bonnr numcommande idpedido ordernummer order bestellung beleg",
    "category": "category productcategory producttype productgroup department warengruppe "
    "kategorie "
    "produktgruppe artikelgruppe categorie categoria rubrik segment",
    "side": "sollhabenkennzeichen sollhaben sh debitcredit drcr dc",
    "kind": "type transactiontype kind art typ belegart vorgang movementtype",
    "status": "status orderstatus state paymentstatus financialstatus bestellstatus zahlungsstatus",
}
"""Names of columns in a few languages, the surest first."""
OTHERS = {
    "customer_id": "name names firstname lastname vorname nachname nom type typ country land city "
    "ort group gruppe "
    "segment class since seit status age alter gender phone language postcode plz rating count",
    "event_time": "birth birthday birthdate dob geburt geburts naissance delivery delivered "
    "shipping shipped ship "
    "dispatch due updated modified changed expiry expires expire end ended until lieferung liefer "
    "versand update",
    "line_total": "tax taxes vat mwst ust tva iva shipping postage porto freight versand discount "
    "rabatt refund "
    "refunded fee fees gebuhr tip deposit balance saldo cost costs kosten margin commission "
    "points punkte",
}
"""Words in the name of a column that only seems to have a role.

A delivery is no purchase, and a tax is no amount.
"""
UNITS = {
    "{} / 100": "cent cents minor pence ore grosze centimes centimos",
    "{} * 1000": "keur teur tsd thousand thousands k",
}
"""Words in the name of an amount for its unit, by the conversion to the currency itself."""
MONEY = {
    "USD": "usd dollar dollars",
    "GBP": "gbp pound pounds pence",
    "CHF": "chf franken",
    "PLN": "pln zloty zł",
    "SEK": "sek",
    "NOK": "nok",
    "DKK": "dkk",
    "CZK": "czk",
    "HUF": "huf",
    "RON": "ron",
    "BGN": "bgn",
    "EUR": "eur euro euros keur teur",
}
"""Words for a currency, in the name of an amount or in a column of currencies."""
LESS = "refund refunded refunds erstattet erstattung discount discounts rabatt nachlass remise"
"""Words in the name of a number that may have to be taken off the amount."""
FLAGS = (
    "cancelled canceled cancellation cancel storniert storno annule void voided test testorder "
    "deleted fraud draft anulowane annullato cancelado geannuleerd"
)
"""Words in the name of a column that marks rows which are no purchases."""
LIVE_WORDS = (
    "completed complete paid processing shipped delivered closed fulfilled ok success succeeded "
    "done active open "
    "abgeschlossen bezahlt versendet geliefert erledigt partially_refunded refunded returned"
)
"""States of an order that is a purchase."""
RETURN_WORDS = (
    "refund",
    "return",
    "credit",
    "gutschrift",
    "retoure",
    "erstattung",
    "storno",
    "avoir",
)
DEAD_WORDS = (
    *(
        "cancelled",
        "canceled",
        "failed",
        "pending",
        "unpaid",
        "voided",
        "expired",
        "draft",
        "on-hold",
    ),
    *(
        "storniert",
        "offen",
        "abgebrochen",
        "fehlgeschlagen",
        "annule",
        "annulee",
        "cancelado",
        "annullato",
    ),
)
CODE = re.compile(r"\s*[A-Za-z]{3}\s*")
"""A currency, as ISO 4217 writes it."""
SIGNS = {
    r"[$]|USD": "USD",
    r"£|GBP": "GBP",
    "CHF": "CHF",
    "PLN|zł": "PLN",
    "SEK|kr": "SEK",
}
"""Signs beside an amount, with the currency that they most often mean."""
SEVERAL = ("USD", "SEK")
"""Currencies whose sign may mean others too: Canadian dollars, Danish crowns."""
NO_AMOUNT = "no column has a name of an amount"
GUESTS = ("0", "-1", "guest", "gast", "null", "none")


def _words_of(name: str) -> set[str]:
    """Return the words of a column's name: ``actual_amountPaid`` has actual, amount and paid."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return {plain(word) for word in re.split(r"[\W_]+", apart)}


def decimal_of(columns: Mapping[str, ColumnValues]) -> ProposedSetting | None:
    """Return the decimal mark of the file, None where no value has one."""
    numeric = [c for c in columns.values() if c.is_numeric and c.sql_type == "VARCHAR"]
    comma = [c for c in numeric if c.comma]
    point = [c for c in numeric if c.point]
    words = [f"{c.name}: {c.comma:,} values such as 12,50" for c in comma]
    words += [f"{c.name}: {c.point:,} values such as 12.50" for c in point]
    candidates = (Candidate(",", "12,50 and 1.234,56"), Candidate(".", "12.50 and 1,234.56"))
    if comma and point:
        if sum(c.point for c in point) > sum(c.comma for c in comma):
            candidates = candidates[::-1]
        return ProposedSetting("data.reader", "decimal", None, words, candidates)
    if comma or point:
        return ProposedSetting("data.reader", "decimal", "," if comma else ".", words)
    # 1,234 may be a thousand or a fraction.
    grouped = [c for c in numeric if c.comma_groups or c.point_groups]
    if grouped:
        why = [
            f"{c.name}: {c.comma_groups + c.point_groups:,} values have one mark with three digits "
            "after it, which may be thousands or a fraction"
            for c in grouped
        ]
        if not any(c.point_groups for c in grouped):
            candidates = candidates[::-1]
        return ProposedSetting("data.reader", "decimal", None, why, candidates)
    return None


@dataclass
class MappingGuess:
    """The decisions about ``[data]`` and ``[data.columns]`` over the loaded ``table``."""

    connection: duckdb.DuckDBPyConnection
    table: str
    columns: Mapping[str, ColumnValues]
    decimal: Literal[".", ","]
    above: Sequence[str] = ()

    def __post_init__(self) -> None:
        self.preset: Preset | None = preset_of(list(self.columns))
        self._plain = {plain(name): column for name, column in reversed(list(self.columns.items()))}
        self.notes: list[str] = list(self.preset.notes) if self.preset else []

    def decisions(self) -> list[ProposedSetting]:
        """Return one decision for each key, in the order of config.toml."""
        time, zone = self._time()
        keys: dict[str, Callable[[], ProposedSetting]] = {
            "customer_id": self._customer,
            "amount_eur": self._amount,
            "category": self._category,
            "currency": self._currency,
            "order_id": self._order,
        }
        mapped = {key: self._from_preset(key) or guess() for key, guess in keys.items()}
        return [
            zone,
            self._from_preset("where") or self._where(),
            mapped.pop("customer_id"),
            time,
            *mapped.values(),
        ]

    def _from_preset(self, key: str) -> ProposedSetting | None:
        for template in self.preset.templates.get(key, ()) if self.preset else ():
            marks = re.findall(r"\{#?(\w+)\}", template)
            if all(mark in self._plain for mark in marks):
                value = re.sub(r"\{(#?)(\w+)\}", self._filled_in, template)
                table = "data" if key == "where" else COLUMNS
                why = [f"known export: {self.preset.name}"] if self.preset else []
                if key == "currency":
                    why += self._currencies(value)
                return ProposedSetting(table, key, value, why)
        return None

    def _filled_in(self, mark: re.Match[str]) -> str:
        column = self._plain[mark[2]]
        return str(column.number(self.decimal) if mark[1] else column.sql)

    def _named(self, role: str) -> list[ColumnValues]:
        """Return the columns with a name of ``role``, the surest first.

        If there are none, return those with such a word in the name.
        """
        names = NAMES[role].split()
        exact = [self._plain[name] for name in names if name in self._plain]
        words = {column.name: _words_of(column.name) for column in self.columns.values()}
        others = set(OTHERS.get(role, "").split())
        near = [
            column
            for column in self.columns.values()
            if words[column.name] & set(names) and not words[column.name] & others
        ]
        return [column for column in exact or near if column.filled]

    def _is_sure(self, role: str, columns: Sequence[ColumnValues]) -> bool:
        """Return whether the first of ``columns`` has the very name, or is the only one."""
        return len(columns) == 1 or plain(columns[0].name) in NAMES[role].split()

    def _time(self) -> tuple[ProposedSetting, ProposedSetting]:
        """Return the decisions about ``event_time`` and ``timezone``."""
        preset = self.preset
        named = (
            [self._plain[n] for n in preset.time.split("|") if n in self._plain]
            if preset
            else self._named("event_time")
        )
        times = [(c, reading) for c in named if (reading := self._read(c))]
        # A known export has its time in a known column, so no other one is tried.
        others = [] if preset else [c for c in self.columns.values() if c not in named]
        more = [(c, reading) for c in others if (reading := self._read(c))]
        if preset and not times and (fiscal := self._without_year(named)):
            return fiscal, self._zone(TimeReading([], 1.0, False, False))
        if not times:
            candidates = [Candidate(r.candidates[0].value, f"column {c.name}") for c, r in more]
            reason = ("no column has a name of a time and values that are one",)
            reading = more[0][1] if more else TimeReading([], 0, False, False)
            question = ProposedSetting(COLUMNS, "event_time", None, reason, candidates)
            return question, self._zone(reading)
        column, reading = times[0]
        why = list(reading.why)
        rest = [c.name for c, _ in (*times[1:], *more)]
        if rest:
            why.append(f"also times: {', '.join(rest)}")
        if reading.readable < 1:
            why.append(f"{reading.readable:.1%} of the values of {column.name} can be read")
        if not preset and not self._is_sure("event_time", [c for c, _ in times]):
            several = [
                Candidate(option.value, f"column {c.name}")
                for c, r in times
                for option in r.candidates
            ]
            return ProposedSetting(COLUMNS, "event_time", None, why, several), self._zone(reading)
        if len(reading.candidates) > 1:
            return ProposedSetting(
                COLUMNS, "event_time", None, why, reading.candidates
            ), self._zone(reading)
        value = str(reading.candidates[0].value)
        if not reading.has_clock:
            self.notes += self._clocks(column)
        if preset and preset.utc and not reading.has_zone:
            value = f"CAST({value} AS TIMESTAMP) AT TIME ZONE 'UTC'"
            why.append(f"{preset.name}: times are in UTC")
            reading = TimeReading([], reading.readable, True, True)
        return ProposedSetting(COLUMNS, "event_time", value, why), self._zone(reading)

    def _clocks(self, day: ColumnValues) -> list[str]:
        """Return advice where the time of day is in a column of its own."""
        clock = (
            r"regexp_full_match(trim(CAST({} AS VARCHAR)), "
            r"'[0-2]?[0-9]:[0-5][0-9](:[0-5][0-9].*)?')"
        )
        return [
            f"{day.name} has no time of day, and {c.name} may be it. To join them, such as: --set "
            '"event_time='
            f"strptime({day.sql} || ' ' || {c.sql}, '%d.%m.%Y %H:%M:%S')\"."
            for c in self.columns.values()
            if c.filled
            and c is not day
            and db.count(self.connection, self.table, clock.format(c.sql)) >= 0.95 * c.filled
        ]

    def _read(self, column: ColumnValues) -> TimeReading | None:
        return read_times(self.connection, self.table, column) if column.filled else None

    def _without_year(self, named: Sequence[ColumnValues]) -> ProposedSetting | None:
        """Return the time of postings that have day and month alone."""
        # The first line of such an export has the start of the fiscal year.
        year = re.search(r"(?<!\d)(20\d{2})0101(?!\d)", "\n".join(self.above))
        if not named:
            return None
        day = f"lpad({named[0].sql}, 4, '0')"
        if not year:
            candidates = [Candidate(f"strptime({day} || '2026', '%d%m%Y')", "put the year in")]
            why = ("day and month without a year",)
            return ProposedSetting(COLUMNS, "event_time", None, why, candidates)
        why = (
            f"day and month; the first line says that the fiscal year {year[1]} starts in January",
        )
        return ProposedSetting(
            COLUMNS, "event_time", f"strptime({day} || '{year[1]}', '%d%m%Y')", why
        )

    def _zone(self, reading: TimeReading) -> ProposedSetting:
        if self.preset and self.preset.timezone:
            return ProposedSetting(
                "data", "timezone", self.preset.timezone, (f"known of {self.preset.name}",)
            )
        if reading.has_zone:
            return ProposedSetting("data", "timezone", "UTC", ("not used: each time has its zone",))
        if not reading.has_clock:
            return ProposedSetting("data", "timezone", "UTC", ("dates without a time of day",))
        why = ("the times name no zone, and the file cannot tell whose clock they are",)
        zones = ("Europe/Berlin", "UTC", "Europe/London")
        return ProposedSetting("data", "timezone", None, why, [Candidate(zone) for zone in zones])

    def _customer(self) -> ProposedSetting:
        named = self._named("customer_id")
        # A column with a single value names nobody.
        usable = [c for c in named if c.distinct > 1 and not self._is_time(c)]
        if not usable:
            # Customers come back, so a value that is new in nearly every row names no customer. A
            # comma or a point marks an amount.
            repeated = [
                c
                for c in self.columns.values()
                if c.filled
                and 1 < c.distinct < 0.9 * c.filled
                and not c.comma
                and not c.point
                and not self._is_time(c)
            ]
            repeated.sort(key=lambda c: -c.distinct)
            candidates = [Candidate(c.sql, self._ids(c)) for c in repeated[:5]]
            reason = ("no column has a name of a customer",)
            return ProposedSetting(COLUMNS, "customer_id", None, reason, candidates)
        first = usable[0]
        why = [self._ids(first)]
        if others := [c.name for c in usable[1:4]]:
            why.append(f"also possible: {', '.join(others)}")
        if not self._is_sure("customer_id", usable):
            candidates = [Candidate(c.sql, self._ids(c)) for c in usable]
            return ProposedSetting(COLUMNS, "customer_id", None, why, candidates)
        # A value that never repeats may be the id of the order, so a person decides.
        if first.distinct == first.filled > 20:
            why.append("each row has its own: nobody would ever have bought twice")
            candidates = [Candidate(c.sql, self._ids(c)) for c in (*usable[1:], first)]
            return ProposedSetting(COLUMNS, "customer_id", None, why, candidates)
        mails = [c for c in usable[1:] if "mail" in plain(c.name)]
        # Orders of guests have no account, so the e-mail address has to name the customer.
        gaps = self._guests(first, mails[0]) if mails else 0
        if gaps:
            value = (
                f"CASE WHEN {self._is_guest(first)} THEN lower({mails[0].sql}) "
                f"ELSE CAST({first.sql} AS VARCHAR) END"
            )
            why.append(f"{gaps:,} orders without an account are known by {mails[0].name}")
            return ProposedSetting(COLUMNS, "customer_id", value, why)
        # Some write the same e-mail address in capitals.
        mail = "mail" in plain(first.name) or self._holds_mails(first)
        value = f"lower({first.sql})" if mail else first.sql
        return ProposedSetting(COLUMNS, "customer_id", value, why)

    def _is_time(self, column: ColumnValues) -> bool:
        reading = self._read(column)
        return reading is not None and reading.readable > 0.9

    @staticmethod
    def _ids(column: ColumnValues) -> str:
        empty = column.rows - column.filled
        return f"{column.name}: {column.distinct:,} different values in {column.filled:,} rows" + (
            f", empty in {empty:,}" if empty else ""
        )

    def _guests(self, column: ColumnValues, mail: ColumnValues) -> int:
        condition = f"{self._is_guest(column)} AND {mail.sql} LIKE '%@%'"
        return db.count(self.connection, self.table, condition)

    def _holds_mails(self, column: ColumnValues) -> bool:
        """Return whether nearly all values are e-mail addresses, which some write in capitals."""
        condition = f"CAST({column.sql} AS VARCHAR) LIKE '%_@_%'"
        return db.count(self.connection, self.table, condition) >= 0.9 * column.filled

    @staticmethod
    def _is_guest(column: ColumnValues) -> str:
        words = ", ".join(db.literal(word) for word in ("", *GUESTS))
        return f"lower(trim(coalesce(CAST({column.sql} AS VARCHAR), ''))) IN ({words})"

    def _amount(self) -> ProposedSetting:
        totals = [c for c in self._named("line_total") if c.is_numeric]
        pieces = [c for c in self._named("quantity") if c.is_numeric]
        prices = [c for c in self._named("unit_price") if c.is_numeric]
        product = (
            f"{pieces[0].number(self.decimal)} * {prices[0].number(self.decimal)}"
            if pieces and prices
            else ""
        )
        # Beside a quantity, the price of a piece is no total.
        totals = [c for c in totals if not prices or c.name != prices[0].name or not pieces]
        choices = [Candidate(c.number(self.decimal), f"column {c.name}") for c in totals]
        if product:
            choices.append(Candidate(product, f"{pieces[0].name} times {prices[0].name}"))
        if not choices:
            numeric = [c for c in self.columns.values() if c.is_numeric and (c.comma or c.point)]
            candidates = [Candidate(c.number(self.decimal), f"column {c.name}") for c in numeric]
            reason = (NO_AMOUNT,)
            return ProposedSetting(COLUMNS, "amount_eur", None, reason, candidates)
        why: list[str] = []
        if product and totals:
            share = self._agreement(str(choices[0].value), product)
            words = f"{totals[0].name} is {choices[-1].evidence} in {share:.1%} of the rows"
            if share < 0.95:
                return self._signed(None, choices, [words])
            why.append(words)
        if len(totals) > 1 and not product:
            same = self._agreement(str(choices[0].value), str(choices[1].value))
            if same < 0.95 or not self._is_sure("line_total", totals):
                return self._signed(None, choices, ["several columns may be the amount"])
        if len(choices) > 1:
            why.append(f"also possible: {', '.join(c.evidence for c in choices[1:])}")
        return self._signed(str(choices[0].value), choices[:1], why)

    def _agreement(self, expression: str, other: str) -> float:
        """Return the share of the rows in which two expressions give the same amount."""
        mapping = {"amount_eur": f"abs(({expression}) - ({other}))"}
        reader = ReaderSettings(decimal=self.decimal)
        read = Expressions(self.connection, self.table, COLUMNS, reader, mapping)
        read.check()
        rows = read.layered(self.table, ["amount_eur"], guarded=True)
        # Both may be rounded to a cent, and computing with floats adds a little.
        same = db.count(self.connection, rows, f"{read.value('amount_eur')} < 0.011")
        return same / max(db.count(self.connection, self.table), 1)

    def _signed(
        self, value: str | None, choices: Sequence[Candidate], why: list[str]
    ) -> ProposedSetting:
        """Return the amount with the sign of a return, where the data show it.

        Another column or the signs themselves may show it.
        """
        column = next((c for c in self.columns.values() if value and c.sql in value), None)
        if value is None or column is None:
            return ProposedSetting(COLUMNS, "amount_eur", None, why, choices)
        question = self._other_amount(value, column, why)
        return question or self._with_sign(value, column, why)

    def _with_sign(self, value: str, column: ColumnValues, why: list[str]) -> ProposedSetting:
        """Return the amount ``value`` of ``column`` with its sign, or a question.

        It is a question where the sign may be turned.
        """
        sides = [c for c in self._named("side") if 1 < c.distinct <= 3]
        if sides and not column.negative:
            words = self._words(sides[0])
            credit = [w for w in words if w.strip().upper() in ("H", "C", "CR", "HABEN", "CREDIT")]
            if credit:
                listed = ", ".join(db.literal(w) for w in credit)
                turned = f"CASE WHEN {sides[0].sql} IN ({listed}) THEN -({value}) ELSE {value} END"
                other = f"CASE WHEN {sides[0].sql} IN ({listed}) THEN {value} ELSE -({value}) END"
                candidates = [
                    Candidate(turned, "accounts of customers: a debit is a sale"),
                    Candidate(other, "accounts of revenue: a credit is a sale"),
                ]
                why.append(f"{sides[0].name} has the sign: {self._counted(words)}")
                return ProposedSetting(COLUMNS, "amount_eur", None, why, candidates)
        if not column.negative:
            for kind in self._named("kind") + self._named("status"):
                words = self._words(kind)
                back = [w for w in words if any(r in w.casefold() for r in RETURN_WORDS)]
                # Where every word is one of returns, the column tells nothing apart.
                if back and len(back) < len(words):
                    listed = ", ".join(db.literal(w) for w in back)
                    # Some exports write a return with its sign already.
                    signed = (
                        f"CASE WHEN {kind.sql} IN ({listed}) THEN -abs({value}) ELSE {value} END"
                    )
                    candidates = [
                        Candidate(signed, f"{kind.name} names returns: {self._counted(words)}"),
                        Candidate(value, "if such rows are no money back"),
                    ]
                    return ProposedSetting(COLUMNS, "amount_eur", None, why, candidates)
            why.append("no amount is negative: the file has no returns, or writes them otherwise")
            return ProposedSetting(COLUMNS, "amount_eur", value, why)
        share = column.negative / max(column.numbers, 1)
        why.append(
            f"{column.negative:,} of {column.numbers:,} values of {column.name} are negative: "
            "returns"
        )
        # More returns than sales are unlikely, so the sign may be turned.
        if share > 0.5:
            candidates = [
                Candidate(f"-({value})", "the sign is turned, as in accounts of revenue"),
                Candidate(value, "most rows are returns"),
            ]
            return ProposedSetting(COLUMNS, "amount_eur", None, why, candidates)
        return ProposedSetting(COLUMNS, "amount_eur", value, why)

    def _other_amount(
        self, value: str, column: ColumnValues, why: Sequence[str]
    ) -> ProposedSetting | None:
        """Return a question where the amount's name or another number casts doubt on it."""
        words = _words_of(column.name)
        for form, units in UNITS.items():
            if words & set(units.split()):
                candidates = [
                    Candidate(form.format(value), f"{column.name} is in another unit by its name"),
                    Candidate(value, "if it is not"),
                ]
                return ProposedSetting(COLUMNS, "amount_eur", None, why, candidates)
        for other in self.columns.values():
            less = _words_of(other.name) & set(LESS.split())
            if (
                not less
                or other is column
                or not other.is_numeric
                or not self._any_above_zero(other)
            ):
                continue
            net = f"{value} - coalesce({other.number(self.decimal)}, 0)"
            candidates = [
                Candidate(net, f"{other.name} is not taken off {column.name} yet"),
                Candidate(value, f"{column.name} is without {other.name} already"),
            ]
            return ProposedSetting(COLUMNS, "amount_eur", None, why, candidates)
        return None

    def _any_above_zero(self, column: ColumnValues) -> bool:
        value = f"CAST({column.sql} AS VARCHAR)"
        return db.count(self.connection, self.table, f"regexp_matches({value}, '[1-9]')") > 0

    def _words(self, column: ColumnValues, most: int = 30) -> dict[str, int]:
        """Return the values of a column of few words with their rows, empty where it has more."""
        if column.distinct > most:
            return {}
        rows = self.connection.execute(
            f"SELECT CAST({column.sql} AS VARCHAR) AS w, count(*) FROM {self.table} "  # noqa: S608
            "WHERE w IS NOT NULL GROUP BY w ORDER BY 2 DESC, 1"
        ).fetchall()
        return {str(word): int(n) for word, n in rows}

    @staticmethod
    def _counted(words: Mapping[str, int]) -> str:
        return ", ".join(f"{word} {n:,}" for word, n in list(words.items())[:8])

    def _currency(self) -> ProposedSetting:
        for column in self._named("currency"):
            words = self._words(column)
            if words and all(CODE.fullmatch(word) for word in words):
                tidy = all(word == word.strip().upper() for word in words)
                value = column.sql if tidy else f"upper(trim({column.sql}))"
                return ProposedSetting(COLUMNS, "currency", value, self._currencies(value))
            if words:
                return self._written_currency(column, words)
        if signed := self._currency_signs():
            return signed
        for column in self._named("line_total") or self._named("unit_price"):
            for code, names in MONEY.items():
                if code != "EUR" and _words_of(column.name) & set(names.split()):
                    why = (f"by the name of {column.name}",)
                    return ProposedSetting(COLUMNS, "currency", f"'{code}'", why)
        why = ("no column of currency codes: amounts are taken as EUR; for pounds write \"'GBP'\"",)
        return ProposedSetting(COLUMNS, "currency", "", why)

    def _written_currency(self, column: ColumnValues, words: Mapping[str, int]) -> ProposedSetting:
        """Return the currency of a column that writes it as a sign or a word, or a question."""
        codes: dict[str, str] = {}
        for word in words:
            matches = [
                code for code, names in MONEY.items() if _words_of(word) & set(names.split())
            ]
            matches += [SIGNS[sign] for sign in SIGNS if re.search(sign, word)]
            matches += ["EUR"] if "€" in word else []
            if matches or CODE.fullmatch(word):
                codes[word] = matches[0] if matches else word.strip().upper()
        whens = " ".join(
            f"WHEN {db.literal(word)} THEN {db.literal(code)}" for word, code in codes.items()
        )
        value = f"CASE CAST({column.sql} AS VARCHAR) {whens} END"
        why = [f"{column.name}: {self._counted(words)}"]
        if len(codes) == len(words):
            return ProposedSetting(COLUMNS, "currency", value, why)
        why.append("some of these words name no currency that is known here")
        candidates = [Candidate(value)] if codes else []
        candidates.append(Candidate("", "if amounts are EUR"))
        return ProposedSetting(COLUMNS, "currency", None, why, candidates)

    def _currency_signs(self) -> ProposedSetting | None:
        """Return the currency that stands beside the amounts themselves.

        Returns None where it is EUR or where there is none.
        """
        amounts = [c for role in ("line_total", "unit_price") for c in self._named(role)]
        column = next((c for c in amounts if c.with_symbol), None)
        if column is None:
            return None
        text = f"CAST({column.sql} AS VARCHAR)"
        signs = {
            pattern: n
            for pattern in SIGNS
            if (n := db.count(self.connection, self.table, f"regexp_matches({text}, '{pattern}')"))
        }
        if not signs:
            return None
        whens = " ".join(f"WHEN regexp_matches({text}, '{p}') THEN '{SIGNS[p]}'" for p in signs)
        alone = len(signs) == 1 and sum(signs.values()) == column.filled
        value = f"'{SIGNS[next(iter(signs))]}'" if alone else f"CASE {whens} ELSE 'EUR' END"
        why = [f"{column.name} has {SIGNS[p]} beside {n:,} amounts" for p, n in signs.items()]
        if not any(SIGNS[p] in SEVERAL for p in signs):
            return ProposedSetting(COLUMNS, "currency", value, why)
        why.append("several countries write their money so")
        candidates = (Candidate(value, "if it is that one"), Candidate("", "if amounts are EUR"))
        return ProposedSetting(COLUMNS, "currency", None, why, candidates)

    def _currencies(self, value: str) -> list[str]:
        counted = self.currencies(value)
        words = self._counted({code or "(empty)": n for code, n in counted.items()})
        several = "several currencies: " if len(set(counted) - {""}) > 1 else ""
        return [f"{several}{words}"]

    def currencies(self, expression: str) -> dict[str, int]:
        """Return the codes that ``expression`` gives, with their rows."""
        rows = self.connection.execute(
            f"SELECT CAST({expression} AS VARCHAR) AS w, count(*) FROM {self.table} "  # noqa: S608
            "GROUP BY w ORDER BY 2 DESC, 1 LIMIT 20"
        ).fetchall()
        return {str(word or ""): int(n) for word, n in rows}

    def _order(self) -> ProposedSetting:
        without = (
            "no column of order numbers: lines of a customer at the same time are one purchase"
        )
        return self._optional("order_id", without)

    def _category(self) -> ProposedSetting:
        return self._optional("category", "no column of product groups")

    def _optional(self, key: str, without: str) -> ProposedSetting:
        """Return a column that has the very name of ``key``.

        One that only has the word in its name is mentioned.
        """
        named = [c for c in self._named(key) if c.distinct > 1]
        sure = [c for c in named if plain(c.name) in NAMES[key].split()]
        if sure:
            return ProposedSetting(COLUMNS, key, sure[0].sql, (self._ids(sure[0]),))
        near = [c.name for c in named if not self._is_time(c)]
        why = (without, f"perhaps {', '.join(near)}") if near else (without,)
        return ProposedSetting(COLUMNS, key, "", why)

    def _where(self) -> ProposedSetting:
        """Return the filter, a question where a state or a mark may stand for no purchase."""
        live = LIVE_WORDS.split()
        for column in self._named("status"):
            words = self._words(column)
            dead = [w for w in words if w.strip().casefold() in DEAD_WORDS]
            listed = ", ".join(db.literal(w) for w in dead)
            why = (
                f"rows that are no purchases are left out; {column.name}: {self._counted(words)}",
            )
            value = f"{column.sql} NOT IN ({listed})"
            unknown = [w for w in words if w not in dead and w.strip().casefold() not in live]
            if dead and not unknown:
                return ProposedSetting("data", "where", value, why)
            if unknown and column.distinct > 1:
                most = next(iter(words))
                candidates = [
                    *([Candidate(value, "the states that are known for it")] if dead else []),
                    Candidate("", "if each of these states is a purchase"),
                    Candidate(f"{column.sql} = {db.literal(most)}", "the most frequent one alone"),
                ]
                return ProposedSetting("data", "where", None, why, candidates)
        for column in self.columns.values():
            if column.filled and (keep := self._unmarked(column)):
                candidates = [Candidate(keep), Candidate("", "if marked rows are purchases too")]
                why = (f"{column.name} marks rows that may be no purchases",)
                return ProposedSetting("data", "where", None, why, candidates)
        return ProposedSetting("data", "where", "", ("all rows are taken",))

    def _unmarked(self, column: ColumnValues) -> str:
        """Return SQL for the rows that a column such as ``is_cancelled`` does not mark.

        It is empty for other columns.
        """
        if not _words_of(column.name) & set(FLAGS.split()):
            return ""
        words = {word.strip().casefold() for word in self._words(column)}
        yes = sorted(words & set(YES))
        if yes and words <= {*YES, *NO}:
            listed = ", ".join(db.literal(word) for word in yes)
            text = f"lower(trim(CAST({column.sql} AS VARCHAR)))"
            return f"coalesce({text}, '') NOT IN ({listed})"
        return f"{column.sql} IS NULL" if self._is_time(column) else ""
