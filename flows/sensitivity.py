"""`tercet sensitivity`: which layers of a variant lose most by being quantized."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from flows.views import terminal
from tasks import params, paths, records
from tasks.errors import WordsError, suggest
from tasks.records import ArtifactCard, Sensitivity, notation

if TYPE_CHECKING:
    from rich.table import Table


def sensitivity(variant: str) -> None:
    """Print the table of a variant, of its card where it was needed to make the variant, else found now.

    Raises:
        WordsError: there is no such variant.
        ParamsError: its scheme quantizes no layers.
        TercetError: the model cannot be read or converted.
    """
    from rich.text import Text

    settings = params.load()
    if variant not in settings.quantize:
        raise WordsError(f"no variant is named {variant!r}; {suggest(variant, settings.quantize)}")
    path = paths.artifact(variant) / "card.json"
    found = records.read(ArtifactCard, path).sensitivity if path.exists() else ()
    if not found:
        from tasks.quantize.sensitivity import by_layer

        found = by_layer(settings, variant)
    scheme, count = settings.quantize[variant].scheme, found[0].n if found else 0
    console = terminal.console()
    console.print(Text(f"{variant}: each layer alone at {scheme}, on {count} validation examples", style="bold"))
    terminal.show(console, render(found))
    said = "change: of the quality, against float32: + is better · SQNR: of the outputs, the lower the more sensitive"
    console.print(Text(said, style="dim"))


def render(found: Sequence[Sensitivity]) -> "Table":
    """The table, the most sensitive layer first."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("layer", overflow="fold")
    table.add_column("operators", overflow="fold")
    share = all(each.unit == "share" for each in found)
    table.add_column("change\npoints" if share else "change", justify="right", no_wrap=True)
    table.add_column("SQNR\ndB", justify="right", no_wrap=True)
    for each in found:
        noise = notation.UNKNOWN if each.sqnr_db is None else f"{each.sqnr_db:.1f}"
        kinds = ", ".join(dict.fromkeys(each.operators))
        change = notation.change(-each.quality_drop, each.unit, each.n).removesuffix(" points")
        table.add_row(each.layer, kinds, change, noise)
    return table
