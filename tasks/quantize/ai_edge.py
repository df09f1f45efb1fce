"""LiteRT files from float32 ones by ai-edge-quantizer: weights of 8 and 4 bits, ranges of one's own, mixed precision.

Unlike TensorFlow's converter it takes a finished file, so it needs no TensorFlow, and says for each operator apart how
it is to compute.
"""

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any, Literal, cast

import numpy as np

from tasks import files
from tasks.errors import ConversionError, TercetError
from tasks.formats import tflite
from tasks.formats.scales import Granularity
from tasks.formats.schemes import SCHEMES

USES = ("scipy",)  # which the quantizer computes with
Activations = Literal["float32", "dynamic", "int8", "int16"]
KINDS = {"TRANSPOSE_CONV": "CONV_2D_TRANSPOSE"}  # the quantizer's names, where they are not the schema's


@dataclass(frozen=True)
class Numbers:
    """What an operator computes with."""

    weights: Literal[4, 8]  # bits
    activations: Activations  # dynamic: float32 outside of it, int8 within
    block: int | None = None  # weights in a row that share a scale; None: all of them
    granularity: Granularity = "channel"  # where no block says it: who shares a scale

    @property
    def static(self) -> bool:
        """Whether its activations have ranges of their own, which must be known."""
        return self.activations in ("int8", "int16")


@dataclass(frozen=True)
class Rule:
    """How the operators meant shall compute; of several rules that mean one operator the last holds."""

    numbers: Numbers | None  # None: float32
    scope: str | None = None  # the operator that has these outputs, see `layers.Operator`; None: all
    kind: str = "*"  # as in the schema of LiteRT files


def numbers(scheme: str, block: int | None = None, granularity: Granularity = "channel") -> Numbers:
    """What a scheme's operators compute with, where the quantizer makes it."""
    found = SCHEMES.load(scheme)
    return Numbers(cast(Literal[4, 8], found.weights), found.activations, block, granularity)


def converter() -> str:
    """Name and version, for the cards of artifacts."""
    return f"ai-edge-quantizer {version('ai-edge-quantizer')}"


def quantize(content: bytes, rules: Sequence[Rule], ranges: Mapping[str, tuple[float, float]] | None = None) -> bytes:
    """Quantize a float32 LiteRT file; the same arguments give the same bytes, all of them within the flatbuffer.

    Args:
        content: the file.
        rules: what computes how. A rule that the quantizer has no way to keep for an operator is passed over there,
            and the one before it holds: 4 bits fall back to 8 where a rule of 8 bits goes before.
        ranges: of the activations, by the names of their tensors; needed where a rule is static.

    Raises:
        ConversionError: the quantizer refuses the file.
    """
    known = {name: {"min": np.float32(low), "max": np.float32(high)} for name, (low, high) in (ranges or {}).items()}

    def ask(quantizer: Any) -> None:
        for i, rule in enumerate(rules):
            _add(quantizer, rule, i)

    return _made(content, ask, known)


def halves(content: bytes) -> bytes:
    """A float32 LiteRT file with weights of 16 bits, floats too, expanded where they are multiplied or looked up.

    Raises:
        ConversionError: the quantizer refuses the file.
    """
    from ai_edge_quantizer import qtyping
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    numbers = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
    asked = qtyping.OpQuantizationConfig(
        weight_tensor_config=numbers, compute_precision=qtyping.ComputePrecision.FLOAT, explicit_dequantize=True
    )

    def ask(quantizer: Any) -> None:
        for kind in (qtyping.TFLOperationName.FULLY_CONNECTED, qtyping.TFLOperationName.EMBEDDING_LOOKUP):
            quantizer.update_quantization_recipe(".*", kind, asked, AlgorithmName.FLOAT_CASTING)

    return _made(content, ask, {})


def _made(content: bytes, ask: Callable[[Any], None], known: Mapping[str, Any]) -> bytes:
    from ai_edge_quantizer.quantizer import Quantizer

    _without_bars()
    try:
        quantizer = Quantizer(content)
        ask(quantizer)
        with warnings.catch_warnings():
            # it looks for the names of all tensors with an interpreter that keeps them
            warnings.filterwarnings("ignore", message="Warning: Enabling `experimental_preserve_all_tensors`")
            done = quantizer.quantize(dict(known) or None, enable_progress_bar=False, enable_progress_report=False)
    except (KeyError, NotImplementedError, OSError, RuntimeError, TypeError, ValueError) as error:
        if full := files.no_space(error):  # it may pass, and a refusal does not
            raise TercetError(full) from None
        raise ConversionError(f"{converter()} refused: {' '.join(str(error).split())}") from None
    return tflite.whole(bytes(done.quantized_model))


@cache
def _without_bars() -> None:
    """It draws one for any file of more than a hundred tensors, whatever `enable_progress_bar` says."""
    from ai_edge_quantizer.utils import progress_utils

    bar = progress_utils.tqdm.tqdm
    progress_utils.tqdm = SimpleNamespace(tqdm=lambda **about: bar(**about | {"disable": True}))


def _add(quantizer: Any, rule: Rule, place: int) -> None:
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import QuantGranularity, TFLOperationName

    # the quantizer keeps its rules by their expressions, and one that it has already would not go to the end
    scope = (f"^{re.escape(rule.scope)}$" if rule.scope else ".*") + f"(?#{place})"
    name = KINDS.get(rule.kind, rule.kind)
    if rule.numbers is None and name not in {each.value for each in TFLOperationName}:
        return  # what the quantizer does not know stays float32 by itself
    kind = TFLOperationName(name)
    match rule.numbers:
        case None:
            quantizer.update_quantization_recipe(scope, kind, algorithm_key=AlgorithmName.NO_QUANTIZE)
        case Numbers(weights, "float32"):
            quantizer.add_weight_only_config(scope, kind, weights)
        case Numbers(weights, "dynamic", block):
            shared = QuantGranularity[f"BLOCKWISE_{block}" if block else "CHANNELWISE"]
            quantizer.add_dynamic_config(scope, kind, weights, shared)
        case Numbers(weights, activations, _, granularity):
            shared = QuantGranularity[f"{granularity.upper()}WISE"]
            quantizer.add_static_config(scope, kind, {"int8": 8, "int16": 16}[activations], weights, shared)
