"""Kill pipelines at random moments, repeat the same command until it is done, compare the results.

    python scripts/faults.py [--kills 3] [--seed 0] [--folder FOLDER]

runs the test configuration of both tasks, `--kills` kills for each pipeline that trains, measures or reports,
and prints a table. It fails if a command does, or if anything but times differs in the end. Commands run in
processes forked from one that has imported everything: kills then fall into the work, not into the imports.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PIPELINES = {  # with parameters of their own
    "data_generation": "",
    "pretraining": "",
    "teacher_tuning": "",
    "circuit_discovery": "",
    "head_mapping": "",
    "distillation": "",
    "reporting": "",
    "study_run": ",training_seed=1",
    "transfer": "",
    "search": ",search.training_seed=0",  # the few prompts of the test configuration hold no further draw
}
# Columns and keys that no two runs share. A search that goes on counts the work of its last part.
TIMES = ("seconds", "run_id", "forward_equivalents")
OF_TIMES = r"seconds|\.forward_equivalents|\.phases"  # in the table of facts; phases are a text with seconds
NOT_RESULTS = ("mlflow", "mlartifacts", ".html")  # the page shows times; its tables are compared
os.environ.update(OMP_NUM_THREADS="1", TQDM_DISABLE="1", KEDRO_DISABLE_TELEMETRY="1", DO_NOT_TRACK="1")


def command(data_root: Path, pipeline: str, task: str) -> list[str]:
    """The command that is given again after each kill."""
    options = ["--pipelines", pipeline, "--params", f"data_root={data_root},task={task}{PIPELINES[pipeline]}"]
    return ["kedro", "run", "--env", "test", "--only-missing-outputs", *options]


def run(arguments: list[str], log: Path, kill_after: float | None = None) -> float | None:
    """Seconds that a command took; None if it was killed. RuntimeError if it failed."""
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        _become(arguments, log)
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        seconds = time.monotonic() - started
        if ended:
            break
        if kill_after is not None and seconds >= kill_after:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(0.01)
    if os.waitstatus_to_exitcode(status):
        raise RuntimeError(f"`{' '.join(arguments)}` failed:\n{log.read_text()[-3000:]}")
    return seconds


def _become(arguments: list[str], log: Path) -> None:
    """Be the command, in a group of processes of its own, until the end."""
    code = 1
    try:
        os.setsid()
        sys.stdout = sys.stderr = file = open(log, "w", buffering=1)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        os.chdir(ROOT)
        sys.argv = arguments
        from kedro.framework.cli.cli import main

        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def killed(
    data_root: Path, pipeline: str, task: str, kills: int, seconds: float, draw: random.Random
) -> tuple[int, int]:
    """Run a pipeline to its end under `kills` kills; (kills, commands).

    Kills come at moments up to the `seconds` that it takes undisturbed. A pipeline that was done before its
    last kill begins again from what there was.
    """
    before, log = data_root.with_name(f"{data_root.name}.before"), data_root.with_name("faults.log")
    copy(data_root, before)
    made = commands = 0
    while True:
        kill_after = draw.uniform(0, seconds) if made < kills else None
        ended = run(command(data_root, pipeline, task), log, kill_after)
        commands += 1
        made += ended is None
        if ended is not None and made == kills:
            break
        if ended is not None:
            shutil.rmtree(data_root)
            copy(before, data_root)
    shutil.rmtree(before)
    return made, commands


def copy(source: Path, target: Path) -> None:
    """A second folder of the same files: all but databases are replaced, never changed, and can be shared."""

    def one(file: str, place: str) -> None:
        shutil.copy2(file, place) if "mlflow" in Path(file).name else os.link(file, place)

    source.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, target, copy_function=one)


def differences(one: Path, other: Path) -> list[str]:
    """Files that are in one folder alone or say something else, times apart."""
    names = sorted(set(results(one)) | set(results(other)))
    return [name for name in names if content(one / name) != content(other / name)]


def results(root: Path) -> Iterator[str]:
    """Relative paths of what runs left, hidden files of theirs apart."""
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if path.is_file() and not hidden and not any(word in name for word in NOT_RESULTS):
            yield name


def content(path: Path) -> Any:
    """What a file says, times apart."""
    if not path.is_file():
        return None
    if path.suffix == ".json":
        return _timeless(json.loads(path.read_text()))
    if path.suffix == ".parquet":
        import pandas as pd

        frame = pd.read_parquet(path).drop(columns=list(TIMES), errors="ignore")
        if "facts" in (path.stem, path.parent.name):
            frame = frame[~(frame["group"] + "." + frame["name"]).str.contains(OF_TIMES)]
        return frame.to_json(orient="split", double_precision=15)
    return path.read_bytes()


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(entry) for key, entry in value.items() if key not in TIMES}
    return [_timeless(entry) for entry in value] if isinstance(value, list) else value


def import_everything() -> None:
    """What a run imports sooner or later."""
    import accelerate  # noqa: F401
    import kedro_mlflow.framework.hooks  # noqa: F401
    import matplotlib  # noqa: F401
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
    import scipy.stats  # noqa: F401
    import torch
    from kedro.framework.cli import cli  # noqa: F401
    from transformers import AutoModelForCausalLM, LlamaForCausalLM  # noqa: F401

    torch.set_num_threads(1)


def main() -> int:
    """Print the table; the number of files that differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=3, help="for each pipeline and task")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--folder", type=Path, help="for the data, 200 MB; removed at the end")
    options = parser.parse_args()
    import_everything()
    draw, kills = random.Random(options.seed), 0
    print("| task | pipeline | seconds alone | kills | commands |\n|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        alone, disturbed = Path(folder) / "alone", Path(folder) / "disturbed"
        for task in ("entity", "tom"):
            for pipeline in PIPELINES:
                seconds = run(command(alone, pipeline, task), Path(folder) / "alone.log")
                made, commands = killed(disturbed, pipeline, task, options.kills, seconds, draw)
                kills += made
                print(f"| {task} | {pipeline} | {seconds:.1f} | {made} | {commands} |", flush=True)
        found = differences(alone, disturbed)
        n_files = len(list(results(alone)))
    print(f"\n{kills} kills; {n_files} files compared, {len(found)} differ", *found[:9])
    return len(found)


if __name__ == "__main__":
    sys.exit(min(main(), 1))
