"""One side of `language_peers.py`, in a process of its own: a prompt up to its first token, then token after token.

    python language_sides.py KIND FILE THREADS

Each line that it is given is a request `[tokens, new]`; it answers with the seconds of each token, the first of which
takes the prompt in, by the clock and by the processor, and with the tokens. Every side chooses the likeliest token.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as Tercet's runner has it
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tasks.bench.runner.machine import installed, memory_kib

Times = list[tuple[float, float | None]]  # seconds by the clock, and those of all threads where they are known


class Clock:
    """What passes between marks."""

    def __init__(self) -> None:
        self.found: Times = []
        self.start()

    def start(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def mark(self) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        self.found.append((wall - self._wall, cpu - self._cpu))
        self.start()


class Tercet:
    """The model of Tercet's runner, which measures for its users."""

    package = "ai-edge-litert"

    def __init__(self, file: Path, threads: int) -> None:
        from tasks.bench.runner import language

        told = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
        self.model = language.Model(str(file), {"kernels": "default", "threads": threads, **told})

    def run(self, tokens: list[int], new: int) -> tuple[Times, list[int]]:
        model = self.model
        (example,) = model.prepare({"tokens": np.array([tokens], np.int32)})
        decoding = model.decoding(example, new - 1)  # chooses the text; the measured run follows
        model.put(example)
        clock = Clock()
        model.invoke()
        said = [int(np.argmax(model.read()[0]))]
        clock.mark()
        for each in decoding.examples:
            decoding.put(each)
            clock.start()
            decoding.invoke()
            said.append(int(np.argmax(decoding.read()[0])))
            clock.mark()
        return clock.found, said


class Onnx:
    """ONNX Runtime GenAI."""

    package = "onnxruntime-genai"

    def __init__(self, file: Path, threads: int) -> None:
        import onnxruntime_genai

        self.library = onnxruntime_genai
        config = onnxruntime_genai.Config(str(file))
        options = {"intra_op_num_threads": threads}
        config.overlay(json.dumps({"model": {"decoder": {"session_options": options}}}))
        self.model = onnxruntime_genai.Model(config)

    def run(self, tokens: list[int], new: int) -> tuple[Times, list[int]]:
        settings, length = self.library.GeneratorParams(self.model), len(tokens) + new
        settings.set_search_options(do_sample=False, max_length=length, min_length=length)
        generator, said = self.library.Generator(self.model, settings), []
        clock = Clock()
        generator.append_tokens(np.array(tokens, np.int32))
        while len(said) < new:
            generator.generate_next_token()
            said.append(int(generator.get_next_tokens()[0]))
            clock.mark()
        return clock.found, said


class OpenVino:
    """OpenVINO GenAI, which reads a GGUF file itself. No two prompts may be alike: it keeps what it has taken in."""

    package = "openvino-genai"

    def __init__(self, file: Path, threads: int) -> None:
        import openvino_genai

        self.library = openvino_genai
        self.pipeline = openvino_genai.LLMPipeline(str(file), "CPU", INFERENCE_NUM_THREADS=threads)

    def run(self, tokens: list[int], new: int) -> tuple[Times, list[int]]:
        import openvino

        row = np.array([tokens], np.int64)
        given = self.library.TokenizedInputs(openvino.Tensor(row), openvino.Tensor(np.ones_like(row)))
        settings = self.library.GenerationConfig(max_new_tokens=new, ignore_eos=True, do_sample=False)
        clock, said = Clock(), []
        streamer = _streamer(self.library, clock, said)
        clock.start()
        self.pipeline.generate(given, settings, streamer)
        return clock.found, said


def _streamer(library: Any, clock: Clock, said: list[int]) -> Any:
    class Marking(library.StreamerBase):  # type: ignore[misc]  # a class of what may not be installed
        def write(self, token: Any) -> Any:
            clock.mark()
            said.extend([token] if isinstance(token, int) else token)
            return library.StreamingStatus.RUNNING

        def end(self) -> None:
            pass

    return Marking()


class LiteRtLm:
    """LiteRT-LM's own benchmark on the file that Tercet ships; it loads the file each time, and tells no tokens."""

    package = "litert-lm-api"

    def __init__(self, file: Path, threads: int) -> None:
        import litert_lm

        litert_lm.set_min_log_severity(litert_lm.LogSeverity.ERROR)
        self.library, self.file, self.threads = litert_lm, file, threads

    def run(self, tokens: list[int], new: int) -> tuple[Times, list[int]]:
        kept = self.file.parent / "cache"
        kept.mkdir(exist_ok=True)
        backend = self.library.Backend.CPU(thread_count=self.threads)
        about = self.library.Benchmark(
            str(self.file), backend, prefill_tokens=len(tokens), decode_tokens=new - 1, cache_dir=str(kept)
        ).run()
        each = 1 / about.last_decode_tokens_per_second
        return [(about.time_to_first_token_in_second, None)] + [(each, None)] * (new - 1), []


SIDES: dict[str, Callable[[Path, int], Any]] = {
    "tercet": Tercet, "onnxruntime": Onnx, "openvino": OpenVino, "litert-lm": LiteRtLm,
}  # fmt: skip


def main() -> None:
    """Serve until the requests end."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # the runtimes print
    kind, file, threads = sys.argv[1:]
    side = SIDES[kind](Path(file), int(threads))
    print(json.dumps({"package": f"{side.package} {installed(side.package)}"}), file=out, flush=True)
    for line in sys.stdin:
        times, said = side.run(*json.loads(line))
        print(json.dumps({"times": times, "said": said, "peak_kib": memory_kib()}), file=out, flush=True)


if __name__ == "__main__":
    main()
