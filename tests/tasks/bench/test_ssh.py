import getpass
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks import paths
from tasks.bench import devices, judging, openssh, ssh, timed, transport, wheels
from tasks.bench.kinds import KINDS, litert
from tasks.bench.kinds import ssh as target
from tasks.bench.request import Artifact, Questions, Request
from tasks.bench.runner import machine as machine_module
from tasks.bench.ssh import Remote
from tasks.errors import DeviceError, UnsupportedError
from tasks.examples import dataset
from tasks.files import sha256
from tasks.params import Params
from tasks.process import Told
from tasks.records import Measurement, Program, read
from tasks.stages import benchmark

Build = Callable[..., dict[str, Any]]
Pair = Callable[[str, str], Request]
ROOT = Path(__file__).resolve().parents[3]
PI = wheels.Platform("aarch64", "3.11.2", "2.36")


def session() -> Remote:
    return Remote("board", sys.executable, ["numpy", "ai-edge-litert"])


def exchange(session: transport.Session, request: dict[str, Any], folder: Path) -> dict[str, np.ndarray]:
    """What a session predicts."""
    path = folder / "answer.npz"
    files = {key: Path(request[key]) for key in ("model", "inputs")}
    assert session.run(request, files, {"outputs": path}, timeout_s=60).status == "ok"
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}


def test_a_session_answers_as_this_machine_does_and_leaves_nothing(
    board: Any, request_of: Build, tmp_path: Path
) -> None:
    request = request_of("int8", "predict")
    here = exchange(transport.Local(), request, tmp_path)
    with session() as remote:
        there = exchange(remote, request, tmp_path)
        (folder,) = board.tmp.iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700  # nobody else's
        sent = {path.name: path.stat().st_ino for path in folder.iterdir()}
        (folder / "outputs.npz").unlink()
        exchange(remote, request_of("int8", "predict"), tmp_path)  # sent once: the same content is the same file
        assert {name: (folder / name).stat().st_ino for name in sent if name != "outputs.npz"}.items() <= sent.items()
    assert list(board.tmp.iterdir()) == []
    assert here.keys() == there.keys()
    for name in here:
        np.testing.assert_array_equal(here[name], there[name])


def test_the_probe_sees_what_is_there(board: Any) -> None:
    with session() as remote:
        host = remote.host
    assert (host.machine, host.python) == (os.uname().machine, sys.version.split()[0])
    assert host.installed == {name: devices.installed(name) for name in ("numpy", "ai-edge-litert")}
    assert host.cpus == len(os.sched_getaffinity(0))
    assert host.free_bytes == pytest.approx(shutil.disk_usage(board.tmp).free, rel=0.1)
    assert not host.emulated
    device = devices.load("board")
    assert isinstance(device, target.Ssh)
    line = target.probe(device)
    assert f"numpy {np.__version__}" in line
    assert "\n" not in line


def test_packages_that_were_sent_come_before_the_devices_own(board: Any, request_of: Build, tmp_path: Path) -> None:
    code = b"raise RuntimeError('sent')"
    with tarfile.open(tmp_path / "packages.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("ai_edge_litert/__init__.py")
        member.size = len(code)
        archive.addfile(member, io.BytesIO(code))
    with session() as remote:
        remote.unpack(tmp_path / "packages.tar.gz")
        with pytest.raises(DeviceError, match="RuntimeError: sent"):
            exchange(remote, request_of("int8", "predict"), tmp_path)


@pytest.mark.usefixtures("crowded")
def test_a_pair_is_measured_there(board: Any, params: Params, images: np.ndarray, monkeypatch: Any) -> None:
    labels = np.arange(len(images)) % 3
    examples = {split: dataset.Arrays({"image": images}, {"label": labels}) for split in ("validation", "test")}
    monkeypatch.setattr(dataset, "load", examples.__getitem__)
    benchmark.benchmark(params, "int8", "board")
    record = read(Measurement, paths.benchmark("int8", "board"))
    assert record.status == "ok"
    assert [window.variant for window in record.windows] == ["float32", "int8", "int8", "float32"]
    assert record.latency is not None
    assert record.ratio is not None
    assert record.environment["machine"] == os.uname().machine
    assert [(score.split, score.n, score.kernels) for score in record.scores] == [
        ("validation", 6, "default"),
        ("test", 6, "default"),
    ]
    with np.load(paths.samples("int8", "board")) as samples:
        assert len(samples.files) == 4


def test_a_refusal_there_is_a_refusal(board: Any, request_of: Build, tmp_path: Path) -> None:
    request = request_of("custom", "predict")
    files = {key: Path(request[key]) for key in ("model", "inputs")}
    with session() as remote:
        there = remote.run(request, files, {"outputs": tmp_path / "answer.npz"}, timeout_s=60)
    here = transport.Local().run(request, files, {"outputs": tmp_path / "answer.npz"}, timeout_s=60)
    assert there.status == here.status == "unsupported"
    assert there.reason == here.reason


@pytest.mark.usefixtures("crowded")
@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "pjrt"])
def test_every_runtime_is_reached(board: Any, pair: Pair, described: Callable[[str], Artifact], runtime: str) -> None:
    request, artifact = pair("float32", "board"), described("float32")
    program = artifact.path.with_suffix(".stablehlo")
    names = {side: [t.name for t in getattr(artifact.card, side)] for side in ("inputs", "outputs")}
    about = Program(file=program.name, sha256=sha256(program), bytes=program.stat().st_size, **names)
    artifact = replace(artifact, card=artifact.card.model_copy(update={"stablehlo": about}))
    device = request.device.model_copy(update={"runtime": runtime})
    splits = {"test": Questions(request.inputs)}
    result = target.measure(replace(request, artifact=artifact, reference=artifact, device=device, splits=splits))
    assert (result.measurement.status, list(board.tmp.iterdir())) == ("ok", [])
    assert result.measurement.environment["runtime"].startswith(KINDS.load(runtime).package)
    here = timed.kept(replace(request, splits=splits), litert.setup(request.device, transport.Local()))["test"]
    np.testing.assert_allclose(result.kept["test"].values, here.values, rtol=0, atol=1e-4)


def test_more_threads_than_the_device_has_are_unsupported(board: Any, pair: Pair) -> None:
    request = pair("int8", "board")
    device = request.device.model_copy(update={"threads": 64})
    with pytest.raises(UnsupportedError, match="64 threads need as many CPUs; board lets a process use"):
        target.measure(Request(request.artifact, request.reference, device, request.protocol, request.inputs))


def test_usable_asks_the_configuration_and_connects_to_nothing(board: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    board.stop()
    device = devices.load("board")
    assert target.usable(device) is None
    strange = device.model_copy(update={"name": "bord"})
    assert target.usable(strange) == (
        f"no host bord in your ssh configuration; add one to {board.config} (Host bord, HostName ..., User ...)"
    )
    board.config.write_text("Host bord\n User pi\n ControlPath ~/%r@%h-%C\nHost *\n Compression yes\n")
    assert target.usable(strange) is None  # a host of its own name, found by its resolver
    assert target.usable(device)
    board.config.write_text("Host *\n User pi\n ControlPath ~/%r@%h-%C\n")
    assert target.usable(strange)  # that is said of every host
    board.config.write_text("Hots board\n")
    assert "Bad configuration option: hots" in (target.usable(device) or "")
    monkeypatch.setenv("PATH", str(board.folder))
    assert target.usable(device) == "ssh is not installed: `apt-get install openssh-client`"


def test_host_keys_are_checked_whatever_the_users_configuration_says(board: Any) -> None:
    text = board.config.read_text()
    board.config.write_text(f"Host *\n StrictHostKeyChecking no\n UpdateHostKeys yes\n{text}")
    command = openssh.connect("board", "true")
    shown = subprocess.run([*command[:1], "-G", *command[1:]], capture_output=True, text=True, check=True).stdout
    assert {"stricthostkeychecking true", "batchmode yes", "updatehostkeys false"} <= set(shown.splitlines())


def locked(name: str) -> list[str]:
    """Every version of a package in the lock, in its order."""
    return re.findall(rf"^{re.escape(name)}==(\S+)", (ROOT / paths.LOCK).read_text(), re.MULTILINE)


def test_what_is_sent_is_what_is_locked(board: Any) -> None:
    old, new = locked("numpy")  # one for Python 3.11, one for all that is newer
    assert wheels.pins(["ai-edge-litert"], PI)["numpy"].version == old
    newer = wheels.Platform("aarch64", "3.13.1", "2.36")
    found = wheels.pins(["ai-edge-litert"], newer)
    assert found["numpy"].version == new
    assert found.keys() >= {"ai-edge-litert", "flatbuffers", "protobuf", "ml-dtypes", "tqdm", "typing-extensions"}
    assert "backports-strenum" not in found  # for Python 3.10
    assert wheels.pins(["jaxlib"], PI).keys() == {"jaxlib", "ml-dtypes", "numpy", "scipy"}
    for name, pin in found.items():
        assert pin.version in locked(name)
        assert pin.line.startswith(f"{name}=={pin.version} --hash=sha256:")
    paths.LOCK.write_text("jaxlib==0.0.1\n")  # of something else in the user's folder
    assert wheels.pins(["jaxlib"], PI)["jaxlib"].version == locked("jaxlib")[0]


def test_wheels_are_for_this_glibc_or_an_older_one() -> None:
    packaging = pytest.importorskip("packaging.tags")
    assert PI.tags[0] == "manylinux_2_36_aarch64"
    assert PI.tags[-2:] == ["manylinux_2_17_aarch64", "manylinux2014_aarch64"]
    here = wheels.Platform(os.uname().machine, sys.version.split()[0], os.confstr("CS_GNU_LIBC_VERSION").split()[1])
    tags = {tag.platform for tag in packaging.sys_tags() if "manylinux" in tag.platform}
    assert set(here.tags) == tags


def test_an_archive_is_fetched_once_with_its_hashes(board: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[list[str], str]] = []

    def run(command: list[str], **_: Any) -> Told:
        calls.append((command, Path(command[command.index("--requirement") + 1]).read_text()))
        site = Path(command[command.index("--target") + 1], "numpy")
        site.mkdir(parents=True)
        (site / "__init__.py").write_text("there = True")
        return Told(0, "", "")

    monkeypatch.setattr(wheels, "told", run)
    packages = wheels.pins(["ai-edge-litert"], PI)
    path = wheels.archive(packages, PI)
    assert path == wheels.archive(packages, PI)
    ((command, requirements),) = calls
    assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} <= set(command)
    assert command[command.index("--python-version") + 1] == "3.11"
    assert requirements.count("--hash=sha256:") > len(requirements.splitlines()) == len(packages)
    assert path.is_relative_to(paths.STATE / "wheels" / "aarch64-glibc2.36-cp311")
    with tarfile.open(path) as archive:
        assert "./numpy/__init__.py" in archive.getnames()


def test_packages_that_cannot_be_had_are_named(board: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "WARNING: slow\nERROR: No matching distribution found for numpy==2\n"
    monkeypatch.setattr(wheels, "told", lambda *_, **__: Told(1, "", said))
    with pytest.raises(DeviceError, match=r"packages for aarch64-glibc2\.36-cp311: pip failed: No matching"):
        wheels.archive(wheels.pins(["jaxlib"], PI), PI)
    assert not list((paths.STATE / "wheels").rglob("*.gz*"))


class Sent:
    """A session that keeps what it is told to send."""

    def __init__(self, **host: Any) -> None:
        usual = {"system": "Linux", "machine": "aarch64", "python": "3.11.2", "libc": "glibc 2.36", "cpus": 4}
        rest = {"load1": 0.0, "free_bytes": 10**9, "emulated": False, "installed": {}}
        self.host = ssh.Host(**{**usual, **rest, **host})
        self.archives: list[Path] = []

    def unpack(self, archive: Path) -> None:
        self.archives.append(archive)


@pytest.fixture
def fetched(board: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    path = tmp_path / "packages.tar.gz"
    path.write_bytes(bytes(1000))
    monkeypatch.setattr(wheels, "archive", lambda *_: path)
    return path


def test_nothing_is_sent_to_a_device_that_has_it(fetched: Path) -> None:
    device: Any = devices.load("board")
    pinned = {name: wheels.pins(["ai-edge-litert"], PI)[name].version for name in ("numpy", "ai-edge-litert")}
    has: Any = Sent(installed=pinned)
    target.equip(has, device)
    assert has.archives == []
    for other in ({"numpy": "1.0"}, {"ai-edge-litert": None}):
        lacks: Any = Sent(installed=pinned | other)
        target.equip(lacks, device)
        assert lacks.archives == [fetched]


@pytest.mark.parametrize(
    ("host", "platform", "reason"),
    [
        ({"free_bytes": 10}, "cpu", "the disk is full there: 0 MiB free, and"),
        ({"libc": "musl 1.2"}, "cpu", "packages can be sent to Linux with glibc alone, and Linux musl 1.2 is there"),
        ({"system": "Darwin", "libc": ""}, "cpu", "Darwin without glibc is there"),
        ({}, "cuda", "for cuda, numpy .* must be installed there"),
    ],
)
def test_why_nothing_can_be_sent(fetched: Path, host: dict[str, Any], platform: str, reason: str) -> None:
    device: Any = devices.load("board").model_copy(update={"platform": platform})
    remote: Any = Sent(installed={"numpy": None, "ai-edge-litert": None}, **host)
    with pytest.raises(DeviceError, match=f"^board: .*{reason}"):
        target.equip(remote, device)


@pytest.mark.parametrize(
    ("machine", "kernel", "cpuinfo", "expected"),
    [
        ("aarch64", "x86_64", "", True),
        ("x86_64", "aarch64", "", True),
        ("aarch64", "aarch64", "", False),
        ("armv7l", "aarch64", "", False),  # 32-bit programs on a 64-bit kernel
        ("i686", "x86_64", "", False),
        ("aarch64", "", "processor\t: 0\nvendor_id\t: GenuineIntel", True),  # before Linux 6.1
        ("x86_64", "", "processor\t: 0\nvendor_id\t: GenuineIntel", False),
        ("aarch64", "", "processor\t: 0\nBogoMIPS\t: 108.00", False),
        ("x86_64", "", "", False),  # no Linux
    ],
)
def test_an_emulator_is_known_by_the_kernel_below(
    monkeypatch: pytest.MonkeyPatch, machine: str, kernel: str, cpuinfo: str, expected: bool
) -> None:
    files = {"/proc/sys/kernel/arch": kernel, "/proc/cpuinfo": cpuinfo}
    monkeypatch.setattr(machine_module, "text", files.__getitem__)
    monkeypatch.setattr(machine_module.platform, "machine", lambda: machine)
    assert machine_module.emulated() is expected


def test_an_emulated_machine_has_memory_and_no_time(pair: Pair, machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = machine.answer
    monkeypatch.setattr(machine, "answer", lambda request: real(request) | {"environment": {"emulated": True}})
    result = litert.measure(pair("int8", "host-cpu"))
    record = result.measurement
    assert record.status == "ok"
    assert (record.latency, record.ratio, record.windows, record.flags) == (None, None, (), ())
    assert (record.energy.kind, record.energy.mj, record.energy.reason) == (
        "none",
        None,
        "emulated: its time means nothing",
    )
    assert record.memory is not None
    assert record.memory.peak_kib == 500
    assert result.samples == {}
    assert len(machine.requests) == 2  # one window each, for its memory
    assert not (paths.STATE / "levels").exists()  # and no level to compare with later


def test_the_catalogs_ssh_devices_hold_no_address() -> None:
    found = [path for path in (ROOT / paths.DEVICES).glob("*.yaml") if "kind: ssh" in path.read_text()]
    assert found
    for path in found:
        assert devices.parse(path).kind == "ssh"
        assert not re.search(r"\d+\.\d+\.\d+\.\d+|@|port", path.read_text(), re.IGNORECASE)
        assert getpass.getuser() not in path.read_text()


# a second architecture: an arm64 root file system under QEMU, behind the same sshd


@pytest.fixture
def arm64(board: Any, request: pytest.FixtureRequest) -> Any:
    """The board, with an Arm processor; its Python has no packages."""
    if not shutil.which("qemu-aarch64"):
        pytest.skip("no qemu-aarch64: `apt-get install qemu-user`")
    given = os.environ.get("TERCET_ARM64_ROOTFS")
    root = Path(given) if given else request.config.cache.mkdir("arm64") / "rootfs"
    scripts = ROOT / "infra" / "arm64"
    if not root.is_dir():
        done = subprocess.run([scripts / "rootfs", root], capture_output=True, text=True, timeout=1800, check=False)
        if done.returncode:
            pytest.skip(f"no arm64 root file system: {done.stderr.strip()}")
    board.stop()
    board.start(f'ForceCommand exec {scripts}/shell {root} "$TMPDIR"')
    device = paths.device("board")
    device.write_text(device.read_text().replace(sys.executable, "python3"))
    return board


@pytest.mark.slow
def test_reference_kernels_answer_bit_by_bit_the_same_on_arm64(arm64: Any, pair: Pair) -> None:
    device: Any = devices.load("board")
    inputs = Path("thousand.npz")
    np.savez(inputs, image=np.random.default_rng(7).random((1000, 8, 8, 1), np.float32))

    def answers(session: transport.Session, variant: str, kernels: str) -> np.ndarray:
        setup = litert.setup(device, session)
        setup = replace(setup, options=setup.options | {"kernels": kernels})
        answered: np.ndarray = judging.kept(pair(variant, "board").artifact, Questions(inputs), setup)[0].values
        return answered

    with target.session_on(device) as session:
        assert session.host.machine == "aarch64"
        assert session.host.emulated
        assert session.host.installed == {"numpy": None, "ai-edge-litert": None}
        target.equip(session, device)
        there = {v: answers(session, v, "reference") for v in ("int8", "float32")}
    here = {v: answers(transport.Local(), v, "reference") for v in ("int8", "float32")}
    np.testing.assert_array_equal(there["int8"], here["int8"])
    np.testing.assert_allclose(there["float32"], here["float32"], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(there["float32"].argmax(1), here["float32"].argmax(1))


@pytest.mark.slow
def test_a_pair_is_measured_on_arm64_but_for_its_time(
    arm64: Any, params: Params, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = dataset.Arrays({"image": images}, {"label": np.arange(len(images)) % 3})
    monkeypatch.setattr(dataset, "load", {"validation": examples, "test": examples}.__getitem__)
    benchmark.benchmark(params, "int8", "board")
    record = read(Measurement, paths.benchmark("int8", "board"))
    assert (record.status, bool(record.memory)) == ("ok", True)
    assert (record.environment["machine"], record.environment["emulated"]) == ("aarch64", True)
    assert f"ai-edge-litert {locked('ai-edge-litert')[0]}" == record.environment["runtime"]
    assert (record.latency, record.ratio, record.energy.mj) == (None, None, None)
    assert [score.split for score in record.scores] == ["validation", "test"]
