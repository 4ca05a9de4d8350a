"""Several machines that share a run: one runs Kedro, the others join it and lend their GPUs.

On the first machine `MACHINES` names how many there are, where it listens and the key that they share; on
each other one, with the same variables and in the same folder,

    python -m circuit_distillation.compute.machines

waits for work until the run ends. Machines must see the same files: the project, its data folder, the models,
and TMPDIR, through which weights pass. Work travels as it does between processes of one machine (pickled),
between machines that know the key.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)
MACHINES = ("CIRCUIT_MACHINES", "CIRCUIT_FIRST", "CIRCUIT_KEY")  # a number, host:port, any secret text
JOINING_SECONDS = 600


@dataclass(frozen=True)
class Place:
    """Where the processes of a piece of work meet, and which of the machines this is."""

    host: str
    port: int
    machine: int
    n_machines: int


@dataclass(frozen=True)
class Told:
    """What the environment says of the machines of a run."""

    n_machines: int
    host: str
    port: int
    key: bytes


def told() -> Told | None:
    """None where the environment names no other machine. ValueError for wrong or missing variables."""
    n_machines, first, key = (os.environ.get(name, "") for name in MACHINES)
    if n_machines in ("", "1"):
        return None
    host, _, port = first.rpartition(":")
    if not (n_machines.isdigit() and host and port.isdigit() and key):
        raise ValueError(f"{', '.join(MACHINES)} must be set to a number, host:port and a secret text")
    return Told(int(n_machines), host, int(port), key.encode())


class Others:
    """The first machine's connections to all the others."""

    def __init__(self, told: Told) -> None:
        self._host, self.n_machines = told.host, told.n_machines
        log.info("waiting for %d other machines at %s:%d", told.n_machines - 1, told.host, told.port)
        with Listener(("", told.port), authkey=told.key) as listener:
            # The library has no way to say it.
            listener._listener._socket.settimeout(JOINING_SECONDS)  # type: ignore[attr-defined]
            self._connections = [self._accept(listener) for _ in range(told.n_machines - 1)]
        _check_shared(self._connections)

    def _accept(self, listener: Listener) -> Connection:
        while True:
            try:
                return listener.accept()
            except TimeoutError:
                raise RuntimeError(
                    f"not all of {self.n_machines} machines joined within {JOINING_SECONDS} s: start "
                    "`python -m circuit_distillation.compute.machines` on each of the others"
                ) from None
            except (AuthenticationError, EOFError, ConnectionError):
                log.warning("%s called without the key of this run", listener.last_accepted)

    def run(self, work: Callable[[Place], dict[int, Any]], *job: Any) -> dict[int, Any]:
        """`work` here and `job` (function, arguments, processes a machine) on the others; results by rank."""
        place = Place(self._host, _free_port(), 0, self.n_machines)
        for number, connection in enumerate(self._connections, 1):
            there = Place(place.host, place.port, number, place.n_machines)
            connection.send_bytes(pickle.dumps((there, job)))
        answers = [_answer(connection) for connection in self._connections]
        try:
            results = work(place)
        except Exception:
            for answer in answers:  # what went wrong there is why it ended here
                if answer.done():
                    answer.result()
            raise
        for answer in answers:
            results |= answer.result()
        return results


@cache
def others() -> Others | None:
    """The other machines of this run, once they have joined; None where the environment names none."""
    found = told()
    return None if found is None else Others(found)


def join(told: Told, run: Callable[..., dict[int, Any]]) -> None:
    """Work for the first machine until its run ends: `run(place, *job)` for every piece."""
    connection = _connected(told)
    while True:
        try:
            message = connection.recv_bytes()
        except (EOFError, ConnectionError):
            return
        connection.send_bytes(pickle.dumps(_done(message, run)))


def _done(message: bytes, run: Callable[..., dict[int, Any]]) -> Any:
    """The answer to a message: whether a file is seen here, results by rank, or as text what failed."""
    try:
        asked = pickle.loads(message)
        if isinstance(asked, str):
            return Path(asked).exists()
        place, job = asked
        return run(place, *job)
    except Exception as error:  # the first machine raises it
        return f"{socket.gethostname()}: {type(error).__name__}: {error}"


def _connected(told: Told) -> Connection:
    """Connected to the first machine, however long its run takes until it listens."""
    while True:
        try:
            return Client((told.host, told.port), authkey=told.key)
        except (OSError, EOFError):
            time.sleep(0.5)
        except AuthenticationError:
            raise ValueError(f"{told.host}:{told.port} has another CIRCUIT_KEY") from None


def _check_shared(connections: list[Connection]) -> None:
    """RuntimeError if a machine does not see the others' temporary files."""
    with tempfile.NamedTemporaryFile() as file:
        for connection in connections:
            connection.send_bytes(pickle.dumps(file.name))
            if not _received(connection):
                raise RuntimeError(
                    f"not every machine sees {tempfile.gettempdir()}: set TMPDIR to a folder that all share"
                )


def _answer(connection: Connection) -> Future:
    """What another machine answers. Where it fails or leaves, the processes here, which wait for it, end."""
    answer: Future = Future()

    def wait() -> None:
        try:
            answer.set_result(_received(connection))
        except RuntimeError as error:
            answer.set_exception(error)
            for process in multiprocessing.active_children():
                process.kill()

    threading.Thread(target=wait, daemon=True).start()
    return answer


def _received(connection: Connection) -> Any:
    try:
        answer = pickle.loads(connection.recv_bytes())
    except (EOFError, ConnectionError):
        raise RuntimeError("another machine left the run: look at what its process wrote last") from None
    if isinstance(answer, str):
        raise RuntimeError(answer)
    return answer


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


def main() -> None:
    """Join the run that the environment names."""
    from circuit_distillation.compute.processes import run_at

    logging.basicConfig(level=logging.INFO)
    found = told()
    if found is None:
        raise SystemExit(f"nothing to join: set {', '.join(MACHINES)}")
    join(found, run_at)


if __name__ == "__main__":
    main()
