"""Several processes train one network: the same weights everywhere, and the mean gradient of all batches."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rtface.synth import shards
from rtface.synth.config import SynthConfig
from rtface.train import common, parallel

REPOSITORY = Path(__file__).parents[2]
WORKER = '''
import sys, torch
from torch import nn
from rtface.train import parallel
device = parallel.join("cpu")
torch.manual_seed(parallel.rank())  # everybody starts elsewhere
net = nn.Linear(3, 2)
unused = nn.Parameter(torch.ones(4))
parallel.share_weights(net)
data = torch.arange(12.0).reshape(4, 3)[parallel.rank() * 2:][:2]
net(data).square().mean().backward()
parallel.average_gradients([*net.parameters(), unused])
torch.save({"rank": parallel.rank(), "count": parallel.count(), "weight": net.weight.detach(),
            "bias": net.bias.detach(), "gradient": net.weight.grad, "unused": unused.grad},
           f"{sys.argv[1]}/{parallel.rank()}.pt")
parallel.leave()
'''


def _torchrun(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    settings = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
                           *arguments], env=settings, cwd=folder, capture_output=True, text=True, timeout=300)


def test_two_processes_share_weights_and_average_gradients(tmp_path):
    (tmp_path / "worker.py").write_text(WORKER)
    done = _torchrun(str(tmp_path / "worker.py"), str(tmp_path), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    first, second = (torch.load(tmp_path / f"{k}.pt", weights_only=True) for k in range(2))
    assert (first["rank"], second["rank"], first["count"]) == (0, 1, 2)
    for name in ("weight", "bias", "gradient", "unused"):
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0)
    alone = torch.nn.Linear(3, 2)
    alone.load_state_dict({"weight": first["weight"], "bias": first["bias"]})
    alone(torch.arange(12.0).reshape(4, 3)).square().mean().backward()  # one process, both batches
    torch.testing.assert_close(first["gradient"], alone.weight.grad)
    assert not first["unused"].any()


def test_alone_nothing_is_shared():
    assert (parallel.rank(), parallel.count()) == (0, 1)
    weight = torch.nn.Parameter(torch.ones(2))
    parallel.average_gradients([weight])
    assert weight.grad is None


@pytest.mark.slow
def test_a_trainer_runs_under_torchrun_and_writes_once(tmp_path):
    list(shards.write(tmp_path / "faces", 8, config=SynthConfig(size=96, clean_twin=False)))
    options = ["--batch", "2", "--workers", "0", "--threads", "1", "--steps", "2", "--device", "cpu"]
    done = _torchrun("-m", "--", "rtface.train.segment", "--data", str(tmp_path / "faces"), "--run",
                     str(tmp_path / "run"), *options, "--export", str(tmp_path / "weights"), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "run" / "log.csv").read_text().splitlines()) == 2
    assert common.load_checkpoint(tmp_path / "run" / "last.pt")["step"] == 2
    training = json.loads((tmp_path / "weights" / "segment.compact.json").read_text())["training"]
    assert training["samples_seen"] == 8  # 2 steps × 2 processes × 2 samples
