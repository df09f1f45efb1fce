"""Writing what a search has found into params.yaml: new lines in the user's own text, which else stays as it is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tasks import files, params, paths
from tasks.errors import ParamsError

Entries = Mapping[str, tuple[dict[str, Any], str]]  # by name: the entry, and a comment


def write(compress: Entries, quantize: Entries, path: Path = paths.PARAMS) -> list[str]:
    """Put entries behind those that the sections `compress` and `quantize` have; returns the names that were new.

    The text is inserted rather than dumped anew, which would lose comments, order and spacing. The file is replaced
    only if the new text is a valid params.yaml and, but for these entries, says what the old one said.

    Raises:
        ParamsError: an entry of such a name says something else.
    """
    text = path.read_bytes().decode("utf-8")
    new: list[str] = []
    for section, entries in {"compress": compress, "quantize": quantize}.items():
        present = yaml.safe_load(text)[section]
        for name, (entry, comment) in entries.items():
            if name not in present:
                text = insert(text, section, name, entry, comment)
                new.append(name)
            elif present[name] != entry:
                raise ParamsError(f"{path}: {section}.{name} was changed by hand; give it a name that is your own")
    if new:
        _check_only_added(path, text, {"compress": compress, "quantize": quantize}, new)
        with files.replaced(path) as temporary:
            temporary.write_bytes(text.encode("utf-8"))
            params.load(temporary)
    return new


def insert(text: str, section: str, name: str, entry: Mapping[str, Any], comment: str) -> str:
    """The text with one more entry at the end of a section, in the section's own style and indentation."""
    line = yaml.safe_dump(dict(entry), default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True)
    written = f"{name}: {line.strip()}"
    root: Any = yaml.compose(text, yaml.SafeLoader)
    keys = {key.value: (key, value) for key, value in root.value}
    key, mapping = keys[section]
    newline = "\r\n" if "\r\n" in text else "\n"
    if not mapping.flow_style:
        first, _ = mapping.value[0]
        at = text.find("\n", _end(mapping)) + 1 or len(text)
        before = "" if text[:at].endswith("\n") else newline
        return f"{text[:at]}{before}{' ' * first.start_mark.column}{written} # {comment}{newline}{text[at:]}"
    if not mapping.value:  # {}: from now on in block style
        start, end = mapping.start_mark.index, mapping.end_mark.index
        indent = " " * (key.start_mark.column + 2)
        after = text[end:].partition("\n")
        return f"{text[:start].rstrip(' ')}{after[0].rstrip()}{newline}{indent}{written} # {comment}{newline}{after[2]}"
    at = mapping.end_mark.index - 1  # the closing brace
    inside = text[:at].rstrip()
    gap = newline if "#" in inside.rpartition("\n")[2] else ""  # or a comment would swallow it
    ends = (yaml.BlockEndToken, yaml.StreamEndToken)
    last = [token for token in yaml.scan(inside, yaml.SafeLoader) if not isinstance(token, ends)][-1]
    comma = "" if isinstance(last, yaml.FlowEntryToken) else ","
    return f"{inside}{gap}{comma} {written}{text[at:]}"


def _end(node: Any) -> int:
    """Where the last value of a block mapping ends: the mapping's own end lies behind the comments that follow it."""
    if isinstance(node, yaml.MappingNode | yaml.SequenceNode) and not node.flow_style and node.value:
        last = node.value[-1]
        key, value = last if isinstance(last, tuple) else (last, last)
        return max(_end(value), int(key.end_mark.index))  # what an alias stands for lies before its key
    return int(node.end_mark.index)


def _check_only_added(path: Path, text: str, entries: Mapping[str, Entries], new: list[str]) -> None:
    before, after = yaml.safe_load(path.read_bytes()), yaml.safe_load(text)
    for section, added in entries.items():
        before[section] = {**(before[section] or {}), **{name: added[name][0] for name in added if name in new}}
    if before != after:
        raise ParamsError(f"{path}: entries cannot be added to this layout; write `compress` and `quantize` as blocks")
