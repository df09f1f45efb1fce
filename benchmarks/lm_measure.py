"""The measuring half of `lm_gpu.py`: it runs where the GPU is, with numpy, jaxlib and PyTorch alone."""

import json
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import lm_peer
import numpy as np
import torch
from lm_common import QUEUED, Side, prompt_of, random_weights, settled, timed
from lm_sides import Peer
from lm_sizes import BATCHES, PROMPT, ROOM, SIZES, STEPS, THETA

from tasks.bench.runner.nvml import Gpu
from tasks.bench.runner.pjrt import Reached, installed_plugin, read, run
from tasks.bench.runner.pjrt_language import named
from tasks.intervals import turned

WINDOWS, WINDOW_S, ENERGY_S, IDLE_S = 6, 0.5, 10.0, 5.0
CONCURRENT: dict[str, Any] = {"xla_gpu_command_buffer_scheduling_mode": "CONCURRENT"}
FLAGS: dict[str, dict[str, Any]] = {
    "default": {},
    "concurrent": CONCURRENT,
    # scores of integer weights stay in float32, and without it are products of tf32: three times the instructions
    "products": CONCURRENT | {"xla_gpu_default_to_alg_dot_bf16_bf16_f32": True},
}


def flags_for(name: str) -> dict[str, dict[str, Any]]:
    """What is worth trying for a program: `default` was slower by one to six in a hundred wherever it was tried."""
    wanted = ("default", "concurrent") if name.endswith("plain-generate-1") else ("concurrent",)
    wanted += ("products",) if "-int" in name and "-ptx-" not in name else ()
    return {flag: FLAGS[flag] for flag in wanted}


class Card:
    """The GPU, what it is worth, and what was found; everything is written as soon as it is known."""

    def __init__(self, out: Path) -> None:
        self.gpu, self.out, self.began = Gpu(), out, time.perf_counter()
        self.found: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {"rows": {}}
        self.reached = Reached("cuda", 1)
        self.found |= {
            "gpu": self.gpu.facts(),
            "torch": torch.__version__,
            "plugin": installed_plugin("cuda"),
            "flags": FLAGS,
            "copy_bytes_per_s": copy_bandwidth(),
        }

    def keep(self, key: str, value: dict[str, Any]) -> None:
        self.found["rows"][key] = self.found["rows"].get(key, {}) | value
        self.out.write_text(json.dumps(self.found, indent=1) + "\n", encoding="utf-8")
        said = {name: each for name, each in value.items() if not isinstance(each, dict | list)}
        print(f"{time.perf_counter() - self.began:5.0f} s  {key}  {said}", flush=True)


def copy_bandwidth() -> float:
    """Bytes read and written a second by copies of 4 GB: the best of twenty."""
    source = torch.empty(1 << 32, dtype=torch.uint8, device="cuda").random_()
    target, best = torch.empty_like(source), 0.0
    for _ in range(20):
        torch.cuda.synchronize()
        start = time.perf_counter()
        target.copy_(source)
        torch.cuda.synchronize()
        best = max(best, 2 * source.numel() / (time.perf_counter() - start))
    del source, target
    torch.cuda.empty_cache()
    return best


def to_numpy(value: Any, dtype: str) -> Any:
    value = value.cpu()
    if dtype == "bfloat16":
        return value.to(torch.bfloat16).view(torch.int16).numpy().view(named(dtype))
    return value.numpy().astype(named(dtype), copy=False)


class Ours:
    """Programs by jaxlib, upon weights that are put once."""

    def __init__(self, card: Card, model: str, about: dict[str, Any], weights: dict[str, Any]) -> None:
        start = time.perf_counter()
        self.card, self.model, self.put = card, model, card.reached.put
        self.held = {name: self.put(to_numpy(weights[name], dtype)) for name, _, dtype in about["weights"]}
        self.load_s = time.perf_counter() - start


class Program:
    """One program, compiled, with caches of its own."""

    def __init__(self, ours: Ours, folder: Path, flags: dict[str, str]) -> None:
        page = json.loads((folder / "lm.json").read_text())
        ((self.name, self.about),) = page["programs"].items()
        self.batch, self.bytes_read, self.ours = page["batch"], page["bytes_read"], ours
        start = time.perf_counter()
        self.program = ours.card.reached.compiled((folder / self.about["file"]).read_bytes(), flags)
        self.compile_s = time.perf_counter() - start
        self.arguments = [ours.held.get(name) for name, *_ in self.about["arguments"]]
        self.places = {name: k for k, (name, *_) in enumerate(self.about["arguments"])}
        self.back = [(k, j) for j, k in self.about["donated"]]
        for name, shape, dtype in self.about["arguments"]:
            if name.startswith("kv_cache"):
                cache = torch.randn(shape, device="cuda", dtype=torch.bfloat16)
                self.give(name, to_numpy(cache, dtype))
        stats = self.program.get_compiled_memory_stats()
        self.memory = {"temporary": stats.temp_size_in_bytes, "aliased": stats.alias_size_in_bytes}

    @property
    def length(self) -> int:
        """Of its prompt."""
        shapes = {name: shape for name, shape, _ in self.about["arguments"]}
        return int(shapes["tokens"][1])

    def give(self, name: str, value: Any) -> None:
        self.arguments[self.places[name]] = self.ours.put(value)

    def call(self) -> list[Any]:
        """Start it; what it gives takes the place of what was donated."""
        results = run(self.program, self.arguments)
        for k, j in self.back:
            self.arguments[j] = results[k]
        return results

    def start(self) -> None:
        """Back to the place where decoding begins."""
        self.give("token", np.arange(self.batch, dtype=np.int32))
        self.give("position", np.asarray(PROMPT, np.int32))

    def decode(self) -> None:
        """So many tokens, and the last one of them here."""
        calls = 1 if self.name == "generate" else STEPS
        for _ in range(calls):
            self.call()
        read(self.arguments[self.places["token"]])

    def take(self, prompts: int = QUEUED) -> None:
        """Prompts, and the last one's token here."""
        for _ in range(prompts):
            found = self.call()[1]
        read(found)


def joules(card: Card, side: Side, idle_w: float) -> dict[str, float]:
    """A window of ten seconds by the card's energy counter, and tokens' time from the same window."""
    side(0.2)
    begun, start = card.gpu.millijoules(), time.perf_counter()
    runs = len(side(ENERGY_S))
    seconds = time.perf_counter() - start
    used = (card.gpu.millijoules() - begun) / 1e3
    return {"runs": runs, "seconds": seconds, "watts": used / seconds, "j": used, "net_j": used - idle_w * seconds}


def idle(card: Card) -> float:
    """Watts with the weights loaded and nothing running."""
    time.sleep(1.0)
    begun, start = card.gpu.millijoules(), time.perf_counter()
    time.sleep(IDLE_S)
    return (card.gpu.millijoules() - begun) / 1e3 / (time.perf_counter() - start)


SETS = ("cudnn", "ptx", "plain")
OVER = "1b-int4-over-bf16-{}"
PARTS = ("exact", *(f"{kind}-{batch}" for kind in ("decode", "prompt") for batch in BATCHES))


def compared(sides: dict[str, Side], tokens: int) -> dict[str, Any]:
    """Windows of each side, by turns: tokens a second, and the first one's over the second's.

    Of six pairs the median ratio lies between the least and the greatest in 97 of 100 cases.
    """
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for k in range(WINDOWS):
        order = list(sides.items())
        for name, side in order[::-1] if turned(k) else order:
            side(0.1)
            rates[name].append(tokens / median(side(WINDOW_S)))
    found: dict[str, Any] = {f"{name}_tokens_per_s": median(each) for name, each in rates.items()}
    if len(sides) == 2:
        ratios = [mine / theirs for mine, theirs in zip(*rates.values(), strict=True)]
        found |= {"ratio": median(ratios), "ratio_low": min(ratios), "ratio_high": max(ratios)}
    return found | {"windows": rates}


def best_of(ours: Ours, folders: dict[str, Path]) -> tuple[dict[str, Any], Any]:
    """Of our programs for one thing, by flags, the fastest, and what each took."""
    tried: dict[str, Any] = {}
    best: Any = None
    for name, folder in folders.items():
        for flag, flags in flags_for(name).items():
            try:
                program = Program(ours, folder, flags)
                side = sided(program)
                ms = 1e3 * settled(side) / (QUEUED if program.name == "prompt" else STEPS)
            except Exception as error:  # a flag or an attention that this compiler refuses is a result
                tried[f"{name} {flag}"] = f"{type(error).__name__}: {str(error)[:200]}"
                continue
            one_ms = 1e3 * alone(program) if program.name == "prompt" else None
            tried[f"{name} {flag}"] = {"ms": ms, "alone_ms": one_ms, "compile_s": program.compile_s, **program.memory}
            print(f"      {name} {flag}: {ms:.4f} ms, compiled in {program.compile_s:.1f} s", flush=True)
            if best is None or ms < best[0]:
                best = (ms, side, program, f"{name} {flag}")
            del program
    return tried, best


def alone(program: Program) -> float:
    """Seconds of one prompt, its token here, with nothing queued behind it."""
    return median(timed(idly, partial(program.take, 1), 0.4))


def sided(program: Program) -> Side:
    if program.name in ("prompt", "few"):
        tokens = prompt_of(SIZES[program.ours.model], program.batch)[:, : program.length]
        program.give("tokens", tokens.int().cpu().numpy())
        program.give("start", np.asarray(0, np.int32))
        program.give("last", np.asarray(program.length - 1, np.int32))
        return partial(timed, idly, program.take)
    return partial(timed, program.start, program.decode)


def idly() -> None:
    """Nothing comes before it."""


def measure(folder: Path, out: Path, models: list[str], only: list[str]) -> None:
    torch.backends.cuda.matmul.allow_tf32 = False
    card = Card(out)
    print(json.dumps({name: value for name, value in card.found.items() if name != "rows"}), flush=True)
    for model in models:
        for numbers in ("bf16", "int8", "int4", "int4-128"):
            there = sorted(each for side in SETS for each in folder.glob(f"{model}-{numbers}-{side}-*"))
            if there and any(wanted(f"{model}-{numbers}-{part}", only) for part in PARTS):
                one_model(card, model, numbers, there, only)
        if model == "1b" and any(wanted(OVER.format(batch), only) for batch in BATCHES):
            over(card, model, folder, only)


def over(card: Card, model: str, folder: Path, only: list[str]) -> None:
    """Four bits beside bfloat16, both ours and on the card at once: each by the fastest of its sets."""
    held = {}
    for numbers in ("int4", "bf16"):
        about = json.loads((next(folder.glob(f"{model}-{numbers}-cudnn-*")) / "lm.json").read_text())
        held[numbers] = Ours(card, model, about, random_weights(about))
        torch.cuda.empty_cache()
    for batch in BATCHES:
        if not wanted(OVER.format(batch), only):
            continue
        sides, made_with, tried = {}, {}, {}
        for numbers, ours in held.items():
            names = (f"{model}-{numbers}-{calls}-generate-{batch}" for calls in SETS)
            found, best = best_of(ours, {name: folder / name for name in names if (folder / name).exists()})
            sides[numbers], made_with[numbers] = best[1], best[3]
            tried |= found
        card.keep(OVER.format(batch), compared(sides, batch * STEPS) | {"made_with": made_with, "tried": tried})


def wanted(key: str, only: list[str]) -> bool:
    """Whether a row is to be measured: any, or those whose name holds one of the words."""
    return not only or any(word in key for word in only)


def one_model(card: Card, model: str, numbers: str, there: list[Path], only: list[str]) -> None:
    """All programs of a model at some numbers, beside the peer where there is a fair one."""
    size = SIZES[model]
    about = json.loads((there[0] / "lm.json").read_text())
    weights = random_weights(about)
    ours = Ours(card, model, about, weights)
    del weights
    torch.cuda.empty_cache()
    peer = Peer(model, about) if model != "7b" and numbers in ("bf16", "int8") else None
    idle_w = idle(card)
    card.keep(f"{model}-{numbers}", {"load_s": ours.load_s, "idle_w": idle_w})
    for kind, names in (("decode", ("generate", "decode")), ("prompt", ("prompt",))):
        for batch in BATCHES:
            key = f"{model}-{numbers}-{kind}-{batch}"
            folders = {each.name: each for name in names for each in there if each.name.endswith(f"-{name}-{batch}")}
            if not folders or not wanted(key, only):
                continue
            try:
                row(card, key, ours, peer, kind, batch, folders, idle_w)
            except Exception as error:  # one row that fails must not cost the card's time of the others
                card.keep(key, {"error": f"{type(error).__name__}: {str(error)[:300]}"})
            torch.cuda.empty_cache()
    if peer is not None:
        peer.end()
    if wanted(f"{model}-{numbers}-exact", only) and model != "7b":  # whose float32 form is too large
        correct(card, f"{model}-{numbers}-exact", ours, size, random_weights(about), there)


def row(
    card: Card, key: str, ours: Ours, peer: "Peer | None", kind: str, batch: int, folders: dict[str, Path],
    idle_w: float,
) -> None:  # fmt: skip
    """One line of the table."""
    tried, (_, mine, program, made_with) = best_of(ours, folders)
    sides = {"ours": mine}
    model, numbers = key.split("-")[0], key.split("-")[1]
    fair = numbers == "bf16" or (numbers == "int8" and batch == 1 and kind == "decode")
    theirs = None
    if peer is not None and fair:
        theirs = peer.ask("make", batch, kind)
        print(f"      peer {theirs}", flush=True)
        if any(isinstance(each, dict) for each in theirs.values()):
            sides["peer"] = partial(peer.ask, "window")
    tokens = batch * (STEPS if kind == "decode" else PROMPT * QUEUED)
    found = compared(sides, tokens)
    found |= {"made_with": made_with, "tried": tried, "peer_tried": theirs}
    if kind == "decode":
        rate = program.bytes_read * found["ours_tokens_per_s"] / batch
        found["roof_share"] = rate / card.found["copy_bytes_per_s"]
        found["bytes_read"] = program.bytes_read
        if "peer" in sides and numbers == "bf16":
            peer_rate = program.bytes_read * found["peer_tokens_per_s"] / batch
            found["peer_roof_share"] = peer_rate / card.found["copy_bytes_per_s"]
    card.keep(key, found)
    repeats = 3 if (model, batch, kind, numbers) == ("1b", 1, "decode", "bf16") else 1
    if model == "1b" and not key.startswith("1b-int4-128"):
        card.keep(key, energy(card, sides, tokens, idle_w, repeats))


def energy(card: Card, sides: dict[str, Side], tokens: int, idle_w: float, repeats: int) -> dict[str, Any]:
    """mJ a token, gross and net of idle with the weights loaded, of windows of ten seconds by turns."""
    windows: dict[str, list[Any]] = {name: [] for name in sides}
    for k in range(repeats):
        order = list(sides.items())
        for name, side in order[::-1] if turned(k) else order:
            windows[name].append(joules(card, side, idle_w))
    found: dict[str, Any] = {"energy_windows": windows}
    for name, each in windows.items():
        for figure, label in (("j", "mj"), ("net_j", "net_mj")):
            values = [1e3 * window[figure] / (window["runs"] * tokens) for window in each]
            found[f"{name}_{label}_per_token"] = median(values)
            if repeats > 1:
                found[f"{name}_{label}_per_token_range"] = [min(values), max(values)]
        found[f"{name}_watts"] = median(window["watts"] for window in each)
    return found


def correct(card: Card, key: str, ours: Ours, size: Any, weights: dict[str, Any], there: list[Path]) -> None:
    """How far scores lie from those in float32, and how much worse than the best the tokens are that were chosen."""
    try:
        found: dict[str, Any] = {}
        tokens = prompt_of(size, 1)
        programs = {each.name: each for each in there}
        by_row = all(each.shape[1] == 1 for name, each in weights.items() if name.endswith(".scale"))
        for name, each in programs.items():
            if name.endswith(("-prompt-1", "-few-1")):
                program = Program(ours, each, {})
                sided(program)
                scores = torch.from_numpy(np.array(read(program.call()[0]))).cuda()[0]
                text = tokens[:, : program.length]
                truth = lm_peer.exact(size, weights, text[0], THETA)[-1]
                found[f"{name}_error"] = float((scores - truth).norm() / truth.norm())
                if by_row:  # the peer knows one scale for a row
                    with torch.no_grad():
                        theirs = lm_peer.Decoder(size, weights, 1, ROOM, THETA).prompt(text)[0]
                    label = "peer_error" if program.length == PROMPT else f"peer_error_{program.length}"
                    found[label] = float((theirs - truth).norm() / truth.norm())
        for name, each in programs.items():
            if name.endswith("-generate-1"):
                found[f"{name}_regret"] = regret(ours, each, size, weights)
        card.keep(key, found)
    except Exception as error:  # likewise
        card.keep(key, {"error": f"{type(error).__name__}: {str(error)[:300]}"})


def regret(ours: Ours, folder: Path, size: Any, weights: dict[str, Any]) -> dict[str, float]:
    """From an empty text on: how far the chosen token's score lies below the best in float32, in their deviations."""
    program = Program(ours, folder, {})
    for name, shape, dtype in program.about["arguments"]:
        if name.startswith("kv_cache"):
            program.give(name, np.zeros(shape, named(dtype)))
    program.give("token", np.asarray([7], np.int32))
    program.give("position", np.asarray(0, np.int32))
    chosen = np.array(read(program.call()[0]))[:, 0]
    text = torch.from_numpy(np.concatenate([[7], chosen[:-1]])).long().cuda()
    scores = lm_peer.exact(size, weights, text, THETA)
    mine = scores.gather(1, torch.from_numpy(chosen).long().cuda()[:, None])[:, 0]
    gap = (scores.amax(1) - mine) / scores.std(1)
    return {"mean": float(gap.mean()), "greatest": float(gap.max()), "same": float((gap == 0).float().mean())}
