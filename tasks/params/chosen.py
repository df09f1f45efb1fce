"""Sections that one of their keys chooses: a family of models, a method, a source; a plug-in's by its own model."""

from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Any

from pydantic import BaseModel, GetJsonSchemaHandler, TypeAdapter
from pydantic_core import core_schema

from tasks.registry import Registry


class Chosen:
    """How such a section is read.

    Of Tercet's own members the models are known. A plug-in is imported where a section names it, and only then, so
    that a plug-in may import all of Tercet.

    Args:
        key: which chooses.
        own: the model of Tercet's own members, or a union of them that the key tells apart.
        table: of the members, each with a `schema`.
    """

    def __init__(self, key: str, own: Any, table: Registry[Any]) -> None:
        self.key, self.own, self.table = key, own, table

    def __get_pydantic_core_schema__(self, _source: Any, _handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.validate)

    def __get_pydantic_json_schema__(self, _schema: Any, handler: GetJsonSchemaHandler) -> Any:
        return handler(self._ours.core_schema)

    def validate(self, value: Any) -> Any:
        """The section as its member's model has it.

        Raises:
            ValidationError: it is not one.
        """
        name = value.get(self.key) if isinstance(value, Mapping) else getattr(value, self.key, None)
        schema = self.plugged(name)
        return (self._ours if schema is None else _adapter(schema)).validate_python(value)

    def plugged(self, name: Any) -> type[BaseModel] | None:
        """The model of a plug-in's member of that name; None where there is none."""
        if not isinstance(name, str) or name in self.table.members or name not in self.table:
            return None
        schema: type[BaseModel] = self.table.load(name).schema
        return schema

    @cached_property
    def _ours(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.own)


@lru_cache
def _adapter(schema: type[BaseModel]) -> TypeAdapter[Any]:
    return TypeAdapter(schema)
