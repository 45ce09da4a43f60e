"""Evaluation by several processes: the pictures of one, each drawn once, and one answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from imagen_core.__main__ import build_parser
from imagen_core.commands.evaluate import run
from imagen_core.evaluation.sampling import Order, kept
from imagen_core.evaluation.spread import is_first, kept_by_all, together
from imagen_core.models.cascade import Cascade
from imagen_core.settings import with_rule
from imagen_core.types import UserError

SCRIPT = """
import json, sys
from pathlib import Path
from imagen_core.evaluation import sampling
from imagen_core.evaluation.spread import is_first, together
from imagen_core.models.opening import load_cascade
from imagen_core.settings import with_rule

drawn, plain = [], sampling.draw_all
sampling.draw_all = lambda cascade, config, orders, low_res: drawn.append(len(orders)) or plain(
    cascade, config, orders, low_res)
folder, out = map(Path, sys.argv[1:])
cascade, rank = load_cascade(folder), together().process_index
# Each process has a cache of its own, as machines without a common disk have.
cache = out / f"cache-{rank}"
means = []
for count in (5, 1, 5):
    orders = [sampling.Order("a red ball", seed) for seed in range(count)]
    images = sampling.kept(cache, cascade, with_rule(cascade.defaults[64], steps=2), orders)
    means.append([round(float(image.mean()), 5) for image in images])
files = len(list(cache.glob("*.npy"))) if cache.is_dir() else 0
(out / f"{rank}.json").write_text(json.dumps({"drawn": drawn, "means": means, "files": files, "first": is_first()}))
"""


def launch(processes: int, *command: str) -> subprocess.CompletedProcess[str]:
    here = Path(__file__).parents[2]
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes), *command]
    environment = {**os.environ, "PYTHONPATH": str(here), "OMP_NUM_THREADS": "1"}
    return subprocess.run(run, timeout=300, cwd=here, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_two_processes_draw_a_share_each_and_both_have_all(tiny_folder: Path, tiny: Cascade, tmp_path: Path) -> None:
    (tmp_path / "run.py").write_text(SCRIPT)
    done = launch(2, str(tmp_path / "run.py"), str(tiny_folder), str(tmp_path))
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((tmp_path / f"{rank}.json").read_bytes()) for rank in range(2))
    # Of five pictures three and two, of one picture one and none; the last cell is the first one's, kept.
    assert first["drawn"] == [3, 1] and second["drawn"] == [2]
    assert first["means"] == second["means"] and first["means"][0] == first["means"][2]
    assert (first["files"], second["files"]) == (2, 0) and first["first"] and not second["first"]
    orders = [Order("a red ball", seed) for seed in range(5)]
    kept(tmp_path / "alone", tiny, with_rule(tiny.defaults[64], steps=2), orders)
    (file,) = (tmp_path / "alone").glob("*.npy")
    alone, shared = (np.load(place / file.name).astype(int) for place in (file.parent, tmp_path / "cache-0"))
    # A value may round to the next of 256 levels.
    assert alone.shape == shared.shape == (5, 3, 64, 64) and np.abs(alone - shared).max() <= 1


@pytest.mark.slow
def test_the_verb_answers_once(tmp_path: Path) -> None:
    command = ("-m", "imagen_core", "evaluate", "samplers", "--quick", "--json")
    done = launch(2, *command, "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["indicative"]


def test_what_cannot_be_shared_takes_a_single_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="^evaluate: encoders takes a single process"):
        run(build_parser("imagen_core").parse_args(["evaluate", "encoders"]))


def test_alone_nothing_is_spread(tmp_path: Path) -> None:
    assert together() is None and is_first()
    images = kept_by_all(tmp_path / "some.npy", (2, 3, 8, 8), lambda share: torch.zeros(2, 3, 8, 8)[share])
    assert images.shape == (2, 3, 8, 8) and np.load(tmp_path / "some.npy").shape == images.shape
