"""Which devices keep to a budget: what others have published of MLPerf Tiny's networks is the judge."""

import csv
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest

from flows import cli
from tasks import paths
from tasks.bench import candidates, devices
from tasks.bench.candidates import Budget, Candidate, Span
from tasks.bench.kinds import KINDS
from tasks.bench.request import Artifact, Foretold, Request
from tasks.errors import ParamsError, UnsupportedError
from tasks.examples import Arrays
from tasks.formats import tflite
from tasks.params import Quantize
from tasks.published import estimate, networks, table
from tasks.published.runtimes import RUNTIMES
from tasks.published.table import Row
from tasks.records import Energy, Judged, Latency, Measurement, Phase, Signature, Window, inference
from tests.networks import written
from tests.phases import changed

ROOT = Path(__file__).resolve().parents[3]
TINY = ("resnet8", "dscnn", "mobilenet_v1-0.25-96", "autoencoder")
LIMITS = (0.3, 1, 3, 10, 30, 100, 300)  # ms
FORETOLD = [name for name in devices.names() if devices.load(name).kind in ("mcu-tflm", "roofline")]


def forget() -> None:
    estimate.guesses.cache_clear()
    estimate.between_boards.cache_clear()


@pytest.fixture(autouse=True)
def catalog(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(ROOT)
    forget()
    yield
    forget()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    folder = tmp_path_factory.mktemp("tiny")
    return {
        name: candidates.artifact(str(written(folder / f"{name}.tflite", networks.NETWORKS[name]().products)))
        for name in TINY
    }


@pytest.fixture(scope="module")
def lines() -> list[dict[str, str]]:
    """The table, as a file alone."""
    with (ROOT / paths.PUBLISHED).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def change(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Leave rows out of the table, or add some."""
    rows = table.rows()

    def changed(without: Callable[[Row], bool] = lambda _: False, added: tuple[Row, ...] = ()) -> None:
        made = (*(row for row in rows if not without(row)), *added)
        monkeypatch.setattr(table, "rows", lambda: made)
        forget()

    return changed


def known(lines: list[dict[str, str]], name: str, network: str, *, own: bool) -> list[float]:
    """What is published of a network in integers on a device's board, by its own kernels or by anybody."""
    device = devices.load(name)
    kernels, threads = getattr(device, "kernels", None), str(getattr(device, "threads", 1))
    return [
        float(line["latency_ms"])
        for line in lines
        if line["board"] == device.board and line["network"] == network and line["precision"].startswith("int8")
        if line["latency_ms"] and (not own or (kernels and RUNTIMES[kernels].has(Row.read(line), threads)))
    ]


@pytest.mark.parametrize("network", TINY)
def test_boards_whose_published_figures_keep_to_a_budget_are_named_and_no_others(
    tiny: dict[str, Artifact], lines: list[dict[str, str]], network: str
) -> None:
    published = {name: known(lines, name, network, own=False) for name in FORETOLD}
    assert sum(map(bool, published.values())) >= 9
    for limit in (3, 50):
        found, left = candidates.find(tiny[network], Budget(latency_ms=limit), FORETOLD)
        named = {each.device: each for each in found}
        assert named.keys() | left.keys() == set(FORETOLD)
        for name, figures in published.items():
            if figures and name in named:
                assert named[name].origin == "published"
                assert min(figures) <= named[name].latency.value <= limit
            if own := known(lines, name, network, own=True):  # its latest counts
                assert (name in named) == (own[-1] <= limit) or "does not fit" in left[name]


@pytest.mark.parametrize(
    ("network", "device", "said"),
    [
        ("mobilenet_v1-1.0-224", "raspberry-pi-5", "ncnn benchncnn, CPU, 1 thread, 2400 MHz"),  # not its 4 threads
        ("mobilenet_v1-1.0-224", "roofline-raspberry-pi-5", "ncnn benchncnn, CPU, 4 threads, 2400 MHz"),
        ("mobilenet_v1-1.0-224", "roofline-jetson-orin-nano", None),  # its GPU: the processor's 6 threads are not
        (
            "mobilenet_v2-1.0-320",
            "roofline-imx95-npu",
            "NPU Neutron (22/88 ops)",
        ),  # slower than the processor beside it
        ("mobilenet_v2-1.0-224", "roofline-raspberry-pi-4", "XNNPACK end2end-bench, multi (all cores) threads"),
    ],
)
def test_a_published_figure_is_of_the_part_of_the_board_and_of_the_threads_that_the_device_is(
    tmp_path: Path, network: str, device: str, said: str | None
) -> None:
    path = written(tmp_path / f"{network}.tflite", networks.NETWORKS[network]().products)
    found, _ = candidates.find(candidates.artifact(str(path)), Budget(), [device])
    assert [each.said for each in found if each.origin == "published"] == ([said] if said else [])


def test_without_a_networks_figures_few_are_named_that_break_the_budget_by_more_than_the_stated_error(
    tiny: dict[str, Artifact], lines: list[dict[str, str]], change: Callable[..., None]
) -> None:
    """The judge has what the estimate does not: every figure of the network itself is out of the table."""
    kept = []
    for network in TINY:
        change(without=lambda row, network=network: row.network == network)  # type: ignore[misc]  # bound now
        found, _ = candidates.find(tiny[network], Budget(), FORETOLD)
        for each in found:
            figures = known(lines, each.device, network, own=True)
            if figures and each.judged:
                assert each.origin == "estimated"
                named = [limit for limit in LIMITS if each.latency.within(limit) != "no"]
                kept += [figures[-1] <= limit * (1 + each.judged.worst) for limit in named]
    assert len(kept) > 90
    assert fmean(kept) >= 0.95


def foretold(artifact: Artifact) -> dict[str, Foretold | str]:
    """Of every device that estimates from figures, without running a compiler."""
    found: dict[str, Foretold | str] = {}
    for name in FORETOLD:
        device = devices.load(name)
        told = KINDS.load(device.kind).foretells
        assert told is not None
        try:
            found[name] = told(artifact, device)
        except UnsupportedError as error:
            found[name] = str(error)
    return found


def test_an_unrelated_row_changes_no_devices_estimate(tiny: dict[str, Artifact], change: Callable[..., None]) -> None:
    before = foretold(tiny["dscnn"])
    assert len(before) > 25
    stranger = replace(table.rows()[0], board="somebodys", device="somebody's", latency_ms=1.0)
    change(added=(replace(stranger, runtime="of nobody's"), replace(stranger, board="nucleo-l4r5zi", runtime="none")))
    assert foretold(tiny["dscnn"]) == before
    ncnn = replace(stranger, runtime="ncnn benchncnn, CPU", core="cortex-a53")
    for each in (ncnn, replace(ncnn, board="raspberry-pi-4", threads="3"), replace(ncnn, precision="bf16")):
        change(added=(each,))
        after = foretold(tiny["dscnn"])
        changed = {name for name in before if after[name] != before[name]}
        assert all(getattr(devices.load(name), "kernels", None) == "ncnn" for name in changed)
        assert all(getattr(devices.load(name), "threads", 1) == int(each.threads) for name in changed)
    change(added=(replace(stranger, runtime="X-CUBE-AI", release="v1.3", core="cortex-m33", clock_mhz=100.0),))
    after = foretold(tiny["dscnn"])
    changed = {name for name in before if after[name] != before[name]}
    assert "stm32u575" in changed, "which a related one does change"
    assert not {name for name in changed if name.startswith("roofline")}


def test_an_estimate_costs_less_than_fifty_milliseconds(tiny: dict[str, Artifact]) -> None:
    """Of processor time, for each pair of one of four networks and a device, each runtime's errors found anew once."""
    began = time.process_time()
    pairs = sum(len(foretold(artifact)) for artifact in tiny.values())
    assert time.process_time() - began < 0.05 * pairs


def test_what_is_sure_comes_first_then_what_takes_the_least() -> None:
    def made(name: str, keeps: candidates.Keeps, mj: tuple[float, float] | None, ms: float) -> Candidate:
        energy = Span(mj[0], mj[0], mj[1]) if mj else None
        return Candidate(name, "estimated", Span.exact(ms), energy, "", None, keeps)

    given = [
        made("unknown", "yes", None, 1), made("wide", "yes", (1, 100), 1), made("narrow", "yes", (2, 3), 9),
        made("unsure", "perhaps", (0.1, 0.1), 1), made("slow", "yes", (2, 3), 10),
    ]  # fmt: skip
    ordered = sorted(given, key=lambda each: each.cost)
    assert [each.device for each in ordered] == ["narrow", "slow", "wide", "unknown", "unsure"]


@pytest.mark.parametrize(("most", "kept"), [(None, "yes"), (12.0, "yes"), (10.0, "perhaps"), (9.0, "no")])
def test_a_range_keeps_to_a_limit_surely_perhaps_or_not(most: float | None, kept: str) -> None:
    assert Span(10.0, 8.0, 12.0).within(most) == kept


def test_energy_that_nobody_knows_may_keep_to_a_budget(tiny: dict[str, Artifact]) -> None:
    found, left = candidates.find(tiny["resnet8"], Budget(energy_mj=1.0), ["ra8d1", "stm32u385", "stm32u575"])
    assert [(each.device, each.keeps) for each in found] == [("stm32u385", "yes"), ("ra8d1", "perhaps")]
    assert re.fullmatch(r"published 2\.57 mJ \(X-CUBE-AI.*\)", left["stm32u575"])


def test_a_record_of_the_project_comes_before_all(
    tiny: dict[str, Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    window = Window(variant="dscnn", runs=1, seconds=1, busy_s=1, ms_p10=3, ms_p50=3, ms_mean=3, cpu_ms_mean=3,
                    load_ms=1, first_ms=1, peak_memory_kib=1)  # fmt: skip
    phases = inference(
        latency=Latency(provenance="measured", ms_p50=3.0), windows=(window,), energy=Energy(kind="none")
    )
    record = Measurement(variant="dscnn", device="stm32u385", device_kind="mcu-tflm", status="ok", mode="full",
                         artifact_sha256=tiny["dscnn"].card.sha256, phases=phases)  # fmt: skip
    record.save(paths.benchmark("dscnn", "stm32u385"))
    (found,), _ = candidates.find(tiny["dscnn"], Budget(), ["stm32u385"])
    assert (found.origin, found.latency.value, found.said) == ("measured", 3.0, "full mode, here")
    drawn = Energy(kind="estimate_cpu_time", mj=2.0, low_mj=1.0, high_mj=4.0)
    changed(record, energy=drawn).save(paths.benchmark("dscnn", "stm32u385"))
    (found,), _ = candidates.find(tiny["dscnn"], Budget(energy_mj=3.0), ["stm32u385"])
    assert (found.said, found.keeps) == ("full mode, here; mJ: estimate from CPU time", "perhaps")
    record.model_copy(update={"artifact_sha256": "another"}).save(paths.benchmark("dscnn", "stm32u385"))
    (found,), _ = candidates.find(tiny["dscnn"], Budget(), ["stm32u385"])
    assert found.origin == "published"
    torn = {"status": "invalid", "reason": "the machine is too busy"}
    record.model_copy(update=torn).save(paths.benchmark("dscnn", "stm32u385"))
    found, left = candidates.find(tiny["dscnn"], Budget(), ["stm32u385"])
    assert (found, left) == ([], {"stm32u385": "measured, and no result: the machine is too busy"})


def test_what_has_been_refused_here_is_not_told_to_be_measured(
    tiny: dict[str, Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = {"status": "unsupported", "mode": "quick", "artifact_sha256": tiny["dscnn"].card.sha256, "reason": "no GELU"}
    for device, kind in (("host-cpu", "litert"), ("stm32u385", "mcu-tflm")):
        record = Measurement(variant="dscnn", device=device, device_kind=kind, **told)
        record.save(paths.benchmark("dscnn", device))
    found, left = candidates.find(tiny["dscnn"], Budget(), ["host-cpu", "stm32u385"])
    assert left == {"host-cpu": "no GELU"}
    assert [(each.device, each.origin) for each in found] == [("stm32u385", "published")], "by another runtime"


def test_the_error_stands_beside_an_estimate_and_whose_figure_it_is_beside_a_published_one(
    tiny: dict[str, Artifact],
) -> None:
    found, left = candidates.find(tiny["dscnn"], Budget(), ["stm32h747", "stm32h743", "stm32u385", "host-cpu"])
    told = {each.device: each for each in found}
    assert isinstance(told["stm32h747"].judged, Judged)
    assert re.fullmatch(r"mean error \d+% on 10 published figures left out, worst \d+%", told["stm32h747"].said)
    assert told["stm32h743"].said == "error not known"
    assert told["stm32u385"].said == "X-CUBE-AI, 1 thread, 96 MHz, MLPerf Tiny v1.3"
    assert left == {"host-cpu": "measured, not foretold: name it in params.yaml, and `tercet run`"}


@pytest.mark.parametrize("name", ["roofline-raspberry-pi-5", "ethos-u55-128"])
def test_what_is_foretold_is_what_a_run_would_record(pair: Callable[[str, str], Request], name: str) -> None:
    request = pair("int8", name)
    kind = KINDS.load(request.device.kind)
    assert kind.foretells is not None
    recorded, told = kind.measure(request).measurement, kind.foretells(request.artifact, request.device)
    assert (told.latency, told.energy) == (recorded.latency, recorded.energy)


@pytest.mark.parametrize("scheme", ["float32", "float16", "int8", "int16x8"])
def test_a_files_scheme_is_told_by_its_tensors(golden: Path, scheme: str) -> None:
    assert candidates.artifact(str(golden / f"{scheme}.tflite")).card.scheme == scheme


@pytest.mark.parametrize("scheme", ["dynamic", "int8-weights", "int4-dynamic", "int4-weights"])
def test_weights_that_become_floats_are_told_from_those_that_products_take(scheme: str, tmp_path: Path) -> None:
    keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
    from tasks.quantize import mixed

    model = keras.Sequential([keras.layers.Dense(64, input_shape=(64,)), keras.layers.Dense(8)])
    examples = Arrays({model.input_names[0]: np.zeros((4, 64), np.float32)}, {})
    made = mixed.make(model, Quantize(model="baseline", scheme=scheme), examples)
    (tmp_path / "model.tflite").write_bytes(made.content)
    assert candidates.artifact(str(tmp_path / "model.tflite")).card.scheme == scheme


def test_integers_throughout_are_told_where_the_file_takes_and_gives_floats(golden: Path, tmp_path: Path) -> None:
    """As TensorFlow's converter writes them, unless it is told otherwise."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = tflite.objects((golden / "int8.tflite").read_bytes())
    graph = model.subgraphs[0]
    graph.inputs, graph.outputs = list(graph.inputs), list(graph.outputs)
    for kind, side in (("QUANTIZE", graph.inputs), ("DEQUANTIZE", graph.outputs)):
        code, operator, outer = schema.OperatorCodeT(), schema.OperatorT(), schema.TensorT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, kind)
        outer.name, outer.shape, outer.type = kind, graph.tensors[side[0]].shape, schema.TensorType.FLOAT32
        ends = [len(graph.tensors)], [int(side[0])]
        operator.inputs, operator.outputs = ends if kind == "QUANTIZE" else ends[::-1]
        operator.opcodeIndex = len(model.operatorCodes)
        model.operatorCodes.append(code)
        graph.tensors.append(outer)
        graph.operators.insert(0 if kind == "QUANTIZE" else len(graph.operators), operator)
        side[0] = len(graph.tensors) - 1
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path = tmp_path / "floats-outside.tflite"
    path.write_bytes(builder.Output())
    assert candidates.artifact(str(path)).card.scheme == "int8"


def test_what_is_neither_file_nor_variant_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ParamsError, match=r"received 'dscn'; a \.tflite file, or a variant .*none is made here"):
        candidates.artifact("dscn")
    (tmp_path / "text.tflite").write_text("no model")
    with pytest.raises(ParamsError, match=r"text\.tflite: no file of LiteRT"):
        candidates.artifact("text.tflite")


def test_the_command_names_the_boards(
    tiny: dict[str, Artifact], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.setattr(
        "sys.argv", ["tercet", "advise", str(tiny["autoencoder"].path), "--latency-ms", "5", "--energy-mj", "0.1"]
    )
    assert cli.main() == 0
    told = capsys.readouterr().out
    assert "autoencoder, int8: at most 5 ms and 0.1 mJ an inference" in told
    assert re.search(r"^ *stm32u575 +yes +◐ 3\.21 +0\.077", told, re.M)
    assert re.search(r"^stm32u385: published 5\.41 ms", told, re.M)
    monkeypatch.setattr("sys.argv", ["tercet", "advise", "x", "--latency-ms", "-1"])
    assert cli.main() == 2
    assert "received '-1'; a number above 0 is expected" in capsys.readouterr().err


def test_what_a_token_takes_is_told_of_a_token(
    tiny: dict[str, Artifact], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What writes texts is told by its last phase, which is one token more."""
    monkeypatch.chdir(tmp_path)
    call = Signature(name="decode", inputs=(), outputs=(), state={"kv": "kv"})
    card = tiny["dscnn"].card.model_copy(update={"signatures": (call,)})
    latency = {"prefill": 400.0, "decode": 20.0}
    window = Window(variant="dscnn", runs=1, seconds=1, busy_s=1, ms_p10=3, ms_p50=3, ms_mean=3, cpu_ms_mean=3,
                    load_ms=1, first_ms=1, peak_memory_kib=1)  # fmt: skip
    phases = {
        name: Phase(unit="token", latency=Latency(provenance="measured", ms_p50=ms), windows=(window,))
        for name, ms in latency.items()
    }
    record = Measurement(variant="dscnn", device="host-cpu", device_kind="litert", status="ok", mode="full",
                         artifact_sha256=card.sha256, phases=phases)  # fmt: skip
    record.save(paths.benchmark("dscnn", "host-cpu"))
    monkeypatch.setattr(candidates, "artifact", lambda _: Artifact(card, tiny["dscnn"].path))
    monkeypatch.setattr("sys.argv", ["tercet", "advise", "dscnn", "--latency-ms", "50"])
    assert cli.main() == 0
    told = capsys.readouterr().out
    assert "dscnn, int8: at most 50 ms a token" in told
    assert re.search(r"host-cpu +yes +● 20\.0", told)
