"""Run a function on the machines of a Ray cluster, by Ray Train.

A run uses a cluster if RAY_ADDRESS, Ray's own variable, names one (`auto` on a machine of the cluster). Only
then is Ray imported; it is the optional extra `cluster`. All machines must see the same files: the project,
its data folder, the models, and TMPDIR, through which processes exchange weights.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

ADDRESS = "RAY_ADDRESS"


def uses_cluster() -> bool:
    """Whether the environment names a Ray cluster."""
    return bool(os.environ.get(ADDRESS))


def check_cluster(n_processes: int) -> str:
    """What each process gets one of: "GPU", or "CPU" where the cluster has no GPU.

    ValueError if Ray is not installed, no cluster answers, or it has fewer than `n_processes` of these.
    """
    resources = _connected().cluster_resources()
    kind = "GPU" if resources.get("GPU") else "CPU"
    there = int(resources.get(kind, 0))
    if there < n_processes:
        raise ValueError(
            f"{n_processes} processes need a {kind} each, the Ray cluster has {there}: "
            "lower `processes` or add machines"
        )
    return kind


def run_on_cluster(function: Callable[..., Any], args: tuple[Any, ...], n_processes: int) -> list[Any]:
    """Results of `function(*args)` of every rank, in rank order.

    Ray Train gives each process the environment that `torchrun` gives, and a process group. RuntimeError with
    what the first rank to fail said, or with why the processes could not start.
    """
    kind = check_cluster(n_processes)
    from ray.train import FailureConfig, LoggingConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.util.queue import Queue

    results, project = Queue(), Path.cwd()  # a queue, as Ray Train returns the value of rank 0 alone
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def work() -> None:
            _enter(project, folder)
            results.put((int(os.environ["RANK"]), function(*args)))

        scaling = ScalingConfig(num_workers=n_processes, use_gpu=kind == "GPU")
        run = RunConfig(
            storage_path=name,
            failure_config=FailureConfig(controller_failure_limit=0, max_preemption_failures=0),
            logging_config=LoggingConfig(log_level="WARNING"),
        )
        _fit(TorchTrainer(work, scaling_config=scaling, run_config=run))
        by_rank = dict(results.get_nowait_batch(n_processes))
    return [by_rank[rank] for rank in range(n_processes)]


def _fit(trainer: Any) -> None:
    """Run a Ray trainer. RuntimeError with one line where it fails; Ctrl-C is what it is elsewhere."""
    from ray.train import TrainingFailedError

    interrupt = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit()
    except TrainingFailedError as error:
        raise RuntimeError(_failure(error)) from error
    except SystemExit:  # Ray would end an interrupted program as if it had succeeded
        raise KeyboardInterrupt from None
    finally:
        if signal.getsignal(signal.SIGINT) is not interrupt:  # Ray leaves a handler of its own
            signal.signal(signal.SIGINT, interrupt)


def _connected() -> ModuleType:
    """The module `ray`, connected to the cluster that the environment names."""
    try:
        import ray
    except ImportError:
        raise ValueError(
            f"{ADDRESS} is set, but Ray is not installed: pip install 'circuit-distillation[cluster]', "
            f"or unset {ADDRESS} to use this machine alone"
        ) from None
    if not ray.is_initialized():
        try:
            ray.init(logging_level=logging.WARNING)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ValueError(
                f"no Ray cluster answers at {ADDRESS}={os.environ[ADDRESS]}: start one with "
                f"`ray start --head`, or unset {ADDRESS} to use this machine alone"
            ) from error
    return ray


def _enter(project: Path, temporary: Path) -> None:
    """Work in the project's folder. FileNotFoundError if this machine does not see the files of the run."""
    for path, remedy in ((project, "start the run in a folder"), (temporary, "set TMPDIR to a folder")):
        if not path.is_dir():
            machine = socket.gethostname()
            raise FileNotFoundError(f"{machine} does not see {path}: {remedy} that all machines share")
    os.chdir(project)


def _failure(error: Any) -> str:
    """One line on the rank that failed first, or on the cluster, where no rank has failed."""
    failures = getattr(error, "worker_failures", {})
    # When a process ends, the others often report no more than a lost connection: a plain RuntimeError.
    rank = min(failures, key=lambda rank: type(failures[rank]) is RuntimeError, default=None)
    failed = getattr(error, "controller_failure", error) if rank is None else failures[rank]
    who = "the Ray cluster" if rank is None else f"process {rank}"
    line = str(failed).strip().partition("\n")[0]
    return f"{who} has failed: {type(failed).__name__}: {line}"
