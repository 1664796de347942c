"""Exports that are known by their header: the meaning of their columns, and the filter."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["PRESETS", "Preset", "plain", "preset_of"]


def plain(name: str) -> str:
    """Return the name of a column as presets have it: small letters and digits, no accents."""
    text = unicodedata.normalize("NFKD", name.casefold())
    bare = "".join(letter for letter in text if not unicodedata.combining(letter))
    return re.sub(r"[\W_]", "", bare).casefold()


@dataclass(frozen=True)
class Preset:
    """A known export. In a template ``{createdat}`` is a column, ``{#total}`` the same as a number.

    Of the templates of a key, the first one whose columns all exist counts.
    """

    name: str
    needs: Sequence[str]
    templates: Mapping[str, Sequence[str]]
    time: str
    utc: bool = False
    """True if times without a zone are in UTC by the documentation of the shop."""
    timezone: str = ""
    """Time zone of the shop, where there is only one with this export."""
    notes: Sequence[str] = ()
    checks: Mapping[str, object] = field(default_factory=dict)


# An order that was paid back was a purchase: the refund is taken off its amount.
PAID = "('paid', 'partially_paid', 'partially_refunded', 'refunded')"
PRESETS = (
    Preset(
        "Shopify orders",
        ("name", "email", "financialstatus", "total", "lineitemquantity", "createdat"),
        {
            "customer_id": ("lower({email})",),
            "amount_eur": ("{#total} - coalesce({#refundedamount}, 0)", "{#total}"),
            "currency": ("{currency}",),
            "order_id": ("{name}",),
            "where": (
                "{total} IS NOT NULL AND lower({financialstatus}) IN "
                + PAID
                + " AND {cancelledat} IS NULL",
                "{total} IS NOT NULL AND lower({financialstatus}) IN " + PAID,
            ),
        },
        time="createdat",
        notes=(
            "an order has one row for each line; Total and Financial Status stand in its first row "
            "alone, so the other rows are filtered",
            "Total minus Refunded Amount: the export has no date of a refund",
        ),
    ),
    Preset(
        "WooCommerce orders",
        ("status", "orderdate", "ordertotal", "billingemail"),
        {
            "customer_id": (
                "coalesce(nullif(CAST({customerid} AS VARCHAR), '0'), lower({billingemail}))",
                "coalesce(nullif(CAST({customeruser} AS VARCHAR), '0'), lower({billingemail}))",
                "lower({billingemail})",
            ),
            "amount_eur": (
                "{#ordertotal} - abs(coalesce({#refundedtotal}, 0))",
                "{#ordertotal} - abs(coalesce({#totalrefunded}, 0))",
                "{#ordertotal}",
            ),
            "currency": ("{ordercurrency}", "{currency}"),
            "order_id": ("{ordernumber}", "{orderid}"),
            "where": (
                "replace(lower({status}), 'wc-', '') IN ('completed', 'processing', 'refunded')",
            ),
        },
        time="orderdate",
        notes=("customer 0 is a guest, known by the e-mail address of the order",),
    ),
    Preset(
        "Magento orders (grid)",
        ("purchasepoint", "purchasedate", "grandtotalbase", "status", "customeremail"),
        {
            "customer_id": ("lower({customeremail})",),
            "amount_eur": (
                "{#grandtotalbase} - coalesce({#totalrefunded}, 0)",
                "{#grandtotalbase}",
            ),
            "order_id": ("{id}",),
            # Magento closes an order that was paid back.
            "where": ("lower({status}) IN ('complete', 'processing', 'closed')",),
        },
        time="purchasedate",
        notes=("Grand Total (Base) is in the base currency of the shop",),
    ),
    Preset(
        "Magento orders (sales_order)",
        ("incrementid", "customeremail", "createdat", "basegrandtotal", "status"),
        {
            "customer_id": (
                "coalesce(nullif(CAST({customerid} AS VARCHAR), '0'), lower({customeremail}))",
                "lower({customeremail})",
            ),
            "amount_eur": (
                "{#basegrandtotal} - coalesce({#basetotalrefunded}, 0)",
                "{#basegrandtotal}",
            ),
            "currency": ("{basecurrencycode}",),
            "order_id": ("{incrementid}",),
            "where": ("lower({status}) IN ('complete', 'processing', 'closed')",),
        },
        time="createdat",
        utc=True,
        notes=("an order without a customer_id is a guest, known by the e-mail address",),
    ),
    Preset(
        "Stripe payments (dashboard)",
        ("id", "createddateutc|createdutc", "amount", "amountrefunded", "currency", "status"),
        {
            "customer_id": (
                "coalesce({customerid}, lower({customeremail}))",
                "{customerid}",
                "{customer}",
            ),
            "amount_eur": (
                "{#convertedamount} - coalesce({#convertedamountrefunded}, 0)",
                "{#amount} - coalesce({#amountrefunded}, 0)",
            ),
            "currency": ("upper({convertedcurrency})", "upper({currency})"),
            "order_id": ("{id}",),
            "where": (
                "lower({status}) IN ('paid', 'succeeded', 'refunded', 'partially refunded')",
            ),
        },
        time="createddateutc|createdutc",
        utc=True,
    ),
    Preset(
        "Stripe charges (API)",
        ("id", "amount", "amountrefunded", "created", "currency", "customer"),
        {
            "customer_id": ("{customer}",),
            "amount_eur": ("({#amount} - coalesce({#amountrefunded}, 0)) / 100",),
            "currency": ("upper({currency})",),
            "order_id": ("{id}",),
            "where": ("lower({status}) = 'succeeded'",),
        },
        time="created",
        utc=True,
        notes=("amounts of the API are in cents; currencies without cents, such as JPY, are not",),
    ),
    Preset(
        "DATEV postings",
        ("umsatzohnesollhabenkz", "sollhabenkennzeichen", "konto", "belegdatum"),
        {
            "customer_id": ("{konto}",),
            "amount_eur": (
                "CASE WHEN {sollhabenkennzeichen} = 'H' THEN -{#umsatzohnesollhabenkz} "
                "ELSE {#umsatzohnesollhabenkz} END",
            ),
            "currency": ("coalesce({wkzumsatz}, 'EUR')",),
            "order_id": ("{belegfeld1}",),
            "where": (
                "length(CAST({konto} AS VARCHAR)) >= 5 AND left(CAST({konto} AS VARCHAR), 1) "
                "BETWEEN '1' AND '6' "
                "AND left(CAST({gegenkontoohnebuschlussel} AS VARCHAR), 1) IN ('4', '8')",
                "length(CAST({konto} AS VARCHAR)) >= 5 AND left(CAST({konto} AS VARCHAR), 1) "
                "BETWEEN '1' AND '6'",
            ),
        },
        time="belegdatum",
        notes=(
            "S (debit) on an account of a customer is a sale, H (credit) a credit note",
            "accounts of customers are 10000 to 69999, of revenue 4... (SKR 04) or 8... (SKR 03); "
            "payments and bookings between other accounts are filtered: compare with your chart "
            "of accounts",
        ),
    ),
    Preset(
        "SAP line items of customers",
        ("kunde|debitor", "belegnummer", "belegart", "belegdatum|buchungsdatum"),
        {
            "customer_id": ("{kunde}", "{debitor}"),
            "amount_eur": (
                "{#betraginhauswahrung}",
                "{#betraginhausw}",
                "{#betraginhw}",
                "{#betrag}",
            ),
            "currency": ("{hauswahrung}", "{hauswahrg}", "{wahrung}"),
            "order_id": ("{belegnummer}",),
            "where": ("{belegart} IN ('RV', 'DR', 'DG')",),
        },
        time="belegdatum|buchungsdatum",
        notes=("RV and DR are invoices, DG credit notes; DZ (payments) and others are filtered",),
    ),
    Preset(
        "Online Retail",
        (
            "invoiceno|invoice",
            "stockcode",
            "quantity",
            "invoicedate",
            "unitprice|price",
            "customerid",
        ),
        {
            "customer_id": ("{customerid}",),
            "amount_eur": ("{#quantity} * {#unitprice}", "{#quantity} * {#price}"),
            "category": ("left({stockcode}, 2)",),
            "currency": ("'GBP'",),
            "order_id": ("{invoiceno}", "{invoice}"),
        },
        time="invoicedate",
        timezone="Europe/London",
        notes=("amounts are pounds; times are those of the shop in London",),
        # About a quarter of its lines name no customer.
        checks={"max_share_of_reason": {"no_customer_id": 0.3}, "max_one_customer_share": 0.03},
    ),
)
CDNOW = ("customer_id", "date", "cds", "amount")
"""Columns of the CDNOW study, whose file has no header and is separated by spaces."""


def preset_of(columns: Sequence[str]) -> Preset | None:
    """Return the preset all of whose needed columns exist. ``a|b`` needs one of them."""
    header = {plain(name) for name in columns}
    fitting = [
        preset for preset in PRESETS if all(header & set(need.split("|")) for need in preset.needs)
    ]
    # The preset that needs the most columns is the most specific one.
    return max(fitting, key=lambda preset: len(preset.needs), default=None)
