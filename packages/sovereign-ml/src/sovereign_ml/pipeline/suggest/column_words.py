"""Words in the names and values of columns by which a file is understood, in a few languages."""

from __future__ import annotations

import re

from sovereign_ml.pipeline.suggest.presets import plain

NAMES = {
    "customer_id": (
        "customerid customerno customernumber clientid clientnumber kundennr kundennummer "
        "kundenid debitor idclient codeclient numclient idcliente codicecliente klantnummer "
        "klantid klientid userid memberid buyerid shopperid accountid householdkey subscriberid "
        "customer kunde client cliente klant user member klienta nrklienta customeremail "
        "billingemail useremail email emailaddress kundnummer kundenummer kundenr kundnr "
        "asiakas asiakasnumero zakaznik cislozakaznika ugyfel vevo πελατησ клиент"
    ),
    "event_time": (
        "orderedat orderdate ordertime purchasedate purchasedat transactiondate transactiontime "
        "invoicedate createdat createdatetime created eventtime eventdate timestamp datetime "
        "bestelldatum kaufdatum rechnungsdatum belegdatum buchungsdatum datecommande dateachat "
        "fechapedido fechacompra dataordine orderdatum besteldatum saledate salesdate paidat "
        "date datum fecha data zamowienia day tag openedat occurredat loginat loggedinat sentat "
        "visitedat clickedat submittedat startedat opened occurred eroffnet eroffnetam "
        "geoffnetam erstelltam eingangsdatum ordredato kobsdato dato datumobjednavky datapedido "
        "paivamaara datumcumpararii ημερομηνια дата"
    ),
    "line_total": (
        "linetotal lineamount netamount grossamount amounteur amount salesvalue sales revenue "
        "turnover ordertotal grandtotal total totalprice totalamount ordervalue paid belopp "
        "belob belop beløb castka cena cenacelkem valor suma osszeg summa ποσο сума betrag "
        "nettobetrag bruttobetrag umsatz gesamtbetrag summe montant total importe importo "
        "bedrag kwota wartosc wert value price preis prix"
    ),
    "quantity": (
        "quantity qty units menge anzahl stuck stueck quantite cantidad quantita aantal ilosc "
        "itemquantity lineitemquantity"
    ),
    "unit_price": (
        "unitprice priceperunit pricepiece itemprice lineitemprice price einzelpreis stuckpreis "
        "stueckpreis preis prixunitaire preciounitario prezzounitario stuksprijs"
    ),
    "currency": (
        "currency currencycode ordercurrency wahrung waehrung wkz devise moneda moeda valuta "
        "waluta mena penznem valuutta νομισμα валута"
    ),
    "order_id": (
        "orderid orderno ordernumber invoiceid invoiceno invoicenumber invoice transactionid "
        "basketid receiptid receiptno bestellnummer bestellnr bestellid auftragsnummer "
        "auftragsnr rechnungsnummer rechnungsnr belegnummer belegnr bonnr numcommande idpedido "
        "ordernummer order bestellung beleg"
    ),
    "category": (
        "category productcategory producttype productgroup department warengruppe kategorie "
        "produktgruppe artikelgruppe categorie categoria rubrik segment"
    ),
    "side": "sollhabenkennzeichen sollhaben sh debitcredit drcr dc",
    "kind": "type transactiontype kind art typ belegart vorgang movementtype",
    "status": "status orderstatus state paymentstatus financialstatus bestellstatus zahlungsstatus",
}
"""Names of columns in a few languages, the surest first."""
OTHERS = {
    "customer_id": (
        "name names firstname lastname vorname nachname nom type typ country land city ort "
        "group gruppe segment class since seit status age alter gender phone language postcode "
        "plz rating count"
    ),
    "event_time": (
        "birth birthday birthdate dob geburt geburts naissance delivery delivered shipping "
        "shipped ship dispatch due updated modified changed expiry expires expire end ended "
        "until lieferung liefer versand update"
    ),
    "line_total": (
        "tax taxes vat mwst ust tva iva shipping postage porto freight versand discount rabatt "
        "refund refunded fee fees gebuhr tip deposit balance saldo cost costs kosten margin "
        "commission points punkte"
    ),
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
    "done active open abgeschlossen bezahlt versendet geliefert erledigt partially_refunded "
    "refunded returned"
)
"""States of an order that is a purchase."""
RETURN_WORDS = "refund return credit gutschrift retoure erstattung storno avoir"
DEAD_WORDS = (
    "cancelled canceled failed pending unpaid voided expired draft on-hold storniert offen "
    "abgebrochen fehlgeschlagen annule annulee cancelado annullato"
)
"""States of an order that is no purchase, or not yet one."""
CODE = re.compile(r"\s*[A-Za-z]{3}\s*")
"""A currency, as ISO 4217 writes it."""
SIGNS = {
    **{r"[$]|USD": "USD", r"£|GBP": "GBP", "CHF": "CHF", "PLN|zł": "PLN", "SEK|kr": "SEK"},
    **{"NOK": "NOK", "DKK": "DKK", "CZK|Kč": "CZK", "HUF|Ft": "HUF", "RON|lei": "RON"},
    "BGN|лв": "BGN",
}
"""Signs beside an amount, with the currency that they most often mean."""
SEVERAL = ("USD", "SEK")
"""Currencies whose sign may mean others too: Canadian dollars, Danish crowns."""
GUESTS = ("0", "-1", "guest", "gast", "null", "none")


def words_of(name: str) -> set[str]:
    """Return the words of a column's name: ``actual_amountPaid`` has actual, amount and paid."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return {plain(word) for word in re.split(r"[\W_]+", apart)}
