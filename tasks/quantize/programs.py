"""Decoders as programs of StableHLO, which bring no weights: these and the caches are arguments.

So one copy of the weights serves all programs, and a program has some tens of kB whatever the model's size. What a
program gives under the name of one of its arguments takes that argument's place: it is donated, so a cache is written
where it lies. A program may read the first places of the caches alone, as many as it is given to see: its tokens stand
there. Sequences of a batch are of one length.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tasks.decoder.portable import Network
from tasks.errors import ConversionError
from tasks.quantize import stablehlo

if TYPE_CHECKING:
    from jaxlib.mlir import ir

Shape = tuple[int, ...]
Described = dict[str, tuple[Shape, str]]  # shape and dtype by name, in order
Body = Callable[[dict[str, Any]], dict[str, Any]]
CALLS = ("__cudnn$", "__gpu$")  # custom calls that NVIDIA alone has
TYPED_CALL = 2  # of a custom call: its configuration is a string


@dataclass(frozen=True)
class Program:
    """A portable artifact, what it takes and what it gives."""

    content: bytes
    arguments: Described
    results: Described
    seen: int  # places of the caches that each of its steps reads

    @property
    def donated(self) -> list[tuple[int, int]]:
        """Which arguments are replaced by which results."""
        arguments = list(self.arguments)
        return [(arguments.index(name), k) for k, name in enumerate(self.results) if name in self.arguments]


def decode(network: Network, batch: int, room: int, seen: int | None = None) -> Program:
    """`token` int32 [batch] at `position` int32 [] gives the likeliest next token and the next position."""
    own: Described = {"token": ((batch,), "int32"), "position": ((), "int32")}
    seen = seen or room
    return _traced(network, own, network.caches(batch, room), lambda given: _step(network, given, seen), seen)


def generate(network: Network, batch: int, room: int, steps: int, seen: int | None = None) -> Program:
    """So many steps of `decode` in one call; `tokens` int32 [steps, batch] are all that it told."""
    import tensorflow as tf
    from tensorflow.compiler.tf2xla.python import xla

    seen = seen or room

    def loop(given: dict[str, Any]) -> dict[str, Any]:
        state = ["token", "position", *network.caches(batch, room)]

        def step(k: Any, told: Any, *now: Any) -> list[Any]:
            found = _step(network, {**given, **dict(zip(state, now, strict=True))}, seen)
            told = xla.dynamic_update_slice(told, found["token"][None], tf.stack([k, 0]))
            return [k + 1, told, *(found[name] for name in state)]

        start = [tf.constant(0), tf.zeros([steps, batch], tf.int32), *(given[name] for name in state)]
        _, told, *end = tf.while_loop(lambda k, *_: k < steps, step, start)
        return {"tokens": told, **dict(zip(state, end, strict=True))}

    own: Described = {"token": ((batch,), "int32"), "position": ((), "int32")}
    return _traced(network, own, network.caches(batch, room), loop, seen)


def prefill(
    network: Network, batch: int, room: int, length: int, seen: int | None = None, *, fresh: bool = False
) -> Program:
    """`tokens` int32 [batch, length] from the place `start` on; `last` of them, from 0, is the prompt's last.

    It gives the scores behind that one, `logits` float32 [batch, vocabulary], the likeliest `token` and its `position`.
    What stands behind `last` is no part of the text: it is not seen, and is written over by what follows. A fresh one
    sees nothing of what the caches hold before `start`, and takes less time.
    """
    import tensorflow as tf

    seen = seen or room

    def take(given: dict[str, Any]) -> dict[str, Any]:
        places = given["start"] + tf.range(length)
        logits, caches = network.run(given["tokens"], places, given, given, given["last"], fresh=fresh, seen=seen)
        scores = logits[:, 0]
        return {"logits": scores, "token": _likeliest(scores), "position": given["start"] + given["last"] + 1, **caches}

    own: Described = {"tokens": ((batch, length), "int32"), "start": ((), "int32"), "last": ((), "int32")}
    return _traced(network, own, network.caches(batch, room), take, 0 if fresh else seen)


def score(network: Network, batch: int, length: int) -> Program:
    """What a text says of `tokens` int32 [batch, length] at each place, of which the `targets` come next.

    It gives their `log_probabilities` float32 [batch, length], and all `logits` float32 [batch, length, vocabulary],
    which need not leave the device. It takes no caches.
    """
    import tensorflow as tf

    def tell(given: dict[str, Any]) -> dict[str, Any]:
        places = given["start"] + tf.range(length)
        logits, _ = network.run(given["tokens"], places, given, {})
        true = tf.gather(logits, given["targets"], batch_dims=2)
        return {"log_probabilities": true - tf.reduce_logsumexp(logits, 2), "logits": logits}

    each: tuple[Shape, str] = ((batch, length), "int32")
    return _traced(network, {"tokens": each, "targets": each, "start": ((), "int32")}, {}, tell, 0)


def _step(network: Network, given: dict[str, Any], seen: int) -> dict[str, Any]:
    logits, caches = network.run(given["token"][:, None], given["position"][None], given, given, seen=seen)
    return {"token": _likeliest(logits[:, 0]), "position": given["position"] + 1, **caches}


def _likeliest(scores: Any) -> Any:
    import tensorflow as tf

    return tf.argmax(scores, -1, tf.int32)


def _traced(network: Network, own: Described, caches: Described, body: Body, seen: int) -> Program:
    """The program of a function of named arguments: its own, the weights, the caches."""
    import tensorflow as tf

    arguments = own | {name: (weight.shape, weight.dtype) for name, weight in network.weights.items()} | caches
    results: Described = {}

    def call(*arrays: Any) -> list[Any]:
        found = body(dict(zip(arguments, arrays, strict=True)))
        results.update({name: (tuple(tensor.shape), tensor.dtype.name) for name, tensor in found.items()})
        return list(found.values())

    function = tf.function(call, autograph=False, jit_compile=True)
    specs = [tf.TensorSpec(shape, tf.as_dtype(dtype)) for shape, dtype in arguments.values()]
    try:
        content: bytes = function.experimental_get_compiler_ir(*specs)(stage="stablehlo_serialized")
    except (tf.errors.OpError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        raise ConversionError(f"no StableHLO: the converter refused: {stablehlo.first_line(error)}") from None
    program = Program(content, arguments, results, seen)
    return replace(program, content=stablehlo.portable(content, lambda module: _donate(module, program.donated)))


def _donate(module: "ir.Module", pairs: Sequence[tuple[int, int]]) -> None:
    """Say which arguments are replaced by which results; and how NVIDIA's calls are to be read."""
    from jaxlib.mlir import ir

    main, given = stablehlo.main_of(module), dict(pairs)
    index = ir.IntegerType.get_signless(32)
    count = len(main.regions[0].blocks[0].arguments)
    each: list[dict[str, ir.Attribute]] = [
        {"tf.aliasing_output": ir.IntegerAttr.get(index, given[k])} if k in given else {} for k in range(count)
    ]
    main.attributes["arg_attrs"] = ir.ArrayAttr.get([ir.DictAttr.get(attributes) for attributes in each])

    def name(operation: "ir.Operation") -> "ir.WalkResult":
        target = operation.attributes.get("call_target_name")
        if target is not None and ir.StringAttr(target).value.startswith(CALLS):
            operation.attributes["api_version"] = ir.IntegerAttr.get(index, TYPED_CALL)
        return ir.WalkResult.ADVANCE

    module.operation.walk(name)
