"""params.yaml for DVC: it reads and searches all of it anew for each stage, and at each of several looks at a stage.

With n variants that are n readings of n entries. Here the file is parsed when it has changed, and a key is looked up
by its own words. What is no plain key, or not there, DVC's own function answers.
"""

import os
from collections.abc import Sequence
from copy import deepcopy
from functools import reduce
from operator import getitem
from typing import Any

import dvc.dependency.param

_read = dvc.dependency.param.read_param_file
_load = dvc.dependency.param.load_path
_parsed: dict[str, tuple[Any, Any]] = {}  # by path: what file it was, and what it said


def remember() -> None:
    """Have DVC ask here from now on."""
    dvc.dependency.param.read_param_file = read


def read(fs: Any, path: str, key_paths: Sequence[str] | None = None, flatten: bool = False, **options: Any) -> Any:  # noqa: FBT001, FBT002  # as DVC calls it
    """What DVC's function of that name gives.

    Args:
        fs: the file system.
        path: of a file of parameters.
        key_paths: keys, with a point between the levels; none: all.
        flatten: whether the answer is by key, and not nested as the file is.
        options: of DVC's own.
    """
    if not flatten or not key_paths or options or fs.protocol != "local":  # as of an earlier revision
        return _read(fs, path, key_paths, flatten, **options)
    known = _content(fs, path)
    found = {}
    for key in key_paths:
        try:
            found[key] = reduce(getitem, key.split("."), known)
        except (LookupError, TypeError):  # not there, or the place in a list, or a pattern
            found |= _read(fs, path, [key], flatten)
    return deepcopy(found)  # what two stages shared would stand in dvc.lock once, and be referred to


def _content(fs: Any, path: str) -> Any:
    about = os.stat(path)  # noqa: PTH116  # DVC's path is a string
    now = about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns  # the last, nobody can set back
    if path not in _parsed or _parsed[path][0] != now:
        _parsed[path] = now, _load(path, fs)
    return _parsed[path][1]
