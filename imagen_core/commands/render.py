"""``render``: a world's pictures with their captions, written to a folder."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..files.writing import check_writable, write_text, written_whole
from ..types import UserError
from ..worlds.known import FIRST, WORLDS, open_world

SIZES = (32, 2048)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder for NNNNNN.png and a new captions.jsonl, created if missing",
    )
    parser.add_argument("--world", default=FIRST, choices=WORLDS, help="which world (default %(default)s)")
    parser.add_argument("--count", type=int, default=16, help="how many pictures, 1 to 100000 (default %(default)s)")
    parser.add_argument(
        "--size", type=int, default=256, help="pixels along each side, 32 to 2048 (default %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the first picture; the next has seed + 1 (default %(default)s)"
    )
    parser.add_argument(
        "--held-out",
        action="store_true",
        help="pictures of what training never shows; for tabletop, unseen pairs of colour and shape",
    )


def run(args: argparse.Namespace) -> dict:
    """Render the scenes; returns the folder, and number and size of the scenes."""
    check_writable(args.out)
    if (args.out / "captions.jsonl").exists():
        raise UserError(f"--out: {args.out} already holds a captions.jsonl; name another folder")
    if not 1 <= args.count <= 100_000:
        raise UserError(f"--count: must be between 1 and 100000, got {args.count}")
    if not SIZES[0] <= args.size <= SIZES[1]:
        raise UserError(f"--size: must be between {SIZES[0]} and {SIZES[1]}, got {args.size}")
    if not 0 <= args.seed < 2**31:
        raise UserError(f"--seed: must be between 0 and 2147483647, got {args.seed}")
    from tqdm import tqdm

    from ..records.png import to_pil

    world = open_world(args.world, "--world")
    args.out.mkdir(parents=True, exist_ok=True)
    lines = []
    for seed in tqdm(range(args.seed, args.seed + args.count), unit="scene"):
        name = f"{seed:06d}.png"
        picture = to_pil(world.picture(seed, args.size, held_out=args.held_out))
        with written_whole(args.out / name) as aside:
            picture.save(aside, format="PNG")
        facts = {"file": name, "seed": seed, "caption": world.caption(seed, seed, held_out=args.held_out)}
        lines.append(json.dumps(facts) + "\n")
    # Last: who finds captions finds all pictures.
    write_text(args.out / "captions.jsonl", "".join(lines))
    return {"folder": str(args.out), "scenes": args.count, "size": args.size}
