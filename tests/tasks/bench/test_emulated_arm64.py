"""Arm processors in QEMU. What QEMU itself takes part in needs its packages and an arm64 root file system."""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.bench import arm64, devices, same_answers, transport
from tasks.bench.answers import Answer, Kept
from tasks.bench.kinds import emulated_arm64
from tasks.bench.request import Questions, Request
from tasks.bench.runner import __main__ as runner
from tasks.errors import DeviceError, UnsupportedError
from tasks.records import Tensor

ROOT = Path(__file__).resolve().parents[3]
BUILT = Path(os.environ.get(arm64.ROOTFS, ROOT / ".tercet" / "arm64" / "rootfs"))
# what/instructions/dot products, as running totals
MARKS = "0 100 0\n0 110 0\n1 200 0\n1 1210 40\n0 1300 40\n0 1310 40\n1 2000 40\n1 3030 90\n"
DOTS = {  # as assembled by LLVM 14
    "sdot v0.4s, v1.16b, v2.16b": 0x4E829420,
    "udot v31.2s, v17.8b, v30.8b": 0x2E9E963F,
    "sdot v0.4s, v1.16b, v2.4b[1]": 0x4FA2E020,
    "udot v31.2s, v17.8b, v30.4b[3]": 0x2FBEEA3F,
}
OTHERS = {
    "add x0, x0, x1": 0x8B010000,
    "mla v0.4s, v1.4s, v2.4s": 0x4EA29420,
    "mla v0.4s, v1.4s, v2.s[1]": 0x6FA20020,
    "fmla v0.4s, v1.4s, v2.4s": 0x4E22CC20,
    "usdot v0.4s, v1.16b, v2.16b": 0x4E829C20,
    "usdot v0.4s, v1.16b, v2.4b[1]": 0x4FA2F020,
    "bfdot v0.4s, v1.8h, v2.2h[1]": 0x4F62F020,
}
# A made-up QEMU: it translates one block of the given instructions, runs it `times`, and makes a mark after each.
FAKE = r"""
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
typedef void (*trans)(uint64_t, void *);
typedef void (*call)(uint64_t, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                     uint64_t);
static trans translated; static call called;
static uint32_t codes[64]; static size_t n, n_ops;
static struct { uint64_t *where, by; } ops[8];
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, trans f) { translated = f; }
void qemu_plugin_register_vcpu_syscall_cb(uint64_t id, call f) { called = f; }
size_t qemu_plugin_tb_n_insns(void *tb) { return n; }
void *qemu_plugin_tb_get_insn(void *tb, size_t i) { return &codes[i]; }
#if API < 2
const void *qemu_plugin_insn_data(void *insn) { return insn; }
void qemu_plugin_register_vcpu_tb_exec_inline(void *tb, int op, void *p, uint64_t by) {
    ops[n_ops].where = p; ops[n_ops++].by = by;
}
#else
typedef struct { void *score; size_t offset; } u64;
static uint64_t cpus[2][8]; /* element by CPU; the second is never the guest's */
void *qemu_plugin_scoreboard_new(size_t size) { return size > sizeof cpus[0] ? NULL : cpus; }
uint64_t qemu_plugin_u64_get(u64 e, unsigned cpu) { return cpus[cpu][e.offset / 8]; }
void qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(void *tb, int op, u64 e, uint64_t by) {
    ops[n_ops].where = &cpus[0][e.offset / 8]; ops[n_ops++].by = by;
}
#if API == 2
const void *qemu_plugin_insn_data(void *insn) { return insn; }
#else
size_t qemu_plugin_insn_data(void *insn, void *to, size_t size) { memcpy(to, insn, size); return size; }
#endif
#endif
int main(int argc, char **argv) { /* plugin, option, times, codes... */
    void *plugin = dlopen(argv[1], RTLD_NOW);
    if (!plugin) { puts(dlerror()); return 2; }
    if (*(int *)dlsym(plugin, "qemu_plugin_version") < (API < 2 ? 0 : 2)) { puts("too old"); return 3; }
    if (*(int *)dlsym(plugin, "qemu_plugin_version") > API) { puts("too new"); return 3; }
    struct { const char *target; int min, cur; char more[16]; } info = {"aarch64", API < 2 ? 0 : 2, API};
    int (*install)(uint64_t, void *, int, char **) = dlsym(plugin, "qemu_plugin_install");
    if (install(7, &info, 1, argv + 2)) return 4;
    while (4 + (int)n < argc) { codes[n] = strtoul(argv[4 + n], NULL, 0); n++; }
    translated(7, &info);
    for (int i = 0; i < atoi(argv[3]); i++) {
        for (size_t k = 0; k < n_ops; k++) *ops[k].where += ops[k].by;
        called(7, 0, 141, 1, 0, 0, 0, 0, 0, 0, 0);           /* a true getpriority */
        called(7, 0, 64, 0x5eed, 0, 0, 0, 0, 0, 0, 0);       /* another call */
        called(7, 0, 141, 0x5eed, 1, 0, 0, 0, 0, 0, 0);
    }
    return 0;
}
"""


def programs(folder: Path, **scripts: str) -> None:
    """Programs that are shell scripts."""
    folder.mkdir(exist_ok=True)
    for name, script in scripts.items():
        path = folder / name.replace("_", "-")
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)


@pytest.fixture
def linked(workshop: Path) -> Path:
    """A project with what an emulated processor is made of."""
    (workshop / "infra" / "arm64").symlink_to(ROOT / "infra" / "arm64")
    return workshop


@pytest.fixture
def bare(linked: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project on a machine with nothing installed: the folder where its programs would be."""
    folder = linked / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv(arm64.ROOTFS, raising=False)
    monkeypatch.setattr(arm64, "SBIN", str(folder))
    return folder


@pytest.fixture
def emulator(linked: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], arm64.Emulated]:
    """A real emulated processor by its name."""
    monkeypatch.setenv(arm64.ROOTFS, str(BUILT))
    if missing := arm64.missing():
        pytest.skip("; ".join(missing))
    return arm64.Emulated


def test_counts_are_the_pairs_less_what_the_marks_take() -> None:
    counts = arm64.counts(MARKS)
    assert counts.mark == 10
    assert counts.inferences == (1000, 1020)
    assert counts.dots == (40, 50)
    assert counts.per_inference == 1010
    assert counts.spread == pytest.approx(20 / 1010)


@pytest.mark.parametrize(
    "marks",
    [
        "",
        MARKS + "0 4000 90\n",  # the guest was killed in a pair
        "0 100 0\n1 110 0\n",
        "0 100 0\n0 110 0\n",  # no inference
        "1 100 0\n1 110 0\n",  # nothing to take off
        "0 100\n0 110\n1 200\n1 210\n",
    ],
)
def test_marks_that_are_not_whole_pairs_of_both_kinds_are_no_count(marks: str) -> None:
    with pytest.raises(DeviceError, match="the counting plugin"):
        arm64.counts(marks)


def test_the_runner_makes_the_marks_that_are_read(request_of: Callable[..., dict[str, Any]]) -> None:
    assert (runner.EMPTY, runner.INFERENCE) == (arm64.EMPTY, arm64.INFERENCE)
    request = request_of("int8", "count", runs=4)
    response = transport.Local().run(request, {"model": Path(request["model"])}, {}, timeout_s=30)
    assert response.runs == 4  # and every kernel takes the marks


@pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")
@pytest.mark.parametrize("api", [1, 2, 3, 4])
def test_the_plugin_counts_by_every_version_of_qemus_interface(api: int, linked: Path, tmp_path: Path) -> None:
    plugin, source, fake, marks = arm64.plugin(), tmp_path / "fake.c", tmp_path / "fake", tmp_path / "marks"
    source.write_text(FAKE)
    subprocess.run(["gcc", "-w", "-rdynamic", f"-DAPI={api}", "-o", fake, source, "-ldl"], check=True, timeout=60)
    codes = [hex(code) for code in [*DOTS.values(), *OTHERS.values()]]
    done = subprocess.run([fake, plugin.absolute(), f"out={marks}", "3", *codes], capture_output=True, timeout=10)
    assert done.returncode == 0, done.stdout
    expected = [f"1 {len(codes) * i} {len(DOTS) * i}" for i in (1, 2, 3)]
    assert marks.read_text().splitlines() == expected


@pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")
def test_the_plugin_is_compiled_once_for_each_source(workshop: Path) -> None:
    shutil.copytree(ROOT / "infra" / "arm64", "infra/arm64")
    first = arm64.plugin()
    made = first.stat().st_mtime_ns
    assert arm64.plugin() == first
    assert first.stat().st_mtime_ns == made
    with arm64.source().open("a") as file:
        file.write("int x = y;\n")
    with pytest.raises(DeviceError, match=r"does not compile(.|\n)*error: .y. undeclared"):
        arm64.plugin()
    assert [path.name for path in first.parent.glob("[!.]*")] == [first.name]


def test_what_is_missing_is_named_with_the_way_to_get_it(bare: Path) -> None:
    reason = devices.usable(devices.load("emulated-cortex-a72"))
    assert reason is not None
    packages = "qemu-user util-linux mount gcc debootstrap"
    assert f"not installed: {packages.replace(' ', ', ')}: `apt-get install {packages}`" in reason
    assert "no arm64 root file system: build it with `infra/arm64/rootfs .tercet/arm64/rootfs`" in reason


def test_only_what_is_missing_is_named(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ok = {"unshare": "exit 0", "mount": "", "gcc": "", "debootstrap": ""}
    programs(bare, qemu_aarch64="echo '-plugin QEMU_PLUGIN [file=]<file>'", **ok)
    assert [fault.partition(":")[0] for fault in arm64.missing()] == ["no arm64 root file system"]
    manifest = Path(".tercet/arm64/rootfs/opt/manifest")
    manifest.parent.mkdir(parents=True)
    manifest.touch()
    assert devices.usable(devices.load("emulated-cortex-a76")) is None
    programs(bare, qemu_aarch64="echo '-cpu model'")
    assert "takes no -plugin" in "".join(arm64.missing())
    programs(bare, qemu_aarch64="echo -plugin", unshare="echo 'unshare: Operation not permitted' >&2; exit 1")
    assert arm64.missing()[0].startswith("user namespaces are refused here (unshare: Operation not permitted): allow")
    programs(bare, **ok)
    monkeypatch.setenv(arm64.ROOTFS, ".tercet/arm64/rootfs")
    assert arm64.missing() == ["TERCET_ARM64_ROOTFS: an absolute path is expected; received '.tercet/arm64/rootfs'"]


def test_a_program_that_hangs_or_does_not_start_is_named(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arm64, "ANSWERS_S", 0.5)
    programs(bare, qemu_aarch64="while :; do :; done", unshare="exit 0", mount="", gcc="", debootstrap="")
    assert arm64.missing()[0] == "qemu-aarch64 --help did not end within 0.5 s and was ended"
    assert arm64.version() is None
    (bare / "qemu-aarch64").write_bytes(b"\x01")
    assert "does not start: Exec format error" in arm64.missing()[0]


def test_the_fingerprint_is_of_all_that_the_figures_hang_from(workshop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "infra" / "arm64", "infra/arm64")
    monkeypatch.setenv("PATH", f"{workshop / 'bin'}:{os.environ['PATH']}")
    monkeypatch.delenv(arm64.ROOTFS, raising=False)
    a72, a76 = (devices.load(f"emulated-cortex-{core}") for core in ("a72", "a76"))
    programs(Path("bin"), qemu_aarch64="echo 'qemu-aarch64 version 7.2'; echo more")
    seen = [devices.fingerprint(a72)]
    assert seen[0]["qemu"] == "qemu-aarch64 version 7.2"
    programs(Path("bin"), qemu_aarch64="echo 'qemu-aarch64 version 8.0'")
    seen.append(devices.fingerprint(a72))
    for path in ("infra/arm64/count.c", "infra/arm64/cpuinfo-cortex-a72", ".tercet/arm64/rootfs/opt/manifest"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with Path(path).open("a") as file:
            file.write("\n")
        seen.append(devices.fingerprint(a72))
    assert len({str(fingerprint) for fingerprint in seen}) == 5
    other = devices.fingerprint(a76)
    Path("infra/arm64/cpuinfo-cortex-a72").write_text("")
    assert devices.fingerprint(a76) == other


class Fake:
    """A processor that takes 1000 instructions for float32 and 500 for anything else, and twice the mark's 10."""

    refuses = ""
    loses = 0  # inferences that the plugin did not see

    def __init__(self, cpu: str) -> None:
        self.cpu = cpu

    def run(self, request: dict[str, Any], files: Any, results: Any, *, timeout_s: float) -> Answer:
        variant = files["model"].parent.name
        if variant == Fake.refuses:
            return Answer("unsupported", "no such kernel", {})
        assert request["options"] == {"kernels": "default", "threads": 1}  # more threads do not repeat
        if request["action"] == "predict":
            assert request["keep"] == {"output": "scores", "function": None}
            with np.load(files["inputs"]) as inputs:
                np.savez(results["outputs"], kept=inputs["image"][:, 0, 0])
            return Answer("ok", None, {}, kept=Kept(n=6, sha256="", bad=0, first_bad=None, refused=None))
        assert request["action"] == "count"
        cost, marks, at = 1000 if variant == "float32" else 500, "", 0
        for _ in range(request["runs"] - Fake.loses):
            marks += f"0 {at} 0\n0 {at + 10} 0\n1 {at + 10} 0\n1 {at + 20 + cost} 0\n"
            at += 5000
        environment = {"machine": "aarch64"}
        return Answer("ok", None, environment, runs=request["runs"], marks=marks)


def answering(request: Request) -> Request:
    """The request, with a split to answer and a card that names the outputs."""
    outputs = tuple(Tensor(name=name, shape=(1,), dtype="float32") for name in ("scores", "other"))
    artifact = replace(request.artifact, card=request.artifact.card.model_copy(update={"outputs": outputs}))
    return replace(request, artifact=artifact, splits={"test": Questions(request.inputs)})


def test_a_measurement_is_instructions_and_a_ratio_and_no_time(
    pair: Callable[[str, str], Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arm64, "Emulated", Fake)
    monkeypatch.setattr(same_answers, "check", lambda _request, _setup: None)  # the fake answers nothing of its own
    result = emulated_arm64.measure(answering(pair("int8", "emulated-cortex-a72")))
    found = result.measurement
    assert found.instructions is not None
    assert (found.instructions.per_inference, found.instructions.spread) == (500, 0)
    assert found.instructions.cpu == "cortex-a72"
    assert (found.details["reference"], found.details["instructions_ratio"]) == ("float32", 0.5)
    assert found.details["dot_product_kernels"] is False
    assert (found.latency, found.ratio, found.memory, found.windows) == (None, None, None, ())
    assert (found.energy.kind, found.energy.mj) == ("none", None)
    assert found.energy.reason
    with np.load("inputs.npz") as inputs:
        np.testing.assert_array_equal(result.kept["test"].values, inputs["image"][:, 0, 0])
    own = emulated_arm64.measure(answering(pair("float32", "emulated-cortex-a72"))).measurement
    assert own.details["instructions_ratio"] == 1


@pytest.mark.parametrize("refused", ["int8", "float32"])
def test_a_refusal_is_no_failure(
    refused: str, pair: Callable[[str, str], Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arm64, "Emulated", Fake)
    monkeypatch.setattr(same_answers, "check", lambda _request, _setup: None)  # the fake answers nothing of its own
    monkeypatch.setattr(Fake, "refuses", refused)
    with pytest.raises(UnsupportedError, match=f"{refused}: the runtime refuses it: no such kernel"):
        emulated_arm64.measure(pair("int8", "emulated-cortex-a72"))


def test_a_lost_mark_is_a_failure(pair: Callable[[str, str], Request], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arm64, "Emulated", Fake)
    monkeypatch.setattr(same_answers, "check", lambda _request, _setup: None)  # the fake answers nothing of its own
    monkeypatch.setattr(Fake, "loses", 1)
    with pytest.raises(DeviceError, match="int8: 10 inferences, 9 counted"):
        emulated_arm64.measure(pair("int8", "emulated-cortex-a72"))


def test_the_root_file_system_comes_from_apts_own_mirror_whole_or_not_at_all(tmp_path: Path) -> None:
    sources = (
        "Debian main http://mirror.test/debian-security/\nOther main http://x.test/\nDebian main http://mirror.test/d/"
    )
    programs(
        tmp_path / "bin",
        apt_get=f"printf '%s\\n' '{sources}'".replace("\n", "' '"),
        python3="",
        dpkg_deb="",
        debootstrap=f'echo "$@" >{tmp_path}/arguments; echo "E: no route" ; exit 1',
    )
    environment = {"PATH": f"{tmp_path / 'bin'}:{os.defpath}"}
    place = tmp_path / "place"
    (place / ".rootfs.killed.tmp").mkdir(parents=True)
    command = [ROOT / "infra" / "arm64" / "rootfs", place / "rootfs"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["E: no route", "rootfs: debootstrap failed"]
    assert (tmp_path / "arguments").read_text().split()[-1] == "http://mirror.test/d/"
    assert list(place.iterdir()) == []


def ask(emulator: arm64.Emulated | transport.Local, request: dict[str, Any]) -> Answer:
    return emulator.run(request, {"model": Path(request["model"])}, {}, timeout_s=280)


def answers(session: arm64.Emulated | transport.Local, request: dict[str, Any]) -> np.ndarray:
    ask(session, request)
    with np.load(request["outputs"]) as file:
        return file["scores"]


@pytest.mark.slow
def test_a_count_repeats_and_the_described_processor_chooses_the_kernels(
    emulator: Callable[[str], arm64.Emulated], request_of: Callable[..., dict[str, Any]]
) -> None:
    request = request_of("int8", "count", runs=5)
    # as a measurement does, have it answer before: a process that compiles Python's bytecode counts 12,009 to 12,025
    # instructions where each that finds it takes 12,006
    answers(emulator("cortex-a76"), request | {"action": "predict"})
    once, twice, older = (ask(emulator(cpu), request) for cpu in ("cortex-a76", "cortex-a76", "cortex-a72"))
    counts, again, plain = (arm64.counts(response.marks) for response in (once, twice, older))
    assert again.inferences == counts.inferences
    assert "asimddp" in once.environment["features"]
    assert "asimddp" not in older.environment["features"]
    assert min(counts.dots) > 0
    assert max(plain.dots) == 0
    assert counts.per_inference < plain.per_inference


@pytest.mark.slow
@pytest.mark.parametrize("cpu", ["cortex-a72", "cortex-a76"])
def test_int8_under_the_reference_kernels_is_the_same_bit_by_bit(
    cpu: str, emulator: Callable[[str], arm64.Emulated], request_of: Callable[..., dict[str, Any]]
) -> None:
    images = np.random.default_rng(7).random((1000, 8, 8, 1), np.float32)
    request = request_of("int8", "predict", {"image": images}, kernels="reference")
    here, there = answers(transport.Local(), request), answers(emulator(cpu), request)
    assert len(np.unique(here, axis=0)) > 100  # the inputs tell something
    np.testing.assert_array_equal(there, here)


@pytest.mark.slow
def test_float32_differs_by_rounding_alone(
    emulator: Callable[[str], arm64.Emulated], request_of: Callable[..., dict[str, Any]]
) -> None:
    images = np.random.default_rng(7).random((100, 8, 8, 1), np.float32)
    request = request_of("float32", "predict", {"image": images})
    here, there = answers(transport.Local(), request), answers(emulator("cortex-a72"), request)
    np.testing.assert_allclose(there, here, atol=2e-6)
    np.testing.assert_array_equal(there.argmax(1), here.argmax(1))
