"""Google's Noto emoji as pictures with captions: 64 × 64, laid on backgrounds that the captions name.

    npm pack emoji-datasource-google@16.0.0 emojilib@4.0.3
    python docs/make_emoji_pictures.py emoji-datasource-google-16.0.0.tgz emojilib-4.0.3.tgz --to emoji

docs/TRAINING.md says how a model is made of them. The pictures are Apache-2.0 (Google), the names and keywords MIT
(emojilib). Nothing is unpacked to disk but what is written below ``--to``. Taken are animals, plants, food, transport,
weather, sport, instruments and clothes. Many people, signs and flags look nearly alike.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

# Mid-tones, so that a picture can become both lighter and more colourful than its background.
BACKGROUNDS = {
    "red": (178, 84, 80), "orange": (196, 132, 72), "yellow": (190, 170, 84), "green": (96, 148, 92),
    "teal": (76, 146, 146), "blue": (84, 118, 178), "purple": (132, 98, 164), "pink": (192, 126, 156),
    "grey": (136, 136, 136), "brown": (136, 106, 84),
}  # fmt: skip
# Backgrounds of one emoji.
EACH = 4
# How the subcategories that are taken begin.
THINGS = (
    "animal", "plant", "food", "drink", "transport", "sky", "place-geographic", "sport", "musical-instrument",
    "clothing",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, help="emoji-datasource-google-*.tgz")
    parser.add_argument("names", type=Path, help="emojilib-*.tgz")
    parser.add_argument("--to", type=Path, required=True, help="folder for the pictures and captions.csv")
    args = parser.parse_args()
    if args.to.exists():
        parser.error(f"argument --to: {args.to} is already there; name a new folder")
    args.to.mkdir(parents=True)
    with tarfile.open(args.names) as tar:
        names = json.load(member(tar, "package/dist/emoji-en-US.json"))
    count = 0
    with tarfile.open(args.pictures) as tar, (args.to / "captions.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("file", "caption"))
        files = {entry.name: entry for entry in tar.getmembers()}
        for emoji in json.load(member(tar, "package/emoji.json")):
            entry = files.get(f"package/img/google/64/{emoji['image']}")
            # transport-sign, with symbols such as an arrow to a lavatory, is no transport.
            if entry is None or emoji["category"] == "Symbols" or not emoji["subcategory"].startswith(THINGS):
                continue
            picture = Image.open(io.BytesIO(tar.extractfile(entry).read())).convert("RGBA")  # type: ignore[union-attr]
            for k in range(EACH):
                colour = list(BACKGROUNDS)[(7 * count + 3 * k) % len(BACKGROUNDS)]
                name = f"{count:05d}-{k}.png"
                ground = Image.new("RGBA", picture.size, BACKGROUNDS[colour])
                Image.alpha_composite(ground, picture).convert("RGB").save(args.to / name)
                table.writerows((name, caption) for caption in captions(emoji, names, colour))
            count += 1
    print(f"{count} emoji, {EACH * count} pictures in {args.to}")


def member(tar: tarfile.TarFile, name: str) -> io.BufferedReader:
    file = tar.extractfile(name)
    assert file is not None
    return file  # type: ignore[return-value]


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"


def captions(emoji: dict, names: dict[str, list[str]], colour: str) -> Iterator[str]:
    """The emoji's name with its background, and its keywords."""
    sign = "".join(chr(int(code, 16)) for code in emoji["unified"].split("-"))
    known = names.get(sign) or names.get(sign.replace("\ufe0f", "")) or [emoji["name"].lower()]
    name, *keywords = (word.replace("_", " ") for word in known)
    article = _article(name)
    yield f"{article} {name} on {_article(colour)} {colour} background"
    yield f"{article} {name}"
    if keywords:
        yield f"{article} {name}, {', '.join(keywords[:4])}, {colour} background"


if __name__ == "__main__":
    main()
