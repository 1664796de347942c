"""Four eyes rest on names: no spelling makes another person, and no name hides a letter."""

from __future__ import annotations

from itertools import combinations

import pytest

from sovereign_ml.card.person_names import author_is, hidden_in, is_named_person, same_person

LOVELACE = "Ada Lovelace"


@pytest.mark.parametrize(
    "spelling",
    [
        *("ADA LOVELACE", "Lovelace, Ada", "Ada K. Lovelace", "A. Lovelace", "Ada Lovelace-King"),
        *("Ada  Lovelace", "\uff21da Lovelace", "\U0001d400da Lovelace", "Adà Lovélace", "ada"),
        *("\u0410da Lovelace", "Ada Lovelac\u0435", "Ada L\u03bfvelace", "Ada Love\u200blace"),
        *("Ad\u0251 Lovelace", "Ad\u1d00 Lovelace", "Ada Augusta Byron Lovelace"),
        *("Ada Love Lace", "Ada Love-Lace", "Ada LoveIace", "Ada Love1ace", "Ada Lovelacce"),
    ],
)
def test_another_spelling_is_the_same_person(spelling: str) -> None:
    assert same_person(LOVELACE, spelling) and same_person(spelling, LOVELACE)
    assert author_is(spelling, [f"{LOVELACE} <al@acme.example>"])


@pytest.mark.parametrize(
    "spelling",
    [
        *(
            "Dr Lovelace",
            "Frau Lovelace",
            "Prof. Dr. Lovelace",
            "Lovelace PhD",
            "Dr. med. Lovelace",
        ),
        *(
            "Lady Lovelace",
            "Countess Lovelace",
            "Gräfin Lovelace",
            "Frau Dr. Lovelace",
            "Fru Lovelace",
        ),
        *("Freifrau von Lovelace", "Lovelace, Frau", "Lovelace, Frau Dr.", "Kapitän Lovelace"),
        *("Rev. Lovelace", "LADY LOVELACE", "Lady  Lovelace", "Señorita Lovelace"),
    ],
)
def test_a_title_is_no_first_name(spelling: str) -> None:
    assert not is_named_person(spelling)
    assert author_is(spelling, [f"{LOVELACE} <al@acme.example>"])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Dr. Ada Lovelace", "Prof. Ada Lovelace"),
        ("Ada Lovelace, PhD", "Mrs Ada Lovelace"),
        ("Dipl.-Ing. Ada Lovelace", "Dr. rer. nat. Ada Lovelace"),
    ],
)
def test_another_title_makes_no_other_person(one: str, other: str) -> None:
    assert is_named_person(one)
    assert same_person(one, other) and same_person(other, one)


@pytest.mark.parametrize(
    "name",
    [
        "Anna Herr",
        "Mag Ruffman",
        "Pan Wei",
        "Jun Ma",
        "Ing Chen",
        "Sig Hansen",
        "Graf, Steffi",
        "Steffi Graf",
        "Lord, Peter",
        "Teo Macero",
        "Bessie Head",
        "Herr, Lucy",
        "Dame Diop",
    ],
)
def test_a_name_that_looks_like_a_title_is_a_name(name: str) -> None:
    assert is_named_person(name)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Jürgen Müller", "Juergen Mueller"),
        ("Søren Ågård", "Soeren Aagaard"),
        ("Strauß, A.", "A. Strauss"),
    ],
)
def test_a_name_without_its_umlauts_is_the_same_person(one: str, other: str) -> None:
    assert same_person(one, other) and same_person(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Anna Karenina", "Анна Каренина"),
        ("Yuri Gagarin", "Юрий Гагарин"),
        ("Juri Gagarin", "Yuriy Gagarin"),
        ("Alexander Pushkin", "Александр Пушкин"),
        ("Aleksandr Puschkin", "Alexander Pushkin"),
        ("Pyotr Tchaikovsky", "Пётр Чайковский"),
        ("Volodymyr Shevchenko", "Володимир Шевченко"),
        ("Eleni Papadopoulou", "Ελένη Παπαδοπούλου"),
        ("Christos Georgiou", "Χρίστος Γεωργίου"),
        ("Philipp Schwarz", "Filip Schwartz"),
        ("Alex Pushkin", "Alexander Pushkin"),
        ("Chr. Müller", "Christian Mueller"),
        ("Ada Lovelase", "Ada Lovelace"),
        ("Ada Lovleace", "Ada Lovelace"),
    ],
)
def test_a_name_written_as_it_sounds_or_with_a_slip_is_the_same_person(
    one: str, other: str
) -> None:
    assert same_person(one, other) and same_person(other, one)


def test_colleagues_are_different_people() -> None:
    names = [
        *("Ada Lovelace", "Grace Hopper", "Alan Turing", "Hedy Lamarr", "Emmy Noether", "Max Born"),
        *("Marie Curie", "Lise Meitner", "Anna Schmidt", "Peter Schmidt", "Jan Novák", "Eva Nowak"),
        *("Анна Каренина", "Иван Петров", "Пётр Иванов", "Ελένη Παπαδοπούλου", "Νίκος Γεωργίου"),
        *(
            "王小明",
            "李小明",
            "김민수",
            "Søren Kierkegaard",
            "José García",
            "Łukasz Żółć",
            "Mehmet Öz",
        ),
    ]
    same = [(a, b) for a, b in combinations(names, 2) if same_person(a, b)]
    assert same == []


@pytest.mark.parametrize("name", ["A. L.", "A L", "A.-L. K.", "Ä. Ö."])
def test_initials_alone_name_nobody(name: str) -> None:
    assert not is_named_person(name)


@pytest.mark.parametrize("other", ["Grace Hopper", "Grace Lovelace", "Ada Byron", "A. L.", ""])
def test_another_name_is_another_person(other: str) -> None:
    assert not same_person(LOVELACE, other)


@pytest.mark.parametrize(
    "author",
    [
        *("al <ada.lovelace@acme.example>", "al <ada_lovelace2@acme.example>"),
        *("al <a.lovelace@acme.example>", "al <12345+ada-lovelace@users.noreply.github.com>"),
        *("Ada <al@acme.example>", "LOVELACE <al@acme.example>"),
    ],
)
def test_an_author_is_known_by_name_or_address(author: str) -> None:
    assert author_is(LOVELACE, [author])
    assert not author_is("Grace Hopper", [author])


def test_one_address_is_one_person() -> None:
    assert author_is("Mickey Mouse <AL@acme.example>", ["Ada Lovelace <al@acme.example>"])


@pytest.mark.parametrize(
    "name",
    [
        *("Ada Love\u200blace", "Ada\u00ad Lovelace", "Ada \u202eLovelace", "Ada \u3164Lovelace"),
        *("\u0410da Lovelace", "Ada L\u03bfvelace", "\u13aada Lovelace", "Ada\x07 Lovelace"),
    ],
)
def test_a_name_with_letters_that_nobody_sees_is_refused(name: str) -> None:
    assert hidden_in(name)
    assert not is_named_person(name)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "王小明",
            "김민수",
            "Анна Каренина",
            "Ελένη Παπαδοπούλου",
            "Nuño Ängström",
            "José  García",
        ),
        *("Søren Kierkegaard", "Łukasz Żółć", "Marie-Anne O’Neill"),
    ],
)
def test_honest_names_of_any_script_are_accepted(name: str) -> None:
    assert is_named_person(name)
    assert same_person(name, name)
