"""What a stage's command needs and makes, between the flow's project and a clone of it on another machine.

The flow sends what DVC's cache has of the needs to the remote, and a `Parcel`; the clone fetches by its hashes, runs
the command, keeps what it made in a cache of its own, sends that to the remote, and answers with hashes.
"""

import json
import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from socket import gethostname
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc_data.hashfile.hash_info import HashInfo

from flows import lanes, seeds
from flows.alone import LOCK
from flows.by_dvc import check_code, check_given
from flows.start import dvc_bridge
from tasks import files, params, paths
from tasks.errors import TercetError, TrackingError
from tasks.records import Record
from tasks.stages import call

TRADING = paths.STATE / "trading"  # a lock: several workers may have one clone


class Parcel(Record):
    """What a command needs that runs elsewhere."""

    words: tuple[str, ...]  # of the stage: its name and keys
    flow: str  # who the flow is, as its own project says
    params: str  # params.yaml
    texts: dict[str, str]  # outputs that DVC does not cache, by path: hashes of code and the like
    hashes: dict[str, str]  # by the paths of those that it does


def pack(stage: Any, words: Sequence[str], *, send: bool) -> Parcel:
    """What a stage of DVC needs.

    Args:
        stage: whose command is about to run; what it needs is there.
        words: its name and keys.
        send: whether to send what DVC's remote lacks of it.

    Raises:
        TrackingError: the remote does not take it.
    """
    cached, texts = [], {}
    with dvc_bridge.DVC:
        for dep in stage.deps:
            made = _outputs(stage.repo).longest_prefix(dep.fs.parts(dep.fs_path))
            if made and made.value.use_cache:
                made.value.hash_info, made.value.obj = dep.hash_info, None  # as it is now, which DVC has just looked
                cached.append(made.value)
            elif made:  # and no file of the project itself
                texts[_path(dep)] = Path(_path(dep)).read_text(encoding="utf-8")
        if send:
            with _told("takes nothing"):
                _push(stage.repo, cached)
    return Parcel(
        words=tuple(words),
        flow=_flow(),
        params=paths.PARAMS.read_text(encoding="utf-8"),
        texts=texts,
        hashes={_path(out): out.hash_info.value for out in cached},
    )


def unpack(stage: Any, hashes: dict[str, str]) -> None:
    """Have here what a command has made elsewhere; of none it was made here.

    Raises:
        TrackingError: the remote does not give it.
    """
    if hashes:
        with dvc_bridge.DVC, _told("gives nothing"):
            _pull(stage.repo, stage.outs, hashes)


def carry_out(given: dict[str, Any]) -> dict[str, str]:
    """Run a command in the project that is the working directory: a clone, or the flow's own folder.

    Args:
        given: a `Parcel`, as JSON has it.

    Returns:
        The hashes of what was made, by path; none in the flow's own folder, where it lies.

    Raises:
        TercetError: of the stage's own kind; or this clone has other code or files, or no remote.
    """
    parcel = Parcel.model_validate(given)
    name, *keys = parcel.words
    if parcel.flow == _flow():
        with lanes.of(name, *keys):
            call(name, *keys)
        return {}
    with files.locked(TRADING), _told("gives nothing"):
        stage = _receive(parcel)
    with lanes.of(name, *keys):
        call(name, *keys)
    with files.locked(TRADING), _told("takes nothing"):
        for out in stage.outs:
            out.save()
            out.commit()
        _push(stage.repo, stage.outs)
    return {_path(out): out.hash_info.value for out in stage.outs}


@lru_cache(maxsize=1)
def _outputs(repo: Any) -> Any:
    """All that the stages of a run make, by path; DVC forgets it with each command and takes half a second to tell."""
    return repo.index.outs_trie


def _path(one: Any) -> str:
    """Where a need or an output lies, from the project's folder: DVC itself goes by where its file lies."""
    return str(os.path.relpath(one.fs_path))


def _flow() -> str:
    """Who is at work in the project here: of two folders no two say the same."""
    try:
        return LOCK.read_text(encoding="utf-8")
    except OSError:  # nobody
        return ""


def _receive(parcel: Parcel) -> Any:
    """Make the clone one in which the command can run; its stage."""
    for path, text in {str(paths.PARAMS): parcel.params, **parcel.texts}.items():
        if not Path(path).exists() or Path(path).read_text(encoding="utf-8") != text:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            files.write_text(Path(path), text)
    seeds.write(params.load())
    try:
        check_code(*parcel.words)
        check_given(parcel.words[0])
    except TercetError as error:
        raise TercetError(
            f"{gethostname()}:{Path.cwd()} has other code or files than the run that sends it work: {error}"
        ) from None
    repo = Repo(".", _wait_for_lock=True)
    with repo.lock:
        stages = {tuple(shlex.split(each.cmd)[2:]): each for each in repo.index.stages if isinstance(each.cmd, str)}
        made = {_path(out): out for out in repo.index.outs}
    _pull(repo, [made[path] for path in parcel.hashes], parcel.hashes)
    return stages[parcel.words]


def _pull(repo: Any, outs: Iterable[Any], hashes: dict[str, str]) -> None:
    """Have outputs as their hashes say, fetching what the cache lacks."""
    for out in outs:
        out.hash_info, out.obj = HashInfo("md5", hashes[_path(out)]), None
        repo.cloud.pull({out.hash_info}, odb=_remote(repo))  # of a folder, the list of what is in it
        if out.cache.exists(out.hash_info.value):
            repo.cloud.pull({each for ids in out.get_used_objs().values() for each in ids}, odb=_remote(repo))
        if out.changed_cache():
            raise DvcException(f"it lacks {out}")
        out.checkout(force=True)


def _push(repo: Any, outs: Iterable[Any]) -> None:
    wanted = {each for out in outs for ids in out.get_used_objs().values() for each in ids}
    if failed := repo.cloud.push(wanted, odb=_remote(repo)).failed:
        raise DvcException(f"{len(failed)} of {len(wanted)} files did not arrive")


_opened: dict[str, Any] = {}


def _remote(repo: Any) -> Any:
    """DVC's remote, which a process opens once: a client of S3 takes a second to make, and a run trades at each stage.

    What it has listed before is forgotten: others send to it, too.
    """
    settings = json.dumps([repo.root_dir, repo.config["core"], repo.config["remote"]], default=str, sort_keys=True)
    if settings not in _opened:
        _opened.clear()
        _opened[settings] = repo.cloud.get_remote_odb()
    remote = _opened[settings]
    remote.fs.fs.invalidate_cache()
    return remote


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Whatever DVC's storages raise, in one line."""
    try:
        yield
    except TercetError:
        raise
    except Exception as error:  # the boundary: DVC lets through what its storages raise
        said = " ".join(str(error).split()) or type(error).__name__
        raise TrackingError(
            f"{gethostname()}: the remote of DVC {what}: {said}; every machine of a run must reach it"
        ) from error
