"""A conversation as the text that a model was taught to read: by its own template, as transformers renders one.

Who writes a template tries it by transformers' `apply_chat_template`. What that adds to Jinja is here too: `break` and
`continue`, `tojson` as Python writes JSON, `strftime_now`, `raise_exception`, and `generation`, which marks what an
assistant has said and writes nothing.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from jinja2 import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(Extension):
    """A block whose content is written as if it were in none."""

    tags = {"generation"}  # noqa: RUF012 - as Jinja has it

    def parse(self, parser: Parser) -> list[Node]:
        """What stands in it."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def rendered(template: str, messages: Sequence[Mapping[str, Any]], special: Mapping[str, str]) -> str:
    """The messages, and the begin of an answer; a template can do nothing but write.

    Args:
        template: of Jinja, as a tokenizer_config.json has it.
        messages: each with its `role` and `content`.
        special: the texts of tokens that it may write by name, as `bos_token`.

    Raises:
        ValueError: the template refuses them, or is none.
    """
    room = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    room.filters["tojson"] = _json
    room.globals |= {"raise_exception": _refused, "strftime_now": lambda form: datetime.now().strftime(form)}
    known = {"bos_token": "", "eos_token": "", "tools": None, "documents": None, **special}
    try:
        return room.from_string(template).render(messages=messages, add_generation_prompt=True, **known)
    except (TemplateError, TypeError) as error:  # of a type: it joins texts with what a message has none of
        raise ValueError(f"messages: the model's template: {error}") from None


def _json(value: Any, **how: Any) -> str:
    """As Python writes it, by what `json.dumps` knows: Jinja's own escapes HTML and sorts keys."""
    return json.dumps(value, **{"ensure_ascii": False, **how})


def _refused(why: str) -> None:
    raise ValueError(f"messages: {why}")
