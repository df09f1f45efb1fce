"""YAML files as DVC reads them: numbers by YAML 1.2, no key twice; what is wrong in one is told with its line."""

import re
from pathlib import Path
from textwrap import shorten
from typing import Any

import yaml

from tasks.errors import ParamsError

LINE = 60  # characters of a file's line in an error


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file whose top is a mapping."""
    return parse_yaml(read_text(path), path)


def read_text(path: Path) -> str:
    """Read a text file; what it cannot be read for becomes a ParamsError of one line."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file; `tercet use digits-cnn` writes a params.yaml to start from") from None
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path}: not valid YAML: {_fault(error, '')}") from None
    except OSError as error:  # a folder, or a file that may not be read
        raise ParamsError(f"{path}: cannot be read: {error.strerror}") from None


def parse_yaml(text: str, path: Path) -> dict[str, Any]:
    """What a text says whose top is a mapping; `path` is for errors."""
    try:
        value = yaml.load(text, _Loader)  # noqa: S506  # a SafeLoader
    except yaml.YAMLError as error:
        raise ParamsError(f"{path}: not valid YAML: {_fault(error, text)}") from None
    except RecursionError:
        raise ParamsError(f"{path}: not valid YAML: it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ParamsError(f"{path}: a mapping of sections is expected; received {type(value).__name__}")
    return value


def _fault(error: Exception, text: str) -> str:
    """What is wrong, and the line that it is in; where that is the end of something open, also where this began."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return " ".join(str(error).split())
    place, opened = error.problem_mark.line, error.context_mark
    began = f", in what begins in line {opened.line + 1}" if opened and opened.line != place else ""
    line = next(iter(text.splitlines()[place : place + 1]), "").strip()
    shown = f": `{shorten(line, LINE)}`" if line else ""
    hint = "; what begins with * stands in quotes" if str(error.problem).endswith("but found '*'") else ""
    return f"{error.problem}{began} (line {place + 1}{shown}){hint}"


class _Loader(yaml.SafeLoader):
    """Reads numbers as YAML 1.2 does, and DVC with it, and refuses a key that stands twice, as DVC does.

    YAML's default is that the second silently wins.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                problem = f"the key {key.value!r} stands there twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else key)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: FBT001, FBT002
        try:
            return super().construct_object(node, deep)
        except (AttributeError, KeyError, OverflowError, ValueError):  # PyYAML looks at no day of a month
            problem = f"{repr(node.value)[:LINE]} is no {node.tag.rpartition(':')[2]}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        text = str(self.construct_scalar(node)).replace("_", "")
        return int(text, 0 if re.match("[-+]?0[box]", text) else 10)


# what DVC reads, for which 010 is ten and 1:30 text; to YAML 1.1 they are 8 and 90
INTEGER, FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, read) for tag, read in known if tag not in (INTEGER, FLOAT)]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_constructor(INTEGER, _Loader.construct_yaml_int)
_Loader.add_implicit_resolver(
    INTEGER,
    re.compile(r"[-+]?(0b[01][01_]*|0o[0-7][0-7_]*|0x[0-9a-fA-F][0-9a-fA-F_]*|[0-9][0-9_]*)$"),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver(
    FLOAT,
    re.compile(
        r"[-+]?([0-9][0-9_]*(\.[0-9_]*)?|\.[0-9][0-9_]*)([eE][-+]?[0-9]+)?$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$"
    ),
    list("-+.0123456789"),
)
