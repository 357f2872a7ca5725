"""The kinds of product that the shop sells, with the words and prices of their listings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Good:
    """A kind of product as the shop lists it."""

    kind: str
    code: str
    """Prefix of the SKUs."""
    category: str
    materials: tuple[str, ...]
    details: tuple[str, ...]
    price: tuple[int, int]
    """Lowest and highest price, in whole currency units."""
    about: str
    noun: str = ""
    """The word for it in titles; empty: the same as `kind`."""
    colours: tuple[str, ...] = ()
    """The plain colours this kind comes in; empty: the shop's usual colours."""


GOODS: Final[tuple[Good, ...]] = (
    Good(
        kind="mug",
        code="MUG",
        category="Kitchen",
        price=(9, 18),
        materials=("stoneware", "porcelain", "bone china"),
        details=("350 ml", "300 ml", "400 ml"),
        about="Glazed inside and out, a handle for a whole hand. Dishwasher safe.",
    ),
    Good(
        kind="water bottle",
        code="BOT",
        category="Kitchen",
        price=(17, 34),
        materials=("steel", "insulated", "double-wall"),
        details=("500 ml", "750 ml", "leakproof"),
        about="Keeps cold for a day and hot for half of one. The lid has a loop for a carabiner.",
    ),
    Good(
        kind="t-shirt",
        code="TEE",
        category="Clothing",
        price=(15, 32),
        materials=("organic cotton", "slub jersey", "heavyweight cotton"),
        details=("regular fit", "crew neck", "relaxed fit"),
        about="Short sleeves, a ribbed crew neck and a hem that keeps its shape in the wash.",
    ),
    Good(
        kind="hoodie",
        code="HOO",
        category="Clothing",
        price=(39, 75),
        materials=("brushed fleece", "loopback cotton", "organic cotton"),
        details=("unisex", "kangaroo pocket", "oversized"),
        about="A lined hood with a drawcord, a front pocket, and ribbed cuffs and hem.",
    ),
    Good(
        kind="dress",
        code="DRE",
        category="Clothing",
        price=(45, 98),
        materials=("cotton", "viscose", "linen blend"),
        details=("knee length", "A-line", "sleeveless"),
        about="Fitted at the waist with a skirt that swings. Fully lined, with a tie belt.",
    ),
    Good(
        kind="jeans",
        code="JEA",
        category="Clothing",
        price=(49, 95),
        materials=("stretch denim", "rigid denim", "organic denim"),
        details=("straight leg", "regular fit", "ankle length"),
        about="Five pockets, a button and a zip fly. Washed once so that they will not shrink.",
        colours=(
            "blue",
            "navy",
            "black",
            "grey",
            "white",
            "sky blue",
            "olive",
            "beige",
            "red",
            "brown",
        ),
    ),
    Good(
        kind="scarf",
        code="SCA",
        category="Accessories",
        price=(19, 55),
        materials=("lambswool", "merino", "soft acrylic"),
        details=("180 x 30 cm", "fringed", "unisex"),
        about="Woven in one piece and brushed on both sides, with a twisted fringe.",
    ),
    Good(
        kind="baseball cap",
        code="CAP",
        category="Accessories",
        noun="cap",
        price=(15, 32),
        materials=("cotton twill", "washed canvas", "recycled"),
        details=("adjustable", "six panels", "curved peak"),
        about="A baseball cap with stitched eyelets and an adjustable strap at the back.",
    ),
    Good(
        kind="running shoes",
        code="RUN",
        category="Shoes",
        price=(69, 139),
        materials=("knit", "mesh", "lightweight"),
        details=("neutral", "road", "cushioned"),
        about="Trainers with a breathable upper, a soft midsole and a grippy outsole.",
    ),
    Good(
        kind="socks",
        code="SOC",
        category="Clothing",
        price=(6, 14),
        materials=("combed cotton", "bamboo", "merino"),
        details=("one pair", "36-40", "41-46"),
        about="Crew socks with a hand-linked toe, a strong heel and a cuff that does not cut in.",
    ),
    Good(
        kind="backpack",
        code="BAC",
        category="Bags",
        price=(45, 110),
        materials=("canvas", "recycled nylon", "water-repellent"),
        details=("20 l", "15 in laptop", "24 l"),
        about="A padded laptop sleeve, a front pocket with a zip, and straps that stay put.",
    ),
    Good(
        kind="handbag",
        code="HAN",
        category="Bags",
        price=(59, 189),
        materials=("vegan leather", "leather", "structured"),
        details=("two handles", "with clasp", "medium"),
        about="A structured bag with a magnetic clasp, an inner pocket and feet on its base.",
    ),
    Good(
        kind="cushion",
        code="CUS",
        category="Home",
        price=(16, 45),
        materials=("cotton", "velvet", "linen"),
        details=("45 x 45 cm", "with filling", "50 x 50 cm"),
        about="Piped edges, a hidden zip and a feather-free filling. The cover can be washed.",
    ),
    Good(
        kind="table lamp",
        code="LAM",
        category="Home",
        price=(39, 120),
        materials=("ceramic", "glazed", "hand-thrown"),
        details=("E27", "48 cm", "fabric shade"),
        about="A turned ceramic base and a fabric shade. Takes an E27 bulb, not included.",
    ),
    Good(
        kind="wall clock",
        code="CLO",
        category="Home",
        price=(25, 69),
        materials=("silent", "quartz", "glass-fronted"),
        details=("30 cm", "sweep second", "35 cm"),
        about="A quartz movement without a tick behind a domed glass. Runs on one AA battery.",
    ),
    Good(
        kind="armchair",
        code="ARM",
        category="Home",
        price=(249, 590),
        materials=("velvet", "wool-blend", "linen"),
        details=("beech legs", "84 cm wide", "deep seat"),
        about="A solid beech frame, a sprung seat and a back that is upholstered all round.",
    ),
    Good(
        kind="phone case",
        code="PHO",
        category="Accessories",
        price=(14, 35),
        materials=("shock-proof", "slim", "matt"),
        details=("6.1 in", "wireless charging", "raised edge"),
        about="A hard back with a soft rim that stands above the glass and the cameras.",
    ),
    Good(
        kind="sunglasses",
        code="SUN",
        category="Accessories",
        price=(29, 120),
        materials=("acetate", "bio-acetate", "polarised"),
        details=("UV 400", "category 3", "with case"),
        about="Wide frames with spring hinges and scratch-resistant lenses.",
    ),
    Good(
        kind="umbrella",
        code="UMB",
        category="Accessories",
        price=(19, 49),
        materials=("windproof", "automatic", "classic"),
        details=("105 cm", "wooden handle", "8 ribs"),
        about="A canopy on fibreglass ribs, a steel shaft and a crook handle of wood.",
    ),
    Good(
        kind="notebook",
        code="NOT",
        category="Stationery",
        price=(9, 24),
        materials=("hardcover", "cloth-bound", "thread-bound"),
        details=("A5, dotted", "A5, ruled", "192 pages"),
        about="Opens flat, with a ribbon, an elastic band and paper that takes ink.",
    ),
)
