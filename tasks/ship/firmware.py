"""What a microcontroller's firmware takes of a bundle: the program as a C array, its operators, an example to build.

TensorFlow Lite Micro is not part of it. It is C++ source: `tensorflow/lite/micro/tools/project_generation/
create_tflm_tree.py` of github.com/tensorflow/tflite-micro copies what a project needs.
"""

from pathlib import Path
from typing import Any

from tasks import files
from tasks.errors import UnsupportedError
from tasks.formats import tflite
from tasks.ship.manifest import Firmware

FOLDER = "firmware"
ALIGNMENT = 16  # of a model and of an arena, which TensorFlow Lite Micro asks for
PER_LINE = 12
# `MicroMutableOpResolver::Add…` is the operator's name in camel case but for these (micro_mutable_op_resolver.h)
OTHERWISE = {
    "BATCH_MATMUL": "BatchMatMul",
    "CUMSUM": "CumSum",
    "PADV2": "PadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
}
CUSTOM = {"ethos-u": "EthosU", "TFLM_DECODE": "Decode", "TFLite_Detection_PostProcess": "DetectionPostprocess"}
HEADER = """\
// {file}, {bytes} bytes, SHA-256 {sha256}
#ifndef MODEL_H_
#define MODEL_H_

#define MODEL_BYTES {bytes}
{arena}
#ifdef __cplusplus
extern "C" {{
#endif
extern const unsigned char g_model[MODEL_BYTES];  // aligned to {alignment} bytes
#ifdef __cplusplus
}}
#endif

#endif  // MODEL_H_
"""
RECORDED = "// {what}\n#define ARENA_BYTES {bytes}\n"
UNRECORDED = """\
#ifndef ARENA_BYTES
#error "ARENA_BYTES: no run has told how much this model asks for; define it, and ask arena_used_bytes() on the board"
#endif
"""
SOURCE = """\
#include "model.h"

const unsigned char g_model[MODEL_BYTES] __attribute__((aligned({alignment}))) = {{
{rows}
}};
"""
RESOLVER = """\
// The operators of the model, and no other: what is not added is not linked.
#ifndef RESOLVER_H_
#define RESOLVER_H_

#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"

using ModelResolver = tflite::MicroMutableOpResolver<{count}>;

inline TfLiteStatus AddOperators(ModelResolver& resolver) {{
{calls}
  return kTfLiteOk;
}}

#endif  // RESOLVER_H_
"""
MAIN = """\
// An example: one inference. Fill each input where it says so, in the type and scale that manifest.json tells: it has
// them in this order (made.inputs).
#include "model.h"
#include "resolver.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/schema/schema_generated.h"

alignas({alignment}) static unsigned char arena[ARENA_BYTES];

int main() {{
  const tflite::Model* model = tflite::GetModel(g_model);
  static ModelResolver resolver;
  if (model->version() != TFLITE_SCHEMA_VERSION || AddOperators(resolver) != kTfLiteOk) return 1;
  static tflite::MicroInterpreter interpreter(model, resolver, arena, ARENA_BYTES);
  if (interpreter.AllocateTensors() != kTfLiteOk) return 2;
  for (size_t k = 0; k < interpreter.inputs_size(); ++k) {{
    TfLiteTensor* input = interpreter.input(k);
    for (size_t i = 0; i < input->bytes; ++i) input->data.raw[i] = 0;  // the example's part goes here
  }}
  return interpreter.Invoke() == kTfLiteOk ? 0 : 3;
}}
"""
CMAKE = """\
# cmake -B build -DTFLM=FOLDER -DCMAKE_TOOLCHAIN_FILE=FILE: FOLDER is a tree that create_tflm_tree.py has made, with its
# library built in it; FILE is the board's own, which also brings start-up code and a linker script.
cmake_minimum_required(VERSION 3.16)
project(model C CXX)
set(CMAKE_CXX_STANDARD 17)
set(TFLM "" CACHE PATH "a tree of TensorFlow Lite Micro")
add_executable(model main.cc model.c)
target_include_directories(model PRIVATE
  ${TFLM} ${TFLM}/third_party/flatbuffers/include ${TFLM}/third_party/gemmlowp ${TFLM}/third_party/ruy)
target_compile_definitions(model PRIVATE TF_LITE_STATIC_MEMORY)
find_library(TFLM_LIBRARY tensorflow-microlite PATHS ${TFLM} ${TFLM}/lib REQUIRED)
target_link_libraries(model PRIVATE ${TFLM_LIBRARY} m)
"""


def write(folder: Path, program: Path, details: dict[str, Any], what: str | None) -> Firmware:
    """Write the sources into a folder of the bundle's.

    Args:
        folder: the bundle.
        program: the file that runs on the board, in it.
        details: what the measurement says besides: `arena_bytes`, by TensorFlow Lite Micro's recording allocator, and
            `ram` and `flash`, the shares of the board; where nothing was run, none of them.
        what: the arena's figure counts.

    Raises:
        UnsupportedError: the program has an operator that TensorFlow Lite Micro's resolver has no call for.
    """
    content, own = program.read_bytes(), folder / FOLDER
    own.mkdir()
    calls, arena = operators(content), details.get("arena_bytes")
    recorded = RECORDED.format(bytes=_aligned(arena["total"]), what=what) if arena else UNRECORDED
    about = {"file": program.name, "bytes": len(content), "sha256": files.sha256(program), "alignment": ALIGNMENT}
    written = {
        "model.h": HEADER.format(arena=recorded, **about),
        "model.c": SOURCE.format(rows="\n".join(_rows(content)), alignment=ALIGNMENT),
        "resolver.h": RESOLVER.format(count=len(calls), calls="\n".join(map(_call, calls))),
        "main.cc": MAIN.format(alignment=ALIGNMENT),
        "CMakeLists.txt": CMAKE,
    }
    for name, text in written.items():
        files.write_text(own / name, text)
    return Firmware(
        array_bytes=len(content),
        alignment=ALIGNMENT,
        operators=calls,
        arena_bytes=arena,
        arena=what if arena else None,
        ram=details.get("ram") if arena else None,
        flash=details.get("flash") if arena else None,
        look_up_tables=details.get("look_up_tables"),
    )


def operators(content: bytes) -> tuple[str, ...]:
    """The calls of the resolver that a LiteRT file needs, without their `Add`, each once.

    Raises:
        UnsupportedError: it has a custom operator for which there is none.
    """
    from ai_edge_litert import schema_py_generated as schema

    names = tflite.words(schema.BuiltinOperator)
    found = set()
    for code in tflite.objects(content).operatorCodes:
        name = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
        found.add(_custom(code.customCode.decode()) if name == "CUSTOM" else camel(name))
    return tuple(sorted(found))


def camel(name: str) -> str:
    """A builtin operator as the resolver calls it."""
    return OTHERWISE.get(name) or "".join(part if part[0].isdigit() else part.capitalize() for part in name.split("_"))


def _custom(name: str) -> str:
    if name not in CUSTOM:
        raise UnsupportedError(f"custom operator {name}: TensorFlow Lite Micro has no call that adds it")
    return CUSTOM[name]


def _call(name: str) -> str:
    return f"  TF_LITE_ENSURE_STATUS(resolver.Add{name}());"


def _rows(content: bytes) -> list[str]:
    starts = range(0, len(content), PER_LINE)
    return ["  " + " ".join(f"0x{byte:02x}," for byte in content[start : start + PER_LINE]) for start in starts]


def _aligned(count: int) -> int:
    """The next whole number of alignments."""
    return -(-count // ALIGNMENT) * ALIGNMENT
