"""Weights of 4 bits of which so many in a row share a scale: in the products of dense layers, by a layer's name.

A scale for each output's row of weights is too coarse for 4 bits where a row is long, as in language models. All else
of such a file has 8 bits: an embedding, and what gives the scores of a text's next token, lose most by 4.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.errors import ParamsError, suggest
from tasks.formats import grid, tflite
from tasks.quantize import layers
from tasks.quantize.ai_edge import Numbers, Rule

if TYPE_CHECKING:
    import tf_keras

PRODUCT, LOOKUP = "FULLY_CONNECTED", "EMBEDDING_LOOKUP"
BLOCKS = (32, 64, 128, 256)  # that ai-edge-quantizer makes


@dataclass(frozen=True)
class Product:
    """A FULLY_CONNECTED with constant weights."""

    scope: str  # see `layers.Operator`
    layer: str | None  # of the Keras model; None: the file does not say
    inputs: int  # weights in a row
    table: bool  # its weights are looked up too: those of an embedding


def products(content: bytes, known: Mapping[str, bool]) -> Iterator[Product]:
    """Those of all graphs of a file.

    Args:
        content: the file.
        known: see `layers.names`.
    """
    for graph in tflite.parse(content).graphs:
        tables = {node.inputs[1] for node in graph.operators if node.kind == LOOKUP}
        for node in graph.operators:
            if node.kind != PRODUCT or graph.tensors[node.inputs[1]].stored is None:
                continue
            outputs, weights = graph.made(node.outputs), graph.tensors[node.inputs[1]]
            names = [tensor.name for tensor in outputs]
            of = layers.named(names, known) or layers.named([weights.name], known)
            scope = "".join(f"{name};" for name in names)
            yield Product(scope, of[0] if of else None, weights.shape[-1], node.inputs[1] in tables)


def rules(found: Collection[Product], numbers: Numbers, whole: Collection[str]) -> list[Rule]:
    """How the operators of a file compute.

    Args:
        found: the file's products.
        numbers: those of the blocks.
        whole: layers that keep 8 bits.

    Raises:
        ParamsError: a layer in `whole` has no product, or the blocks do not divide the inputs of one that is in none.
    """
    eight = Numbers(8, numbers.activations)
    known = {each.layer for each in found if each.layer and not each.table}
    for name in whole:
        if name not in known:
            raise ParamsError(f"bits: no product of the artifact is of a layer {name!r}; {suggest(name, known)}")
    left = [each for each in found if each.table or each.layer is None or each.layer in whole]
    for each in found:
        if each not in left and each.inputs % (numbers.block or 1):
            dividing = [str(block) for block in BLOCKS if not each.inputs % block]
            raise ParamsError(
                f"block: received {numbers.block}, which does not divide the {each.inputs} inputs of {each.layer!r}; "
                f"allowed there: {', '.join(dividing) or 'none'}; or say `bits: {{{each.layer}: 8}}`"
            )
    return [Rule(eight), Rule(numbers, kind=PRODUCT), *(Rule(eight, each.scope, PRODUCT) for each in left)]


def left(model: "tf_keras.Model", block: int | None) -> set[str]:
    """The dense layers that a method has kept from 4 bits: others lie on the grid of such blocks, and they do not.

    It is read off the weights, as `gptq` leaves them; in a model that no method has prepared there are none.
    """
    import tf_keras as keras

    dense = [layer for layer in model.layers if type(layer) is keras.layers.Dense] if block else []
    made = {layer.name for layer in dense if grid.made_for(layer.kernel.numpy().T, block or 1)}
    return {layer.name for layer in dense} - made if made else set()
