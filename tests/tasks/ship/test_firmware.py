"""What goes into firmware: the array holds the program to the byte, the resolver has its operators and no other."""

import json
import mmap
import re
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from ai_edge_litert import schema_py_generated as schema

from tasks import files, paths
from tasks.errors import UnsupportedError
from tasks.formats import tflite
from tasks.params import Bundle, Params
from tasks.records import Comparison, Memory, Row, read
from tasks.ship import firmware
from tasks.ship.manifest import Manifest
from tasks.stages import bundle as stage
from tests.bundles import GOLDEN

# of TensorFlow Lite Micro, micro_mutable_op_resolver.h: what it can add of the schema's own operators
CALLS = re.findall(
    r"\w+",
    """
Abs Add AddN ArgMax ArgMin AssignVariable AveragePool2D BatchMatMul BatchToSpaceNd BroadcastArgs BroadcastTo CallOnce
Cast Ceil Concatenation Conv2D Cos CumSum DepthToSpace DepthwiseConv2D Dequantize Div DynamicUpdateSlice
EmbeddingLookup Elu Equal Exp ExpandDims Fill Floor FloorDiv FloorMod FullyConnected Gather GatherNd Greater
GreaterEqual HardSwish If L2Normalization L2Pool2D LeakyRelu Less LessEqual Log LogicalAnd LogicalNot LogicalOr
Logistic LogSoftmax Maximum MaxPool2D MirrorPad Mean Minimum Mul Neg NotEqual Pack Pad PadV2 Prelu Quantize
ReadVariable ReduceAll ReduceMax ReduceMin Relu Relu6 Reshape ResizeBilinear ResizeNearestNeighbor ReverseV2 Round
Rsqrt SelectV2 Shape Sin Slice Softmax SpaceToBatchNd SpaceToDepth Split SplitV Squeeze Sqrt Square
SquaredDifference StridedSlice Sub Sum Svdf Tanh TransposeConv Transpose Unpack UnidirectionalSequenceLSTM VarHandle
While ZerosLike
""",
)
CUSTOM_CALLS = ["EthosU", "Decode", "DetectionPostprocess"]
# what the example asks of TensorFlow Lite Micro's headers, as they declare it
STUBS = {
    "micro_mutable_op_resolver.h": """\
#include <stdint.h>
#include <stddef.h>
enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };
#define TF_LITE_ENSURE_STATUS(a) do { const TfLiteStatus s = (a); if (s != kTfLiteOk) return s; } while (0)
namespace tflite {
struct MicroOpResolver {};
template <unsigned int tOpCount> struct MicroMutableOpResolver : MicroOpResolver { CALLS };
}
""",
    "micro_interpreter.h": """\
union TfLitePtrUnion { char* raw; };
struct TfLiteTensor { TfLitePtrUnion data; size_t bytes; };
namespace tflite {
struct Model { uint32_t version() const; };
struct MicroInterpreter {
  MicroInterpreter(const Model*, const MicroOpResolver&, uint8_t*, size_t);
  TfLiteStatus AllocateTensors();
  TfLiteStatus Invoke();
  TfLiteTensor* input(size_t);
  size_t inputs_size() const;
};
}
""",
    "schema_generated.h": """\
#define TFLITE_SCHEMA_VERSION 3
namespace tflite { const Model* GetModel(const void*); }
""",
}

# a runtime of a model of two inputs, whose memory holds what was there before
RUNTIME = """\
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/schema/schema_generated.h"
namespace tflite {
static char memory[2][3] = {{1, 2, 3}, {4, 5, 6}};
static TfLiteTensor tensors[2] = {{{memory[0]}, 3}, {{memory[1]}, 3}};
static Model model;
const Model* GetModel(const void*) { return &model; }
uint32_t Model::version() const { return TFLITE_SCHEMA_VERSION; }
MicroInterpreter::MicroInterpreter(const Model*, const MicroOpResolver&, uint8_t*, size_t) {}
TfLiteStatus MicroInterpreter::AllocateTensors() { return kTfLiteOk; }
TfLiteTensor* MicroInterpreter::input(size_t k) { return &tensors[k]; }
size_t MicroInterpreter::inputs_size() const { return 2; }
TfLiteStatus MicroInterpreter::Invoke() {
  for (auto& row : memory) for (char byte : row) if (byte) return kTfLiteError;
  return kTfLiteOk;
}
}
"""


@pytest.fixture
def ship(ready: Path, params: Params, make_row: Callable[..., Row]) -> Callable[[str], Path]:
    """A function that ships the golden int8 variant to a board; its figures are those of a measurement."""

    def run(device: str) -> Path:
        path = paths.artifact("int8") / "model.tflite"
        arena = {"arena_bytes": {"total": 1711, "head": 287, "tail": 1424}} if device == "stm32h743" else {}
        ram = {"kib": 512.0, "beside_kib": 16, "share": 0.04}
        flash = {"kib": 2048.0, "beside_kib": 64, "share": 0.03}
        row = make_row(
            "int8", device, artifact_sha256=files.sha256(path), details={**arena, "ram": ram, "flash": flash},
            memory=Memory(provenance="measured", peak_kib=2, what="the arena, as told"),
        )  # fmt: skip
        Comparison(name="w", reference="int8", rows=(row,)).save(paths.REPORT / "comparison.json")
        chosen = Bundle.model_validate({"default": {"minimize": "memory_kib"}})
        stage.bundle(params.model_copy(update={"bundle": chosen}), device)
        return paths.bundle(device)

    return run


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("device", ["stm32h743", "ethos-u55-128"])
@pytest.mark.parametrize("tools", ["", "arm-none-eabi-"])
def test_the_array_compiles_and_takes_as_many_bytes_as_the_manifest_says(
    ship: Callable[[str], Path], device: str, tools: str
) -> None:
    bundle = ship(device)
    told = read(Manifest, bundle / "manifest.json")
    assert told.firmware
    assert told.program
    words = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-c", "model.c"]
    arena = [] if told.firmware.arena_bytes else ["-DARENA_BYTES=1024"]
    run(f"{tools}gcc", *words, *arena, cwd=bundle / "firmware")
    sizes = run(f"{tools}size", "model.o", cwd=bundle / "firmware").splitlines()[1].split()
    assert [int(size) for size in sizes[:3]] == [told.firmware.array_bytes, 0, 0]
    assert told.firmware.array_bytes == told.program.bytes == (bundle / told.program.file).stat().st_size


def test_the_array_holds_the_program_aligned(ship: Callable[[str], Path], tmp_path: Path) -> None:
    bundle = ship("stm32h743")
    (tmp_path / "dump.c").write_text(
        '#include <stdio.h>\n#include <stdint.h>\n#include "model.h"\n'
        "int main(void) { if ((uintptr_t)g_model % 16) return 1; fwrite(g_model, 1, MODEL_BYTES, stdout);"
        ' fprintf(stderr, "%d", ARENA_BYTES); return 0; }\n'
    )
    own = (bundle / "firmware").absolute()
    run("gcc", "-I", str(own), "dump.c", str(own / "model.c"), "-o", "dump", cwd=tmp_path)
    done = subprocess.run(["./dump"], cwd=tmp_path, capture_output=True, timeout=60, check=True)
    assert done.stdout == (GOLDEN / "int8.tflite").read_bytes()
    assert done.stderr == b"1712", "1711 are 107 alignments"


def test_the_manifest_and_the_card_tell_the_boards_memories(ship: Callable[[str], Path]) -> None:
    bundle = ship("stm32h743")
    told = read(Manifest, bundle / "manifest.json").firmware
    assert told
    assert (told.operators, told.alignment) == (("Conv2D", "FullyConnected", "Reshape"), 16)
    assert told.arena_bytes == {"total": 1711, "head": 287, "tail": 1424}
    card = (bundle / "MODEL_CARD.md").read_text()
    assert "| arena | 1711 bytes: the arena, as told |" in card
    assert "| RAM | 0.04 of the board's in use, with 16 KiB of its 512 KiB set aside for the rest |" in card
    assert "MicroMutableOpResolver<3>" in (bundle / "firmware/resolver.h").read_text()


def test_an_accelerators_array_is_the_compiled_file_and_nobody_tells_its_arena(ship: Callable[[str], Path]) -> None:
    bundle = ship("ethos-u55-128")
    told = read(Manifest, bundle / "manifest.json").firmware
    assert told
    assert (told.operators, told.arena_bytes, told.ram) == (("EthosU",), None, None)
    assert "model_vela.tflite" in (bundle / "firmware/model.h").read_text()
    done = subprocess.run(
        ["gcc", "-c", "model.c"], cwd=bundle / "firmware", capture_output=True, text=True, check=False
    )
    assert "no run has told how much this model asks for" in done.stderr


def stubs(folder: Path, body: str = ";") -> str:
    """Write headers of TensorFlow Lite Micro, each operator's call with such a body; the compiler's option for them."""
    declared = " ".join(f"TfLiteStatus Add{name}(){body}" for name in [*CALLS, *CUSTOM_CALLS])
    for name, text in STUBS.items():
        path = folder / "tensorflow/lite" / ("schema" if name.startswith("schema") else "micro") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("CALLS", declared))
    return f"-I{folder}"


def test_the_example_fills_every_input(ship: Callable[[str], Path], tmp_path: Path) -> None:
    bundle, headers = ship("stm32h743"), stubs(tmp_path, " { return kTfLiteOk; }")
    (tmp_path / "runtime.cc").write_text(RUNTIME)
    sources = [str(bundle.absolute() / "firmware/main.cc"), str(tmp_path / "runtime.cc")]
    run("gcc", "-c", "model.c", "-o", str(tmp_path / "model.o"), cwd=bundle / "firmware")
    run("g++", "-std=c++17", headers, *sources, "model.o", "-o", "example", cwd=tmp_path)
    run("./example", cwd=tmp_path)


def test_the_example_compiles_against_what_the_headers_declare(ship: Callable[[str], Path], tmp_path: Path) -> None:
    bundle, headers = ship("stm32h743"), stubs(tmp_path)
    words = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-fsyntax-only", headers]
    run("arm-none-eabi-g++", *words, "main.cc", cwd=bundle / "firmware")


def test_every_operator_that_the_runtime_has_is_called_as_its_resolver_calls_it() -> None:
    spec = find_spec("tflite_micro")
    assert spec
    assert spec.origin
    library = Path(spec.origin).parent / "python/tflite_micro/_runtime.so"
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        registered = {name.decode() for name in re.findall(rb"Register_([A-Z0-9_]+?)Ev\0", content)}
    builtin = registered & set(tflite.words(schema.BuiltinOperator).values())
    assert len(builtin) > 90
    assert sorted(firmware.camel(name) for name in builtin) == sorted(CALLS)


def test_a_custom_operator_without_a_call_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="custom operator"):
        firmware.operators((GOLDEN / "custom.tflite").read_bytes())


def test_kinds_that_run_no_firmware_get_no_sources(ready: Path, params: Params) -> None:
    stage.bundle(params, "host-cpu")
    told: dict[str, Any] = json.loads((paths.bundle("host-cpu") / "manifest.json").read_text())
    assert told["firmware"] is None
    assert not (paths.bundle("host-cpu") / "firmware").exists()
