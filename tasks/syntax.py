"""What a file of Python says, without what only people read.

That is its syntax tree without comments, layout, docstrings, and the words of errors and of log lines. So an edit of
those makes nothing old, and a reason that a record holds keeps the words that it was written in. The tree is written
down by ourselves, as `ast.dump` differs between versions of Python.
"""

import ast
import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

TARGET = re.compile(r"([\w.]+):\w+")


@dataclass(frozen=True)
class Source:
    """What one file says."""

    digest: str  # of its syntax tree, without the registries
    imports: list[tuple[int, str, str]] = field(default_factory=list)  # level, module and name, as in `from . import a`
    registries: list[dict[str, str]] = field(default_factory=list)  # each: "module:object" by member
    targets: list[str] = field(default_factory=list)  # each "module:object" that stands alone
    resources: list[str] = field(default_factory=list)
    libraries: list[str] = field(default_factory=list)


def parse(content: bytes) -> Source:
    """What a file of Python says."""
    tree = ast.parse(content)
    literals, registries = {"RESOURCES": list[str](), "USES": list[str]()}, []
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name) and target.id in literals:
                literals[target.id] = list(ast.literal_eval(node.value))
            for each in ast.walk(node.value):
                if isinstance(each, ast.Dict) and (row := registry(each)):
                    registries.append(row)
                    each.keys, each.values = [], []
    said = _Said()
    said.take(tree)
    targets = sorted(text for text in said.strings if TARGET.fullmatch(text))
    imports = sorted(said.imports)
    return Source(digest(*said.words), imports, registries, targets, literals["RESOURCES"], literals["USES"])


def registry(node: ast.Dict) -> dict[str, str]:
    """The literal mapping of names to `"module:object"` that a node is; empty where it is none."""
    try:
        row = ast.literal_eval(node)
    except ValueError:  # it is computed
        return {}
    whole = all(
        isinstance(name, str) and isinstance(each, str) and TARGET.fullmatch(each) for name, each in row.items()
    )
    return row if whole else {}


class _Said:
    """A syntax tree as words: every field that has something, but for what only people read; gathered in one walk."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.imports: set[tuple[int, str, str]] = set()
        self.strings: set[str] = set()

    def take(self, node: Any) -> None:
        """Add a node, a list of nodes or a value, with all that is below."""
        if isinstance(node, list):
            for each in node:
                self.take(each)
        elif not isinstance(node, ast.AST):
            self.words.append(repr(node))
            if isinstance(node, str):
                self.strings.add(node)
        elif not _is_for_people(node):
            self._take_fields(node)

    def _take_fields(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            self.imports |= {(0, alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            self.imports |= {(node.level, node.module or "", alias.name) for alias in node.names}
        self.words += ("(", type(node).__name__)
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(node, ast.Raise) and name == "exc":
                value = _without_words(value)
            if value is not None and value != [] and name != "ctx":
                self.words.append(name)
                self.take(value)
        self.words.append(")")


def _is_for_people(node: ast.AST) -> bool:
    """Whether a statement is a docstring, or a line of the log, or runs in no program."""
    if not isinstance(node, ast.Expr):
        return _is_typing(node)
    value = node.value
    if isinstance(value, ast.Constant):
        return True
    called = value.func if isinstance(value, ast.Call) else None
    return isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id == "log"


def _is_typing(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _without_words(raised: Any) -> Any:
    """What a `raise` raises, without what an error says; anything else may carry a value."""
    if isinstance(raised, ast.Call) and isinstance(raised.func, ast.Name) and raised.func.id.endswith("Error"):
        return raised.func
    return raised


def digest(*parts: str | bytes) -> str:
    """The first half of the SHA-256 of all the parts, in hex."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass"))
        whole.update(b"\n")
    return whole.hexdigest()[:32]
