"""What every section of params.yaml is made of, and the one line that says what is wrong in one."""

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from tasks.errors import ParamsError, suggest
from tasks.params.chosen import Chosen

# what YAML 1.1, by which other readers go, or YAML 1.2, by which DVC does, takes for something else than text
NO_TEXT = re.compile(
    r"[0-9]+(e[0-9]+)?|0o[0-7]+|0x[0-9a-f]+|0b[01]+|[0-9]+-[0-9]+-[0-9]+|null|true|false|yes|no|on|off|y|n"
)


def _is_text(name: str) -> str:
    if NO_TEXT.fullmatch(name):
        raise ValueError(f"received {name!r}, which YAML reads as a number, a date or a truth value; add a word to it")
    return name


NAME = r"^[a-z0-9][a-z0-9-]*$"
Name = Annotated[str, StringConstraints(pattern=NAME, max_length=64), AfterValidator(_is_text)]
Share = Annotated[float, Field(gt=0, lt=1)]
MOST = 2**31 - 1  # what TensorFlow counts with
Count = Annotated[int, Field(ge=1, le=MOST)]
Natural = Annotated[int, Field(ge=0, le=MOST)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]  # what numpy and TensorFlow both take
BASELINE = "baseline"  # the trained model, which no entry of `compress` is
S = TypeVar("S", bound=BaseModel)
OURS = ("value_error", "truth")  # errors whose words are our own
SHOWN = 100  # characters of a wrong value
KEY = "[key]"  # the end of an error's location where a key is meant, and not what it holds
EXPECTED = {  # where pydantic says it in Python's words
    "dict_type": "a section is expected, or {} for an empty one",
    "model_type": "a section is expected, or {} for an empty one",
    "model_attributes_type": "a section is expected, or {} for an empty one",
    "string_type": "text is expected",
    "tuple_type": "a list is expected",
}


def at_seed(name: str, seed: int) -> str:
    """What a model or a variant is called that is made once more by a further seed."""
    return f"{name}-s{seed}"


def is_baseline(model: str) -> bool:
    """Whether a model is the trained one, by whatever seed."""
    return re.fullmatch(rf"{BASELINE}(-s\d+)?", model) is not None


def once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same.

    Raises:
        ValueError: one stands there twice.
    """
    if twice := [value for value in values if values.count(value) > 1]:
        raise ValueError(f"received {twice[0]!r} twice; each is named once")
    return values


class Section(BaseModel):
    """A part of params.yaml: frozen; it refuses unknown keys, numbers that are not finite, truth values for numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_truth(cls, value: Any) -> Any:
        """Pydantic takes `yes` for the number 1."""
        for key in filter(cls.model_fields.__contains__, value) if isinstance(value, Mapping) else ():
            given = value[key]
            within = given.values() if isinstance(given, Mapping) else given if isinstance(given, list) else [given]
            truths = [each for each in within if isinstance(each, bool)]
            if truths and not cls._takes_truth(key):
                told = f"received {truths[0]}; no truth value expected, as which YAML reads yes, no, on and off too"
                raise PydanticCustomError("truth", "{told}", {"told": told, "inside": key})
        return value

    @classmethod
    def _takes_truth(cls, key: str) -> bool:
        """Whether a truth value may stand there, or a section, which looks for itself."""
        types = _types(cls.model_fields[key].annotation)
        return bool(types & {bool, Any}) or any(map(_is_section, types))

    def known(self) -> dict[str, Any]:
        """All that it says or leaves at a default, as JSON has it; what is null is left out."""
        return self.model_dump(mode="json", exclude_none=True)


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _types(annotation: Any) -> set[Any]:
    """What a value may be of, within lists and mappings too."""
    parts = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return _types(parts[0])
    if get_origin(annotation) is Literal:
        return {type(part) for part in parts}
    return set().union(*map(_types, parts)) if parts else {annotation}


def check(schema: type[S], value: Mapping[str, Any], path: Path) -> S:
    """Validate `value`; the first fault becomes a ParamsError of one line that names the key in `path`."""
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        # a misspelled key is both unknown and missing: name the spelling
        faults = sorted(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise ParamsError(f"{path}: {_explain(schema, value, faults[0])}{more}") from None


def _explain(schema: type[BaseModel], value: Any, fault: Any) -> str:
    keys: list[str] = []
    annotation: Any = schema
    chosen: Chosen | None = None  # the last one on the way
    for step in fault["loc"]:
        chosen = _chosen(annotation) or chosen
        annotation = _read_as(annotation, value)
        inside = step in value if isinstance(value, Mapping) else _is_index(step, value)
        absent = step == fault["loc"][-1] and fault["type"] == "missing"  # of others the last may be a union's tag
        if inside or isinstance(step, int) or absent:
            keys.append(str(step))
            value = value[step] if inside else None
        parent, annotation = next(iter(_members(annotation)), None), _descend(annotation, step)
    named = fault["loc"][-1:] == (KEY,)
    if named and not isinstance(fault["input"], str):
        keys = [*map(str, fault["loc"][:-2])]  # what holds it
    where = ".".join([*keys, *filter(None, [fault.get("ctx", {}).get("inside")])])
    chosen = _chosen(annotation) or chosen
    match fault["type"]:
        case "extra_forbidden":
            return f"{where}: unknown key; {suggest(keys[-1], getattr(parent, 'model_fields', ()))}"
        case "missing":
            return f"{where}: this key is missing"
        case kind if kind in OURS:
            return (f"{where}: " if where else "") + str(fault["ctx"].get("error", fault["msg"]))
        case "literal_error" | "union_tag_invalid":
            return _not_among(fault, where, chosen)
        case "union_tag_not_found":
            key = fault["ctx"]["discriminator"].strip("'")
            return f"{where}.{key}: this key is missing"
        case _:
            return f"{where}: received {'the name ' * named}{_shown(fault['input'])}; {_expected(fault)}"


def _not_among(fault: Any, where: str, chosen: Chosen | None) -> str:
    """Of a value that is none of a few."""
    allowed = fault["ctx"].get("expected") or fault["ctx"]["expected_tags"]
    received = fault["ctx"].get("tag", fault["input"])
    if "discriminator" in fault["ctx"]:
        where += "." + fault["ctx"]["discriminator"].strip("'")
    names = re.findall(r"'([^']*)'", allowed)
    if chosen and where.endswith(f".{chosen.key}"):
        names = list(chosen.table)  # with those of plug-ins
    told = suggest(str(received)[:SHOWN], names) if names else f"allowed: {', '.join(re.findall('[0-9]+', allowed))}"
    return f"{where}: received {_shown(received)}; {told}"


def _expected(fault: Any) -> str:
    """What stands in the way of a value, in the words of who writes YAML."""
    if fault["type"] == "string_type" and fault["loc"][-1] == KEY:
        return "YAML reads it as a number, a date or a truth value; add a word to it"
    if fault.get("ctx", {}).get("pattern") == NAME:
        return "small letters, digits and hyphens are allowed, and no hyphen at the beginning"
    said = fault["msg"].removesuffix(f" after validation, not {fault.get('ctx', {}).get('actual_length')}")
    return EXPECTED.get(fault["type"]) or f"{said[0].lower()}{said[1:]}".replace("tuple", "list")


def _is_index(step: Any, value: Any) -> bool:
    return isinstance(step, int) and isinstance(value, list | tuple) and step < len(value)


def _shown(value: Any) -> str:
    """A value about as it was written, without the middle where it is long."""
    text = "nothing" if value is None else str(value) if isinstance(value, date) else repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN // 2]}…{text[-SHOWN // 2 :]}"


def _present(annotation: Any) -> Any:
    """The section that an optional one is where it is there."""
    members = [member for member in get_args(annotation) if member is not type(None)]
    return members[0] if type(None) in get_args(annotation) and len(members) == 1 else annotation


def _chosen(annotation: Any) -> Chosen | None:
    """How a section that one of its keys chooses is read; None where nothing chooses."""
    found = [annotation, *getattr(_present(annotation), "__metadata__", ())]
    return next((each for each in found if isinstance(each, Chosen)), None)


def _read_as(annotation: Any, value: Any) -> Any:
    """The annotation that a value was read by: of a section that is chosen, its member's."""
    chosen = _chosen(annotation)
    if chosen is None:
        return annotation
    return (chosen.plugged(value.get(chosen.key)) if isinstance(value, Mapping) else None) or chosen.own


def _of(field: FieldInfo) -> Any:
    return next((each for each in field.metadata if isinstance(each, Chosen)), field.annotation)


def _descend(annotation: Any, step: str | int) -> Any:
    """The annotation behind one step of an error's location: a field, an item, a value, a member of a union."""
    members = _members(annotation)
    for member in members if len(members) > 1 else ():
        for field in getattr(member, "model_fields", {}).values():
            if get_origin(field.annotation) is Literal and step in get_args(field.annotation):
                return member
    for member in members:
        if get_origin(member) is dict:
            return get_args(member)[1]
        if get_origin(member) is tuple and isinstance(step, int):
            items = get_args(member)
            return items[0] if items[-1] is Ellipsis else items[step]
        if step in getattr(member, "model_fields", {}):
            return _of(member.model_fields[str(step)])
    return None


def _members(annotation: Any) -> list[Any]:
    """What an annotation lets stand there, each by itself, without what is said of it; null is none of them."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [member for part in get_args(annotation) for member in _members(part)]
    return [] if annotation is NoneType else [annotation]
