"""Small dictionaries for the instruction corpus."""

from __future__ import annotations


def _pairs(text: str) -> dict[str, str]:
    return dict(line.split() for line in text.split(","))


_OPPOSITES = _pairs(
    """big small, hot cold, fast slow, high low, old young, long short, hard soft, wet dry, full empty,
    open closed, light dark, rich poor, strong weak, loud quiet, early late, happy sad, clean
    dirty, thick thin, wide narrow, near far, heavy light, sharp blunt, sweet bitter, up down,
    left right, inside outside, day night, true false, always never, first last, win lose, buy
    sell, push pull, begin end, love hate, give take"""
)
# Both ways round, but for a word that two others point to.
OPPOSITES: dict[str, str] = {**{b: a for a, b in _OPPOSITES.items()}, **_OPPOSITES}

PLURALS: dict[str, str] = _pairs(
    """man men, woman women, child children, foot feet, tooth teeth, mouse mice, goose geese, knife
    knives, leaf leaves, shelf shelves, wolf wolves, baby babies, city cities, berry berries, box
    boxes, brush brushes, watch watches, bus buses, dog dogs, cat cats, bird birds, horse horses,
    book books, pen pens, car cars, tree trees, house houses, chair chairs, table tables, apple
    apples, coin coins, shirt shirts, shoe shoes, lamp lamps, river rivers, cloud clouds"""
)

CATEGORIES: dict[str, tuple[str, ...]] = {
    "animal": tuple("dog cat horse cow pig sheep goat wolf bear lion tiger mouse rabbit duck goose".split()),
    "color": tuple("red blue green yellow black white brown pink purple gray".split()),
    "fruit": tuple("apple banana peach pear plum cherry grape melon mango fig".split()),
    "tool": tuple("hammer saw drill axe shovel rake wrench file chisel".split()),
    "vehicle": tuple("car bus train truck boat plane bike ship van tram".split()),
    "furniture": tuple("chair desk bed sofa shelf bench stool couch".split()),
}

COLORS: dict[str, str] = _pairs(
    """snow white, milk white, grass green, blood red, coal black, banana yellow, chocolate brown, gold
    yellow, sky blue, night black, cloud white, leaf green, tomato red, lemon yellow, frog green,
    cherry red, sea blue, crow black, sun yellow, wood brown"""
)

NUMBERS: tuple[str, ...] = tuple("one two three four five six seven eight nine ten".split())
ORDINALS: tuple[str, ...] = tuple("first second third fourth fifth".split())
