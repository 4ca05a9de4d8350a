"""Two Ray nodes on this machine, with one CPU each, give what one process gives."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from naive.tiny_models import tiny_model, tiny_prompts
from training.test_launch import assert_close, train_all

from circuit_distillation.circuits.in_processes import score_heads_in_processes
from circuit_distillation.circuits.path_patching import score_heads
from circuit_distillation.compute import cluster as compute_cluster
from circuit_distillation.compute.processes import check_processes, run_in_processes

BOUND_SECONDS = 900


def test_a_cluster_without_ray_is_refused_in_one_line(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"^RAY_ADDRESS is set, but Ray is not installed: pip install .*$"):
        check_processes(2)


@pytest.mark.parametrize(
    ("resources", "line"),
    [
        (
            {"CPU": 64.0, "GPU": 2.0},
            "3 processes need a GPU each, the Ray cluster has 2: lower `processes` or",
        ),
        ({"CPU": 2.0}, "3 processes need a CPU each, the Ray cluster has 2: lower `processes` or"),
    ],
)
def test_a_cluster_that_is_too_small_is_refused(resources, line, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    monkeypatch.setattr(
        compute_cluster, "_connected", lambda: SimpleNamespace(cluster_resources=lambda: resources)
    )
    check_processes(2)
    with pytest.raises(ValueError, match=line):
        check_processes(3)


def test_a_machine_that_does_not_see_the_files_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not see .*: set TMPDIR to a folder that all machines"):
        compute_cluster._enter(tmp_path, tmp_path / "absent")


@pytest.fixture(scope="module")
def cluster():
    """Two nodes, which see the tests. A test that hangs ends with an error."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    def too_long(*_):
        raise TimeoutError(f"the cluster took more than {BOUND_SECONDS} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(BOUND_SECONDS)
    with pytest.MonkeyPatch.context() as patch:
        tests = str(Path(__file__).parents[1])
        patch.setenv("PYTHONPATH", os.pathsep.join([tests, *filter(None, sys.path)]))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        nodes.add_node(num_cpus=1)
        patch.setenv("RAY_ADDRESS", nodes.address)
        yield nodes
        ray.shutdown()
        nodes.shutdown()
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def train_somewhere():
    """What every process runs: (node, folder, what `train_all` returns without and with a shared student)."""
    import ray

    return ray.get_runtime_context().get_node_id(), os.getcwd(), train_all(), train_all(shard=True)


def fail(rank: int) -> None:
    """One process fails, the others wait for it."""
    if os.environ["RANK"] == str(rank):
        raise MemoryError("no room for 64 prompts\nand what torch adds")
    torch.distributed.barrier()


def die(rank: int) -> None:
    """One process is killed, the others wait for it."""
    time.sleep(5)  # as Ray does not call it dead while it starts
    if os.environ["RANK"] == str(rank):
        os.kill(os.getpid(), signal.SIGKILL)
    torch.distributed.barrier()


@pytest.mark.slow
def test_training_on_two_nodes_has_the_history_and_weights_of_one_process(cluster):
    _, expected = train_all()
    nodes, folders, *trained = zip(*run_in_processes(train_somewhere, n_processes=2), strict=True)
    assert len(set(nodes)) == 2 and set(folders) == {os.getcwd()}
    for by_rank in trained:
        assert [rank for rank, _ in by_rank] == [0, 1]
        for _, outcomes in by_rank:
            for found, alone in zip(outcomes, expected, strict=True):
                assert_close(found, alone)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.slow
def test_head_scores_are_those_of_one_process(cluster):
    model, clean, corrupt = tiny_model(), tiny_prompts(), tiny_prompts(seed=2)
    prompts = (clean, corrupt, torch.arange(5), torch.tensor([3, 4, 5, 6, 7]))
    scores = score_heads_in_processes(model, *prompts, n_processes=2)
    torch.testing.assert_close(scores, score_heads(model, *prompts), rtol=0, atol=1e-9)


@pytest.mark.slow
def test_what_a_rank_said_is_the_error(cluster):
    with pytest.raises(RuntimeError) as caught:
        run_in_processes(fail, 1, n_processes=2)
    assert str(caught.value) == "process 1 has failed: MemoryError: no room for 64 prompts"


@pytest.mark.slow
def test_a_process_that_dies_ends_the_run(cluster):
    with pytest.raises(RuntimeError, match="^process 1 has failed: "):
        run_in_processes(die, 1, n_processes=2)
