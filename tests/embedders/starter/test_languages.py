"""Words of shoppers in five languages are put into English; English stays as it is."""

from __future__ import annotations

import csv
from importlib.resources import files

import pytest

from example_shop.catalogue import items
from mmsearch_app.embedders.starter.colours import known_names
from mmsearch_app.embedders.starter.languages import put_into_english
from mmsearch_app.embedders.starter.lexicon import FOREIGN, english_words, find_word, fold, lexicon
from mmsearch_app.embedders.starter.wording import read_wish

ENGLISH = """
a rock t-shirt; fleece-lined hose; garden hose; rose gold watch; mode 3 speed fan; silk chemise
camera bag; short sleeve shirt; pink robe; cotton robe; rose robe; terry robe; chat mug; bread tin
die cast car; bread bin; hell bunny dress; gift for men; kind regards card; brief case;
mug for a good dad; wine glass set of 6; tee with pocket; bank holiday banner; beanie with pompom
black tie dress; burgundy bonnet; a cover for an armchair; grand piano; pour over coffee maker
coin purse; sombrero hat; plaid shirt; plain mug; solo travel backpack; son of a sailor mug; sale
roman blinds; sign for a bar; stile ladder; mince pie tin; gilet; parka; kimono; beret; boxer shorts
slip dress; body lotion; map of paris; gut health book; art print; rot proof planter; pet bed
lit mirror; met gala gown; tan belt; cap; pot; pan; pen; sofa; lamp; robe; hose; camera; mode; rose
short; shorts; pink; orange; lime; olive; fin; colour block jumper; no show socks; non-stick pan
not red; without stripes; anything but black; but in blue; a mug like this; like this but striped
i'd like something similar; do you have this in green?; in a darker shade; cushion, 50 x 50 cm
men's jeans; women's wool-blend coat; kids' t-shirt; bone china mug; a-line dress; off-white t-shirt
iphone 15 case; lego star wars; nike air max; levi's 501; comic sans poster; noel mug
elegant wedding dress; modern vase; vintage radio; transparent umbrella; jogging trousers; jersey
leather jacket; polo; pullover; blazer; cardigan; jeans; hoodie; leggings; top; bikini; sandals
sneakers; boots; clogs; mini skirt; maxi dress; midi skirt; lingerie; corset; suit; vest; tunic
dressing gown; duvet; table; chair; bench; stool; desk; mirror; clock; candle; vase; basket; rug
poster; frame; plate; bowl; cup; mug; glass; bottle; knife; fork; spoon; kettle; toaster; blender
"""
QUERIES = [text.strip() for text in ENGLISH.replace("\n", ";").split(";") if text.strip()]
TITLES = [item.title for item in items()]


@pytest.mark.parametrize(
    ("text", "english"),
    [
        ("rote Tasse", "red mug"),
        ("ROTE TASSE", "red mug"),
        ("Blumenkleid", "floral dress"),
        ("Kaffeetasse", "mug"),
        ("streifenfrei", "without stripes"),
        ("Damenhandtasche", "women's handbag"),
        ("Baumwollhemd", "cotton shirt"),
        ("grüne Hüte", "green hat"),
        ("gruene Huete", "green hat"),
        ("weiße Mütze", "white knitted hat"),
        ("weisse Muetze", "white knitted hat"),
        ("mit blauen Streifen", "with blue stripes"),
        ("Schmetterlingskleid in Rot", "schmetterlings dress in red"),
        ("schwarze Hose", "black trousers"),
        ("roter Rock", "red skirt"),
        ("mug rouge sans rayures", "red mug without stripes"),
        ("tasse rouge à pois", "red dotted mug"),
        ("ECHARPE VERTE", "green scarf"),
        ("écharpes vertes", "green scarf"),
        ("lampe de chevet en bois", "wooden table lamp"),
        ("robe d'été blanche", "white summer dress"),
        ("robe bleu foncé", "navy dress"),
        ("short rouge", "red shorts"),
        ("zapatos negros de lunares", "black dotted shoes"),
        ("calcetin azul", "blue socks"),
        ("lápices rojos", "red pencil"),
        ("bolso de cuero", "leather handbag"),
        ("tazza a righe blu", "blue striped mug"),
        ("sciarpe bianche", "white scarf"),
        ("occhiali da sole neri", "black sunglasses"),
        ("gestreepte mok", "striped mug"),
        ("wollmuts", "wool knitted hat"),
        ("witte jurkje", "white dress"),
        ("rode schoenen", "red shoes"),
        ("Meridian Tasse, 6.1 Zoll, A5-X", "Meridian mug, 6.1 Zoll, A5-X"),
    ],
)
def test_words_are_put_into_english(text: str, english: str) -> None:
    assert put_into_english(text) == english


@pytest.mark.parametrize("text", [*QUERIES, *(query.upper() for query in QUERIES)])
def test_english_queries_stay_as_they_are(text: str) -> None:
    assert put_into_english(text) == text


def test_english_titles_stay_as_they_are() -> None:
    assert len({*TITLES, *QUERIES}) > 500
    assert [title for title in TITLES if put_into_english(title) != title] == []


@pytest.mark.parametrize(
    "text", ["", " ", "!?", "12 34", "مرحبا", "шапка", "\x00", "x" * 5000, "mug " * 2000]
)
def test_what_no_language_knows_stays_as_it_is(text: str) -> None:
    assert put_into_english(text) == text


@pytest.mark.parametrize("text", ["Hose", "Rock", "robe rose", "Mode", "chemise", "camera"])
def test_a_text_whose_words_are_all_english_too_is_english(text: str) -> None:
    assert put_into_english(text) == text


def _table() -> list[dict[str, str]]:
    text = files("mmsearch_app.embedders.starter").joinpath("data/words.csv").read_text("utf-8")
    return list(csv.DictReader(text.splitlines()))


def test_the_table_has_a_word_in_each_language_and_no_row_twice() -> None:
    rows = _table()
    names = [(row["english"], row["is"]) for row in rows]
    assert len(names) == len(set(names)) > 550
    incomplete = [r["english"] for r in rows if not all(r[name] for name in FOREIGN)]
    assert incomplete == ["at", "without"]


def test_colours_and_patterns_of_the_table_are_read_as_such() -> None:
    for row in _table():
        wish = read_wish(row["english"])
        if row["is"] == "colour":  # some are colours only after "in"
            assert row["english"].removeprefix("light ") in known_names()
            assert read_wish(f"in {row['english']}").colours
        elif row["is"] == "pattern":
            assert (wish.patterns, wish.kind) == (row["english"], "")
        elif row["is"] in {"asking", "link"}:
            assert not wish.thing, row


def test_what_was_put_into_english_stays_as_it_is() -> None:
    for row in _table():
        assert put_into_english(row["english"]) == row["english"]


@pytest.mark.parametrize("language", FOREIGN)
def test_every_form_of_the_table_is_known_in_its_language(language: str) -> None:
    for row in _table():
        for form in filter(None, row[language].split("|")):
            words = fold(form).replace("-", " ").replace("'", " ").split()
            phrase = " ".join(words)
            assert phrase in lexicon(language).forms, form
            assert len(words) > 1 or find_word(phrase, language)


def test_english_words_that_look_foreign_are_english() -> None:
    assert {"hose", "rock", "robe", "mode", "chemise", "camera"} <= english_words()
