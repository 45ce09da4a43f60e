"""Every word of the table top, and what is held out of training.

The first word of each concept is its name in code. Most concepts have two or three words: only from several words can
a network learn that words of one meaning mean one thing. The held-out words and pairs never occur in training. They
measure what the frozen language model brings.
"""

from __future__ import annotations

Concepts = dict[str, tuple[str, ...]]

# Any change of words, scenes or renderer voids the weights: then count this up.
WORLD_VERSION = 1

SHAPES: Concepts = {
    "sphere": ("sphere", "ball"),
    "cube": ("cube", "box"),
    "cylinder": ("cylinder", "tube"),
    "cone": ("cone",),
}
COLOURS: Concepts = {
    "red": ("red", "crimson"),
    "orange": ("orange",),
    "yellow": ("yellow", "golden"),
    "green": ("green", "emerald"),
    "blue": ("blue", "azure"),
    "purple": ("purple", "violet"),
    "pink": ("pink", "rose"),
    "white": ("white", "snowy"),
}
SIZES: Concepts = {"large": ("large", "big"), "small": ("small", "tiny")}
MATERIALS: Concepts = {"matte": ("matte", "dull"), "shiny": ("shiny", "glossy", "polished")}
FLOORS: Concepts = {
    "wood": ("on a wooden table", "on wood"),
    "grass": ("on grass", "on the lawn"),
    "sand": ("on sand", "on the beach"),
    "marble": ("on a marble floor", "on marble"),
    "checkers": ("on a checkered floor", "on a chessboard"),
}
LIGHTS: Concepts = {
    "daylight": ("in daylight", "at noon"),
    "sunset": ("at sunset", "at dusk"),
    "night": ("at night", "at midnight"),
}

HELD_OUT_WORDS: Concepts = {
    "sphere": ("orb", "globe"),
    "cube": ("block", "crate"),
    "cylinder": ("drum", "pillar"),
    "red": ("scarlet", "ruby"),
    "orange": ("tangerine",),
    "yellow": ("lemon",),
    "green": ("lime",),
    "blue": ("navy", "cobalt"),
    "purple": ("lilac",),
    "pink": ("magenta",),
    "white": ("ivory",),
    "grass": ("turf", "meadow"),
    "sand": ("desert", "dunes"),
    "wood": ("timber", "planks"),
    "sunset": ("twilight",),
    "night": ("moonlight",),
    "large": ("huge",),
    "small": ("little",),
    "shiny": ("gleaming",),
}
HELD_OUT_PAIRS = frozenset({("red", "cone"), ("blue", "cylinder"), ("yellow", "sphere"), ("purple", "cube")})

COUNTS = {2: "two", 3: "three"}
RELATIONS: Concepts = {
    "left": ("to the left of", "left of", "on the left of"),
    "right": ("to the right of", "right of", "on the right of"),
    "front": ("in front of",),
    "behind": ("behind",),
    "beside": ("next to", "beside", "and"),
}
# Everything that a prompt may name.
CONCEPTS: dict[str, Concepts] = {
    "shapes": SHAPES,
    "colours": COLOURS,
    "sizes": SIZES,
    "materials": MATERIALS,
    "relations": RELATIONS,
    "floors": FLOORS,
    "lights": LIGHTS,
}
OPENINGS = ("", "", "", "a picture of ", "a photo of ", "a render of ")

# Words that name nothing, beside those in the phrases above.
FUNCTION_WORDS = frozenset(
    """a an the of on in at to with and or is are there it its from by under one single left right front behind next
    beside between near picture photo render image scene showing side""".split()  # noqa: SIM905
)


def plural(noun: str) -> str:
    """The plural of one of our nouns: sphere → spheres, box → boxes."""
    return noun + ("es" if noun.endswith("x") else "s")


def with_article(phrase: str) -> str:
    """The phrase with its article: a red cube, an orange cube. An empty phrase stays empty."""
    return phrase and ("an " if phrase[0] in "aeiou" else "a ") + phrase


def known_words() -> frozenset[str]:
    """Every lower-case word of training captions, and words that name nothing."""
    words = set(FUNCTION_WORDS) | set(COUNTS.values())
    for concepts in CONCEPTS.values():
        for phrases in concepts.values():
            words.update(word for phrase in phrases for word in phrase.split())
    words.update(plural(noun) for nouns in SHAPES.values() for noun in nouns)
    return frozenset(words)
