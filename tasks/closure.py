"""What code a module runs, by content: the files that its imports reach, and the versions of the libraries behind them.

Imports are read off the syntax tree, those inside of functions too, and nothing is imported. Of a registry (a literal
mapping of names to `"module:object"`) the members in question are followed and the others are as if not there, so
that a new member changes nothing for those there are; a `"module:object"` that a member's module says is followed for
that member alone. What no import shows, a module says in literals of its own:

    RESOURCES = ("runner/__main__.py", "infra/a.c")   files, by their place beside it or where it comes with Tercet
    USES = ("tf2onnx",)                             distributions that it runs as commands, or that work for others

What counts of a file, `syntax.py` says.
"""

import json
import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec
from pathlib import Path
from sys import stdlib_module_names
from typing import Any

from tasks import files, paths, syntax
from tasks.registry import points
from tasks.syntax import Source, digest, parse

KNOWN = paths.STATE / "parsed.json"  # of files by their content: parsing all takes seconds
ASIDE = {  # modules, with what is below them, that every stage leaves out of its closure, and why
    "tasks.bench.lockfile": "who waits for whom",
    "tasks.bench.locks": "likewise",
    "tasks.bytecode": "what Python keeps beside its sources",
    "tasks.closure": "what makes outputs old, not what is in them",
    "tasks.code": "likewise",
    "tasks.stages.code": "likewise",
    "tasks.errors": "what failures are called",
    "tasks.records.failures": "why a stage failed",
    "tasks.files": "how bytes come to the disk, not which",
    "tasks.stages.sources": "its answers stand in out/sources",
    "tasks.params": "what it reads, with every default, stands beside the code as values",
    "tasks.paths": "where outputs lie, which dvc.yaml says too",
    "tasks.process": "how programs are started and ended",
    "tasks.redact": "what is not shown",
    "tasks.registry": "finds what is followed here",
    "tasks.scratch": "where temporary files lie",
    "tasks.signals": "how a run ends early",
    "tasks.syntax": "as the closure",
    "tasks.track": "watches, and changes nothing of what it watches",
}
SHAPELESS = {  # libraries, or modules of them, that read, draw, wait and tell; of every other the version counts
    "ai_edge_litert.schema_py_generated", "filelock", "flatbuffers", "google", "jinja2", "mlflow", "packaging",
    "psutil", "pydantic", "rich", "tqdm", "yaml",
}  # fmt: skip

CALLED = {"PIL": "pillow", "ethosu": "ethos-u-vela"}  # modules by the distribution that brings them


@dataclass(frozen=True)
class Closure:
    """What a module runs."""

    files: dict[str, str]  # by place relative to where its package lies: the first half of a SHA-256, in hex
    libraries: dict[str, str | None]  # by distribution: its version; null where it is not installed


class Reader:
    """Finds closures; each file is read once, and parsed only where no earlier reader knew its content."""

    def __init__(self) -> None:
        self._known = _load()
        self._sources: dict[Path, Source] = {}
        self._used: dict[str, Any] = {}
        self._places: dict[str, Path | None] = {}
        self._versions: dict[str, str | None] = {}
        self._closures: dict[Any, Closure] = {}

    def closure(self, roots: Iterable[str], members: Collection[str] = (), aside: Collection[str] = ()) -> Closure:
        """What the modules `roots` run.

        A package's own `__init__` counts where something is imported from it: a name that it only hands on is followed
        to where it is defined.

        Args:
            roots: modules. They and what registries name are ours, and so is all that lies in the same packages.
            members: the names that registries are asked for.
            aside: modules that this root never runs, beside those that no stage leaves in.
        """
        key = (tuple(roots), frozenset(members), frozenset(aside))
        if key not in self._closures:
            self._closures[key] = self._closure(*key)
        return self._closures[key]

    def _closure(self, roots: Collection[str], members: Collection[str], aside: Collection[str]) -> Closure:
        waiting = [found for root in (*roots, *plugins(members)) for found in self._modules(root, "")]
        ours = {_top(module) for module, _ in waiting}
        seen: set[Path] = set()
        found: dict[str, str] = {}
        libraries: set[str] = set()
        while waiting:
            module, path = waiting.pop()
            if path in seen or _is_below(module, {*ASIDE, *aside}):
                continue
            seen.add(path)
            source = self.source(path)
            chosen = sorted({row[name] for row in source.registries for name in row.keys() & members})
            found[_name(path, module)] = digest(source.digest, *chosen)
            libraries |= set(source.libraries)
            ours |= set(map(_top, chosen))
            waiting += [each for target in chosen for each in self._member(target)]
            for imported, what in _absolute(source, module, path):
                if _top(imported) in ours:
                    waiting += self._modules(imported, what)
                elif not {_top(imported), f"{imported}.{what}"} & (stdlib_module_names | SHAPELESS):
                    libraries.add(distribution(_top(imported)))
            for resource in _beside(source, path):
                if resource.suffix == ".py":
                    waiting.append((_module(resource, module), resource))
                else:
                    found[_name(resource, module)] = files.sha256(resource)[:32]
            found |= {name: files.sha256(resource)[:32] for name, resource in _elsewhere(source, path)}
        return Closure(dict(sorted(found.items())), {name: self._version(name) for name in sorted(libraries)})

    def _member(self, target: str) -> Iterator[tuple[str, Path]]:
        """The module of a registry's member, and those of the objects that it names."""
        for module, path in self._modules(target.partition(":")[0], ""):
            yield module, path
            for each in self.source(path).targets:
                if _top(each) == _top(module):
                    yield from self._modules(each.partition(":")[0], "")

    def source(self, path: Path) -> Source:
        """What a file says."""
        if path not in self._sources:
            content = path.read_bytes()
            key = digest(_edition(), content)
            said = self._known.get(key)
            source = Source(**said) if said else parse(content)
            self._sources[path], self._used[key] = source, said or asdict(source)
        return self._sources[path]

    def keep(self) -> None:
        """Have the next reader parse nothing of what this one has read."""
        if self._used.keys() - self._known.keys():
            files.write_json(KNOWN, self._used)

    def _version(self, library: str) -> str | None:
        if library not in self._versions:
            self._versions[library] = installed(library)
        return self._versions[library]

    def _place(self, module: str) -> Path | None:
        if module not in self._places:
            self._places[module] = place(module)
        return self._places[module]

    def _modules(self, module: str, name: str) -> Iterator[tuple[str, Path]]:
        """The modules, with their files, that `from module import name` takes something from."""
        if name and (path := self._place(f"{module}.{name}")):
            yield f"{module}.{name}", path
        elif path := self._place(module):
            handed = next((i for i in _absolute(self.source(path), module, path) if name and i[1] == name), None)
            if handed and path.name == "__init__.py" and _top(handed[0]) == _top(module):
                yield from self._modules(*handed)
            else:
                yield module, path


def _absolute(source: Source, module: str, path: Path) -> Iterator[tuple[str, str]]:
    """The imports of a file as module and name, whatever they are relative to."""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for level, imported, name in source.imports:
        above = package[: len(package) - level + 1] if level else []
        yield ".".join([*above, *filter(None, [imported])]), "" if name == "*" else name


def _beside(source: Source, path: Path) -> Iterator[Path]:
    """The resources that lie beside a file, or are in a folder there."""
    for found in ((path.parent / name).resolve() for name in source.resources):
        each = found.rglob("*") if found.is_dir() else [found]
        yield from sorted(file for file in each if file.is_file())


def _elsewhere(source: Source, path: Path) -> Iterator[tuple[str, Path]]:
    """The others, each with its place."""
    for name in source.resources:
        found = paths.own_or_packaged(Path(name))
        if found.is_file() and not (path.parent / name).exists():
            yield name, found


def plugins(members: Collection[str]) -> list[str]:
    """The modules that entry points `tercet.*` name for these members."""
    found = (point for group in points(tuple(sys.path)).values() for point in group)
    return sorted({point.module for point in found if point.name in members})


def place(module: str) -> Path | None:
    """The file of a module, without importing it; null where there is none."""
    base = home(module).joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


@cache
def _home(top: str) -> Path:
    spec = find_spec(top)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    return Path(folders[0] if folders else (spec and spec.origin) or top).resolve().parent


def home(module: str) -> Path:
    """The folder that a module's outermost package lies in."""
    return _home(_top(module))


@cache
def distribution(name: str) -> str:
    """The distribution that a module is imported from, by its name as installers write it."""
    name = CALLED.get(name, name)
    if installed(name) is None:  # it has another name, and looking through all takes long
        name = next(iter(packages_distributions().get(name, ())), name)
    return name.replace("_", "-")


def installed(name: str) -> str | None:
    """The version of a distribution; null where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _load() -> dict[str, Any]:
    try:
        found = json.loads(KNOWN.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # not there, or not whole
        return {}
    return found if isinstance(found, dict) else {}


@cache
def _edition() -> str:
    """What is kept is of the very code that has parsed it."""
    return files.sha256(Path(syntax.__file__))


def _top(module: str) -> str:
    return module.partition(".")[0]


def _is_below(module: str, folders: Collection[str]) -> bool:
    return any(module == folder or module.startswith(f"{folder}.") for folder in folders)


def _name(path: Path, module: str) -> str:
    """A file's place relative to where the package of a module lies."""
    return path.relative_to(home(module)).as_posix() if path.is_relative_to(home(module)) else path.name


def _module(path: Path, module: str) -> str:
    """The name of a file as a module of the package that another one is of."""
    return ".".join(path.with_suffix("").relative_to(home(module)).parts).removesuffix(".__init__")
