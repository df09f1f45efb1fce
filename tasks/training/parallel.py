"""A training by several workers, or on several devices: its processes are started, watched, and ended together.

They are processes of their own because TensorFlow parts its devices, and joins a cluster, only when it starts. On other
machines, reached by ssh, nothing of Tercet needs to be installed: its code, the data and the model are sent into a
folder that is gone afterwards; TensorFlow and what else Tercet needs must be there. Workers on several machines talk to
each other past ssh, by TensorFlow's own protocol, which neither encrypts nor asks who is there.
"""

import json
import logging
import os
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from queue import Empty, Queue
from signal import SIGKILL
from statistics import median
from tempfile import TemporaryFile
from threading import Thread
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks import errors, paths
from tasks.bench.openssh import connect, last_words, refusal
from tasks.errors import DataError, DeviceError, TercetError
from tasks.process import kill
from tasks.scratch import scratch
from tasks.training import keras_files
from tasks.training.fit import History, OnEpoch
from tasks.training.worker import PACKAGES, WEIGHTS

if TYPE_CHECKING:
    import tf_keras

    from tasks.params import Train

MEET_S, SILENT_S = 900.0, 600.0  # to send all there is; between signs of life
RESOURCES = ("worker.py",)  # of the code that is run elsewhere
CODE = Path(__file__).resolve().parents[1]
HERE = "this machine"
UNPACK = (
    "import sys, tarfile; safe = {'filter': 'data'} if hasattr(tarfile, 'data_filter') else {};"  # from 3.11.4 on
    " tarfile.open(fileobj=sys.stdin.buffer, mode='r|').extractall('.', **safe);"
    " sys.path.insert(0, '.'); from tasks.training.worker import main; main()"
)
THERE = (
    'umask 077; d=$(mktemp -d "${{TMPDIR:-/tmp}}/tercet-XXXXXXXX") || exit 1;'
    """ trap 'rm -rf "$d"' EXIT; trap 'exit 1' HUP INT TERM; cd "$d"; export TMPDIR="$d"; {command}"""
)
log = logging.getLogger(__name__)
Heard = Queue[tuple[int, dict[str, Any] | None]]


def fit(
    model: "tf_keras.Model",
    params: "Train",
    *,
    label: str,
    checkpoint: Path,
    patience: int | None = None,
    on_epoch: OnEpoch | None = None,
    on_pace: Callable[[float], None] | None = None,
) -> History:
    """Fit `model` in place to the data in out/data as `params.parallel` says; see `tasks.training.fit`.

    A kill leaves the last whole epoch in `checkpoint`, from which the next call goes on.

    Args:
        model: a functional one, which a file of Keras holds.
        params: the fitting; `batch_size` is of all workers together.
        label: names it in what is logged.
        checkpoint: a folder that is written after each epoch and resumed from; deleted by the caller.
        patience: see there.
        on_epoch: likewise.
        on_pace: called with the examples a second of each epoch.

    Raises:
        DeviceError: a worker cannot be started or reached, has other versions, dies, or is silent for too long. All of
            them are then ended.
        TercetError: what a worker could not do, as `tasks.training.fit` says.
    """
    assert params.parallel
    paces: list[float] = []
    with scratch("parallel") as folder:
        place = folder / "model"
        place.mkdir()
        keras_files.save(model, place)
        history = _together(params, place, label, checkpoint, patience, on_epoch, paces)
        with np.load(place / WEIGHTS, allow_pickle=False) as arrays:
            model.set_weights([arrays[name] for name in arrays.files])
    if on_pace:
        for each in paces:
            on_pace(each)
    if paces[1:]:  # the first epoch has the graph made too
        each, ways = median(paces[1:]), params.parallel.ways
        shared = "" if params.parallel.layers else f", {each / ways:,.0f} by each of {ways} workers"
        log.info("%s: %s examples a second%s", label, f"{each:,.0f}", shared)
    return history


@dataclass
class Worker:
    """A process that fits, here or on another machine, and is fed and heard by threads of their own."""

    number: int
    name: str
    process: "subprocess.Popen[bytes]"
    said: Any  # the file that its complaints go to
    listener: Thread

    def words(self) -> str:
        """Why it has ended, in a line."""
        code, complaints = self.process.wait(), os.pread(self.said.fileno(), 2**20, 0)
        if code == 255 and self.name != HERE:
            return refusal(self.name, complaints.decode(errors="replace"))
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        return f"the worker on {self.name} {how}; its last words: {last_words(complaints)}"

    def tell(self, words: Any) -> None:
        """Write it a line."""
        assert self.process.stdin
        with suppress(BrokenPipeError):  # it has ended, which is heard
            self.process.stdin.write(json.dumps(words).encode() + b"\n")
            self.process.stdin.flush()

    def end(self) -> None:
        """Kill it: the shell beside one elsewhere removes its folder."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, SIGKILL)
        self.listener.join()
        kill(self.process)
        self.said.close()


def _together(
    params: "Train",
    folder: Path,
    label: str,
    checkpoint: Path,
    patience: int | None,
    on_epoch: OnEpoch | None,
    paces: list[float],
) -> History:
    parallel = params.parallel
    assert parallel
    way = "workers" if parallel.workers else "layers" if parallel.layers else "hosts"
    asked = {"way": way, "parts": parallel.ways, "train": params.known(), "label": label, "patience": patience}
    here = {"folder": str(folder), "checkpoint": str(checkpoint), "number": 0}
    sent = {"tasks": CODE, str(paths.DATA): paths.DATA, "model": folder} | (
        {"checkpoint": checkpoint} if checkpoint.exists() else {}
    )
    if parallel.hosts:
        _all_is_here()
    heard: Heard = Queue()
    with ExitStack() as stack:
        workers = [
            _started(
                0, HERE, [sys.executable, "-I", "-m", "tasks.training.worker"], heard, {"TMPDIR": str(folder.parent)}
            )
        ]
        stack.callback(workers[0].end)
        workers[0].tell(asked | here)
        for number, host in enumerate(parallel.hosts, 1):
            command = connect(host, THERE.format(command=shlex.join([parallel.python, "-I", "-c", UNPACK])))
            worker = _started(number, host, command, heard)
            stack.callback(worker.end)
            there = {"folder": "model", "checkpoint": "checkpoint", "number": number}
            Thread(target=_feed, args=(worker, sent, asked | there), daemon=True).start()
            workers.append(worker)
        if parallel.hosts:
            _introduce(workers, heard, label)
        _each(workers, heard, label, "ready", SILENT_S)
        return _followed(workers, heard, label, on_epoch, paces)


def _all_is_here() -> None:
    """See that what is prepared can travel.

    Raises:
        DataError: images lie in files outside of the project.
    """
    if outside := sorted(paths.DATA.glob("*/inputs.*.files.csv")):
        raise DataError(
            f"train.parallel.hosts: {outside[0]} names files that lie on this machine alone; prepare: {{pack: true}} "
            "puts them into out/data, which is sent"
        )


def _started(number: int, name: str, command: list[str], heard: Heard, more: dict[str, str] | None = None) -> Worker:
    said = TemporaryFile()  # noqa: SIM115  # `Worker.end` closes it
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=said,
        start_new_session=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"} | (more or {}),
    )
    listener = Thread(target=_listen, args=(number, process, heard), daemon=True)
    listener.start()
    return Worker(number, name, process, said, listener)


def _listen(number: int, process: "subprocess.Popen[bytes]", heard: Heard) -> None:
    assert process.stdout
    for line in process.stdout:
        with suppress(ValueError):  # what a shell prints at its start
            words = json.loads(line)
            if isinstance(words, dict):
                heard.put((number, words))
    heard.put((number, None))


def _feed(worker: Worker, sent: dict[str, Path], asked: dict[str, Any]) -> None:
    """Send folders by their names there, then what is asked; where that breaks off the worker ends, which is heard."""
    assert worker.process.stdin
    with suppress(OSError, ValueError):
        with tarfile.open(
            fileobj=worker.process.stdin, mode="w|", dereference=True
        ) as archive:  # DVC may have made links
            for name, path in sent.items():
                archive.add(path, name, filter=lambda each: None if each.name.endswith("__pycache__") else each)
        worker.tell(asked)
        return
    with suppress(OSError, ValueError):
        worker.process.stdin.close()


def _introduce(workers: list[Worker], heard: Heard, label: str) -> None:
    """Hear where all are, and tell it to all: this machine is where the first of the others sees it.

    Raises:
        DeviceError: one does not say so, or has another TensorFlow.
    """
    ours = {name: version(name) for name in PACKAGES}
    found = _each(workers, heard, label, "at", MEET_S)
    for worker, words in zip(workers, found, strict=True):
        for name, other in words["versions"].items():
            if other != ours[name]:
                raise DeviceError(f"{label}: {worker.name} has {name} {other}; {ours[name]} is needed, as it is here")
    sides = [words["at"]["ssh"] for words in found[1:]]
    if any(len(side) != 4 for side in sides):
        raise DeviceError(f"{label}: a host does not say where it is: its ssh server sets no SSH_CONNECTION")
    addresses = [sides[0][0], *(side[2] for side in sides)]
    ports = [words["at"]["port"] for words in found]
    cluster = [
        f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        for address, port in zip(addresses, ports, strict=True)
    ]
    for worker in workers:
        worker.tell(cluster)


def _each(workers: list[Worker], heard: Heard, label: str, key: str, limit_s: float) -> list[dict[str, Any]]:
    """What each worker says under a key, in their order."""
    found: dict[int, dict[str, Any]] = {}
    for number, words in _said(workers, heard, label, limit_s):
        if key in words:
            found[number] = words
        if len(found) == len(workers):
            break
    return [found[worker.number] for worker in workers]


def _followed(workers: list[Worker], heard: Heard, label: str, on_epoch: OnEpoch | None, paces: list[float]) -> History:
    """Follow the chief to its end; the others are heard for what goes wrong."""
    history: History = {}
    for number, words in _said(workers, heard, label, SILENT_S):
        if number:
            continue
        if "log" in words:
            log.info("%s", words["log"])
        elif "pace" in words:
            paces.append(words["pace"])
        elif "epoch" in words and on_epoch:
            on_epoch(words["epoch"], words["metrics"])
        elif "done" in words:
            history = words["done"]
            break
    return history


def _said(workers: list[Worker], heard: Heard, label: str, limit_s: float) -> Iterator[tuple[int, dict[str, Any]]]:
    """What workers say, as they say it.

    Raises:
        TercetError: what one of them could not do.
        DeviceError: one has ended, or none says anything for `limit_s`.
    """
    over: set[int] = set()
    while True:
        try:
            number, words = heard.get(timeout=limit_s)
        except Empty:
            names = ", ".join(worker.name for worker in workers)
            raise DeviceError(f"{label}: no sign of life of the workers on {names} for {limit_s:g} s") from None
        if words is None and number in over:
            continue
        if words is None:
            raise DeviceError(f"{label}: {workers[number].words()}")
        if "done" in words:
            over.add(number)
        if "error" in words:
            kind: type[TercetError] = getattr(errors, words["kind"], TercetError)
            raise kind(words["error"])
        yield number, words
