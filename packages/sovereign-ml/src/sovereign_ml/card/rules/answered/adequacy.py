"""Countries with an adequacy decision of the Commission (GDPR 45), as data with date and source.

Source: the Commission's list of adequacy decisions. The decisions of before 2018 were confirmed on
15 January 2024 (COM(2024) 7). Read on 24 November 2026. The list is law that changes: rule R55 says
when it has to be read again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final


@dataclass(frozen=True)
class AdequacyDecision:
    """One decision.

    ``until`` is the day on which it ends by itself. ``limits`` says whom alone it covers.
    """

    country: str
    name: str
    decided: date
    source: str
    until: date | None = None
    limits: str = ""


_DECISIONS: Final = (
    AdequacyDecision("AD", "Andorra", date(2010, 10, 19), "2010/625/EU"),
    AdequacyDecision("AR", "Argentina", date(2003, 6, 30), "2003/490/EC"),
    AdequacyDecision("BR", "Brazil", date(2026, 1, 27), "decision of January 2026"),
    AdequacyDecision(
        "CA", "Canada", date(2001, 12, 20), "2002/2/EC", limits="commercial organisations"
    ),
    AdequacyDecision("CH", "Switzerland", date(2000, 7, 26), "2000/518/EC"),
    AdequacyDecision("FO", "Faroe Islands", date(2010, 3, 5), "2010/146/EU"),
    AdequacyDecision(
        "GB",
        "United Kingdom",
        date(2025, 12, 19),
        "(EU) 2021/1772, renewed on 19 December 2025",
        until=date(2031, 12, 27),
    ),
    AdequacyDecision("GG", "Guernsey", date(2003, 11, 21), "2003/821/EC"),
    AdequacyDecision("IL", "Israel", date(2011, 1, 31), "2011/61/EU"),
    AdequacyDecision("IM", "Isle of Man", date(2004, 4, 28), "2004/411/EC"),
    AdequacyDecision("JE", "Jersey", date(2008, 5, 8), "2008/393/EC"),
    AdequacyDecision("JP", "Japan", date(2019, 1, 23), "(EU) 2019/419", limits="private sector"),
    AdequacyDecision("KR", "South Korea", date(2021, 12, 17), "(EU) 2022/254"),
    AdequacyDecision("NZ", "New Zealand", date(2012, 12, 19), "2013/65/EU"),
    AdequacyDecision("UY", "Uruguay", date(2012, 8, 21), "2012/484/EU"),
)
# The United States are not in it: their decision covers certified companies, tool ``dpf``.
ADEQUATE: Final = {decision.country: decision for decision in _DECISIONS}
"""Adequacy decisions by two-letter code."""
# Whether the Court has decided since was not verified: the notice in the Official Journal was read
# on 27 Nov 2026.
DPF_APPEAL: Final = (
    "decision (EU) 2023/1795 is under appeal, C-703/25 P against T-553/23 "
    "(OJ C/2025/6610 of 22 December 2025)"
)

_EEA: Final = (
    "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IS IT LI LT LU LV MT NL NO PL PT RO SE SI SK"
)
EEA: Final = frozenset(_EEA.split())

_THIRD_COUNTRIES: Final = (
    "AD AE AF AG AI AL AM AO AQ AR AS AU AW AX AZ BA BB BD BF BH BI BJ BL BM BN BO BQ BR BS BT BV "
    "BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX DJ DM DO DZ EC EG EH ER ET FJ FK "
    "FM FO GA GB GD GE GF GG GH GI GL GM GN GP GQ GS GT GU GW GY HK HM HN HT ID IL IM IN IO IQ IR "
    "JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LK LR LS LY MA MC MD ME MF MG MH MK ML "
    "MM MN MO MP MQ MR MS MU MV MW MX MY MZ NA NC NE NF NG NI NP NR NU NZ OM PA PE PF PG PH PK PM "
    "PN PR PS PW PY QA RE RS RU RW SA SB SC SD SG SH SJ SL SM SN SO SR SS ST SV SX SY SZ TC TD TF "
    "TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT "
    "ZA ZM ZW"
)
# The codes of ISO 3166-1, and XK for Kosovo.
COUNTRIES: Final = EEA | frozenset(_THIRD_COUNTRIES.split())
