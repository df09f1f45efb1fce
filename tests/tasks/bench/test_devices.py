import configparser
import json
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tasks import paths
from tasks.bench import devices
from tasks.bench.device import Processor
from tasks.bench.kinds import ethos_u
from tasks.errors import ParamsError
from tasks.params import Params
from tasks.stages.fingerprint import fingerprint

ROOT = Path(__file__).resolve().parents[3]
LITERT = "kind: litert\ndescription: d\nthreads: 1\nwatts_per_core: [1, 4, 12]\n"
ETHOS = (
    "kind: ethos-u\ndescription: d\naccelerator: ethos-u55-128\nsystem: Ethos_U55_Deep_Embedded\nmemory: Sram_Only\n"
)


@pytest.fixture
def catalog(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two devices and no others; what is published of devices stays what comes with Tercet."""
    real = paths.packaged
    monkeypatch.setattr(
        paths, "packaged", lambda place: project / "with Tercet" / place if place == paths.DEVICES else real(place)
    )
    folder = project / paths.DEVICES
    folder.mkdir(parents=True)
    (folder / "cpu.yaml").write_text(LITERT)
    (folder / "npu.yaml").write_text(ETHOS)
    return folder


def test_the_catalog_that_is_shipped_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found = {name: devices.load(name) for name in devices.names()}
    assert {"host-cpu", "host-cpu-2t", "ethos-u55-128", "ethos-u85-256"} <= found.keys()
    assert all(device.name == name for name, device in found.items())
    assert found["host-cpu-2t"].threads == 2


def test_vela_knows_every_system_and_memory_mode() -> None:
    ini = configparser.ConfigParser()
    ini.read(distribution("ethos-u-vela").locate_file("ethosu/config_files/Arm/vela.ini"))
    for prefix, table in {"System_Config": ethos_u.SYSTEMS, "Memory_Mode": ethos_u.MEMORY_MODES}.items():
        known = {section.partition(".")[2] for section in ini.sections() if section.startswith(prefix)}
        assert {name for names in table.values() for name in names} == known


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("cpu", LITERT.replace("threads: 1", "threads: 0"), "infra/devices/cpu.yaml: threads: received 0; .*"),
        ("cpu", LITERT.replace("threads", "thread"), "infra/devices/cpu.yaml: thread: unknown key; .*'threads'.*"),
        ("cpu", LITERT + "host: 10.0.0.1\n", "infra/devices/cpu.yaml: host: unknown key; .*"),
        ("cpu", LITERT.replace("[1, 4, 12]", "[4, 1, 12]"), ".*watts_per_core: low, nominal, high must rise.*"),
        ("cpu", LITERT.replace("litert", "litrt"), ".*kind: received 'litrt'; .*did you mean 'litert'.*"),
        ("npu", ETHOS.replace("u55-128", "u55-127"), ".*accelerator: received 'ethos-u55-127'; .*did you mean.*"),
        ("npu", ETHOS.replace("u55-128", "u85-256"), ".*system: received 'Ethos_U55_Deep_Embedded'; .*Ethos_U85.*"),
        ("npu", ETHOS.replace("Sram_Only", "Dedicated_Sram"), ".*memory: received 'Dedicated_Sram'; .*"),
        ("npu", "- a\n", ".*a mapping of sections is expected.*"),
    ],
)
def test_a_wrong_file_gives_one_line(catalog: Path, name: str, text: str, message: str) -> None:
    (catalog / f"{name}.yaml").write_text(text)
    with pytest.raises(ParamsError, match=f"^{message}$"):
        devices.load(name)


def test_a_projects_own_file_comes_before_the_catalogs(project: Path) -> None:
    theirs = devices.load("host-cpu")
    assert isinstance(theirs, Processor)
    (project / "infra/devices").mkdir(parents=True)
    (project / "infra/devices/host-cpu.yaml").write_text(LITERT)
    assert devices.load("host-cpu").description == "d"
    (project / "devices").mkdir()
    (project / "devices/host-cpu.yaml").write_text(LITERT.replace("description: d", "description: own"))
    (project / "devices/mine.yaml").write_text(LITERT)
    assert devices.load("host-cpu").description == "own"
    assert {"mine", "host-cpu", "ethos-u55-128"} <= set(devices.names())


def test_an_unknown_device_is_answered_with_a_near_match(catalog: Path) -> None:
    with pytest.raises(ParamsError, match=r"^device: received 'cpv'; allowed: cpu, npu\. did you mean 'cpu'\?$"):
        devices.load("cpv")


def test_a_processors_fingerprint_is_its_kind_and_the_runtimes_version(catalog: Path) -> None:
    found = devices.fingerprint(devices.load("cpu"))
    assert found["ai-edge-litert"] == distribution("ai-edge-litert").version
    assert found["python"] == f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert (
        found["machine"] == subprocess.run(["uname", "-m"], capture_output=True, text=True, check=True).stdout.strip()
    )
    assert found == devices.fingerprint(devices.load("cpu"))
    (catalog / "cpu.yaml").write_text(
        "# what people read is not in it\n" + LITERT.replace("description: d", "description: e")
    )
    assert found == devices.fingerprint(devices.load("cpu"))
    (catalog / "cpu.yaml").write_text(LITERT.replace("[1, 4, 12]", "[1, 5, 12]"))
    assert found != devices.fingerprint(devices.load("cpu"))


def test_an_estimates_fingerprint_is_the_compilers_version_and_options(catalog: Path) -> None:
    found = devices.fingerprint(devices.load("npu"))
    assert found["ethos-u-vela"] == distribution("ethos-u-vela").version
    assert found["device"]["accelerator"] == "ethos-u55-128"
    assert "machine" not in found  # another computer estimates the same


def test_a_device_without_its_package_says_what_to_install(catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert devices.usable(devices.load("npu")) is None
    monkeypatch.setattr(devices, "installed", lambda package: None)
    reason = devices.usable(devices.load("npu"))
    assert reason == "ethos-u-vela is not installed: `pip install ethos-u-vela`"


def test_more_threads_than_processors_are_refused(catalog: Path) -> None:
    (catalog / "cpu.yaml").write_text(LITERT.replace("threads: 1", "threads: 64"))
    reason = devices.usable(devices.load("cpu"))
    assert reason is not None
    assert reason.startswith("64 threads need as many CPUs")


def test_reading_the_catalog_imports_nothing_heavy() -> None:
    code = (
        "import sys; from tasks.bench import devices; [devices.fingerprint(devices.load(n)) for n in devices.names()];"
        "print(*{'tensorflow', 'ai_edge_litert', 'ethosu', 'scipy', 'mlflow', 'prefect', 'dvc'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.strip() == ""


def test_fingerprint_writes_only_what_changed(catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = Params.model_construct()
    fingerprint(params, "npu")
    path = paths.fingerprint("npu")
    assert json.loads(path.read_text()) == devices.fingerprint(devices.load("npu"))
    before = path.stat().st_ino
    fingerprint(params, "npu")
    assert path.stat().st_ino == before
    monkeypatch.setattr(devices, "installed", lambda package: "6.0")
    fingerprint(params, "npu")
    assert json.loads(path.read_text())["ethos-u-vela"] == "6.0"
