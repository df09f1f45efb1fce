"""Pages that are made while the documentation is built: the keys of params.yaml, the commands, what runs where.

Three directives of MyST, which stand in the pages by themselves: `params`, `commands` and `support`. What a key means
is the comment that stands beside it, or above it, in the code.
"""

import ast
import importlib
import inspect
import io
import pkgutil
import tokenize
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from docutils import nodes
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from flows import support
from flows.commands import COMMANDS, parser
from flows.operators import Matrix
from tasks import params, paths
from tasks.params.section import Section
from tasks.records import read


def comments(module: ModuleType) -> dict[tuple[str, str], tuple[str, str]]:
    """What each field takes and what is said of it, by the names of its class and of itself."""
    source = inspect.getsource(module)
    alone, beside = {}, {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and not token.string.startswith("# fmt:"):
            where = beside if token.line[: token.start[1]].strip() else alone
            where[token.start[0]] = token.string.lstrip("# ")
    found = {}
    for node in ast.walk(ast.parse(source)):
        for each in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
                above, line = [], each.lineno - 1
                while line in alone:
                    above.insert(0, alone[line])
                    line -= 1
                own = [beside[k] for k in range(each.lineno, (each.end_lineno or each.lineno) + 1) if k in beside]
                found[node.name, each.target.id] = (ast.unparse(each.annotation), " ".join([*above, *own]))
    return found


def sections(module: ModuleType) -> Iterator[type[Section]]:
    """The sections that a module defines, in its order."""
    for each in vars(module).values():
        if inspect.isclass(each) and issubclass(each, Section) and each.__module__ == module.__name__:
            yield each


def of_params() -> str:
    """All keys of params.yaml, as Markdown."""
    lines = []
    names = [params.__name__, *(f"{params.__name__}.{each.name}" for each in pkgutil.iter_modules(params.__path__))]
    for module in map(importlib.import_module, names):
        said = comments(module)
        for section in sections(module):
            lines += [f"## {section.__name__}", "", inspect.getdoc(section) or "", "", "| key | takes | unless set | |"]
            lines += ["|---|---|---|---|"]
            for name, field in section.model_fields.items():
                known = (said[base.__name__, name] for base in section.__mro__ if (base.__name__, name) in said)
                takes, told = next(known, (str(field.annotation), ""))
                lines.append(f"| `{name}` | `{_cell(takes)}` | {_default(field)} | {_cell(told)} |")
            lines.append("")
    return "\n".join(lines)


def of_commands() -> str:
    """The help of each command, as Markdown."""
    parts = []
    for name in COMMANDS:
        command = parser.of(name)
        context = command.make_context(f"tercet {name}", [], resilient_parsing=True)
        parts += [f"## tercet {name}", "", "```text", command.get_help(context), "```", ""]
    return "\n".join(parts)


def of_support() -> str:
    """Which operator runs at which scheme on which runtime, as Markdown."""
    matrix = read(Matrix, paths.own_or_packaged(paths.SUPPORT))
    columns = support.runtimes(matrix)
    lines = [f"| operator | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for operator, cells in support.rows(matrix).items():
        lines.append(f"| {operator} | {' | '.join(f'`{cell}`' for cell in cells)} |")
    marks = ", ".join(f"`{mark}` {outcome}" for outcome, mark in support.MARKS.items())
    lines += ["", f"{support.legend(matrix).capitalize()}; {marks}; {support.probed(matrix)}.", "", "## Why not", ""]
    return "\n".join([*lines, *(f"- {_cell(reason)}" for reason in support.reasons(matrix))])


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "has to be set"
    value = field.default
    if value is PydanticUndefined:
        value = field.default_factory() if field.default_factory else None  # type: ignore[call-arg]  # ours take none
    return "null" if value is None else f"`{_cell(str(value))}`"


def _cell(text: str) -> str:
    """Text in a cell of a table; what is in angles is no HTML, and in backticks none anyway."""
    parts = text.split("`")
    return "`".join(part if k % 2 else part.replace("<", "&lt;") for k, part in enumerate(parts)).replace("|", "\\|")


class Generated(SphinxDirective):
    """A directive that is replaced by Markdown which a function makes."""

    has_content = False

    def run(self) -> list[nodes.Node]:
        """The nodes of the Markdown."""
        text = {"params": of_params, "commands": of_commands, "support": of_support}[self.name]()
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx of the directives."""
    for name in ("params", "commands", "support"):
        app.add_directive(name, Generated)
    return {"parallel_read_safe": True}
