"""dvc.yaml, the flow and the code say the same: names, parameters, dependencies, outputs, the direction of imports."""

import ast
import graphlib
import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from flows.stale import LOOKED_AT
from tasks import closure
from tasks.params import Params
from tasks.stages import GIVEN, STAGES

ROOT = Path(__file__).resolve().parent.parent
DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]

NO_STAGE = (  # the door, commands and their views, and the search, which names what it keeps by its code itself
    "tasks/dvc_lock.py", "tasks/report/markdown.py", "tasks/report/changes.py", "tasks/search/",
    "tasks/checkpoints/write.py", "tasks/decoder/kernels/__main__.py",
    "tasks/quantize/sensitivity.py", "tasks/bench/speculation.py", "tasks/records/speculation.py", "tasks/sign/",
    "tasks/bench/candidates.py", "tasks/serve/", "tasks/gate/", "tasks/records/gate.py",
    "tasks/ship/delivery.py", "tasks/ship/device/", "tasks/ship/link.py", "tasks/ship/targets.py",
    "tasks/services/",
)  # fmt: skip


def definition(stage):
    return DVC[stage].get("do", DVC[stage])


def imports(path):
    """The project's modules that a file imports, at any depth of its functions, as paths."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ("tasks", "flows"):
            names = [f"{node.module}.{alias.name}" for alias in node.names] + [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.split(".")[0] in ("tasks", "flows")]
        else:
            continue
        for name in names:
            place = ROOT / name.replace(".", "/")
            found |= {file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()}
    return found


def module_file(stage):
    return ROOT / (STAGES[stage].partition(":")[0].replace(".", "/") + ".py")


def test_every_stage_is_in_the_graph_and_the_other_way_round():
    assert set(DVC) == set(STAGES)
    for stage in STAGES:
        words = shlex.split(definition(stage)["cmd"])
        assert words[:3] == ["tercet", "stage", stage]


def test_dvc_and_the_stages_say_the_same_of_the_files_that_are_given():
    needs = {stage: [str(dep) for dep in definition(stage).get("deps", [])] for stage in STAGES}
    told = {name: [dep for dep in deps if dep.startswith("out/sources/")] for name, deps in needs.items()}
    assert {name: deps for name, deps in told.items() if deps} == {
        name: [f"out/sources/{kind}.json"] for name, kind in GIVEN.items()
    }


def read_of_params(path):
    """The sections of params.yaml that a file's functions read of all `params` that they are given."""
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    given = [each for each in functions if "params: Params" in ast.unparse(each.args)]
    nodes = [node for function in given for node in ast.walk(function) if isinstance(node, ast.Attribute)]
    return {node.attr for node in nodes if ast.unparse(node.value) == "params"} & set(Params.model_fields)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_reads_no_parameter_that_it_does_not_depend_on(stage):
    """Neither in its own file nor in the rooms that it hands `params` to."""
    declared = {str(param).split(".")[0] for param in definition(stage).get("params", [])}
    run = closure.Reader().closure([STAGES[stage].partition(":")[0]]).files
    files = {module_file(stage), *(ROOT / name for name in run if name.endswith(".py"))}
    read = set().union(*map(read_of_params, files))
    assert read <= declared, f"{stage} reads {read}, dvc.yaml declares {declared}"


def test_a_stage_depends_on_code_by_its_fingerprint_alone():
    for stage in DVC:
        deps = definition(stage).get("deps", [])
        fingerprints = [dep for dep in deps if dep.startswith(f"out/code/{stage}.")]
        assert len(fingerprints) == (0 if stage in LOOKED_AT else 1), stage
        assert not [dep for dep in deps if dep.startswith("tasks") and stage != "code"], stage


def test_every_file_is_run_by_a_stage_or_known_not_to_shape_a_result():
    """What no import shows (a template, a module that another process runs) would be missing here, and is declared."""
    reader, files = closure.Reader(), [path for path in (ROOT / "tasks").rglob("*") if path.suffix in (".py", ".j2")]
    members = {name for path in files if path.suffix == ".py" for row in reader.source(path).registries for name in row}
    run = {name for stage in STAGES for name in reader.closure([STAGES[stage].partition(":")[0]], members).files}
    for path in files:
        name = path.relative_to(ROOT).as_posix()
        left = (*(module.replace(".", "/") for module in closure.ASIDE), *NO_STAGE)
        if path.name != "__init__.py":
            assert (name in run) != name.startswith(left), f"{name}: in a closure, or in ASIDE or NO_STAGE"


def test_what_stands_aside_is_there():
    for name in closure.ASIDE:
        assert find_spec(name), name


def test_imports_point_one_way():
    for file in (ROOT / "tasks").rglob("*.py"):
        assert not {f for f in imports(file) if "flows" in f.parts}, f"{file} imports from flows"


def test_no_modules_import_each_other_in_a_circle():
    """Within functions neither; only a package itself may name the modules in it that import from it."""
    needs = {}
    for file in (f for folder in ("tasks", "flows") for f in (ROOT / folder).rglob("*.py")):
        own = file.parent if file.name == "__init__.py" else file
        needs[file] = {other for other in imports(file) if other != file and own not in other.parents}
    graphlib.TopologicalSorter(needs).prepare()


def test_no_benchmarks_import_each_other_in_a_circle():
    """They lie beside each other, and are called by their names alone."""
    files = {file.stem: file for file in (ROOT / "benchmarks").glob("*.py")}
    needs = {}
    for name, file in files.items():
        nodes = list(ast.walk(ast.parse(file.read_text())))
        taken = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
        taken |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        needs[name] = taken & set(files)
    graphlib.TopologicalSorter(needs).prepare()


def test_no_room_needs_one_that_needs_it():
    rooms = {folder.name for folder in (ROOT / "tasks").iterdir() if (folder / "__init__.py").is_file()}
    needs: dict[str, set[str]] = {room: set() for room in rooms}
    for room in rooms:
        for file in (ROOT / "tasks" / room).rglob("*.py"):
            needs[room] |= {path.relative_to(ROOT / "tasks").parts[0] for path in imports(file)} & rooms - {room}
    graphlib.TopologicalSorter(needs).prepare()


def test_the_ground_stands_on_no_room():
    ground = {file for file in (ROOT / "tasks").glob("*.py") if file.name != "__main__.py"}
    for file in ground:
        assert not {path for path in imports(file) if path.parent != ROOT / "tasks"}, file


def test_no_stage_imports_another():
    stages = {module_file(stage) for stage in STAGES}
    for file in stages:
        assert not (imports(file) & stages) - {file}, f"{file} imports a stage"


def test_only_track_imports_mlflow_and_only_flows_import_prefect_and_dvc():
    for file in (ROOT / "tasks").rglob("*.py"):
        names = {
            (node.module or "").split(".")[0] if isinstance(node, ast.ImportFrom) else alias.name.split(".")[0]
            for node in ast.walk(ast.parse(file.read_text()))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        assert not names & {"prefect", "dvc"}, file
        assert "mlflow" not in names or file.parent == ROOT / "tasks/track", file


def test_registries_name_functions_that_exist():
    for file in (ROOT / "tasks").rglob("*.py"):
        for target in re.findall(r'"(tasks(?:\.\w+)+:\w+)"', file.read_text()):
            module, _, function = target.partition(":")
            spec = find_spec(module)
            assert spec, target
            assert re.search(rf"^(def {function}\(|{function} = )", Path(spec.origin).read_text(), re.MULTILINE), target


def test_no_two_layers_are_registered_by_one_name():
    """Keras keeps the last one: what a saved model comes back as would hang from what is imported first."""
    registered = re.compile(
        r"^@keras\.saving\.register_keras_serializable\(.*\)\n(?:@.*\n)*(?:class|def) (\w+)", re.MULTILINE
    )
    found = [name for file in (ROOT / "tasks").rglob("*.py") for name in registered.findall(file.read_text())]
    assert len(found) > 5
    assert sorted(set(found)) == sorted(found)


def test_files_and_functions_stay_small():
    for folder in ("tasks", "flows", "tests", "benchmarks"):
        for file in (ROOT / folder).rglob("*.py"):
            text = file.read_text()
            assert text.count("\n") < 400, file
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    assert node.end_lineno - node.lineno < 60, f"{file}: {node.name}"


@pytest.mark.parametrize("preset", sorted((ROOT / "infra" / "presets").glob("*.yaml")), ids=lambda path: path.stem)
def test_presets_are_valid_and_bear_their_names(preset, monkeypatch):
    from tasks import params
    from tasks.bench import devices

    monkeypatch.chdir(ROOT)
    loaded = params.load(preset)
    assert loaded.name == preset.stem
    for device in loaded.benchmark.devices:
        assert devices.load(device).description


def test_the_project_starts_from_its_default_preset():
    assert (ROOT / "params.yaml").read_text() == (ROOT / "infra" / "presets" / "digits-cnn.yaml").read_text()


def test_the_lock_names_no_registry():
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    assert lock.count("--hash=sha256:") > lock.count("==")


def test_a_python_of_ours_looks_for_no_module_in_the_users_folder():
    """With -I or -P it does not; else a user's own tasks.py or random.py would be taken for ours or a library's."""
    for file in [path for folder in ("tasks", "flows") for path in (ROOT / folder).rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.List) and node.elts and ast.unparse(node.elts[0]) == "sys.executable":
                assert ast.unparse(node.elts[1]) in ("'-I'", "'-P'"), f"{file}:{node.lineno}"


def test_real_data_is_found_by_one_mechanism():
    """The fixture `data` of conftest.py: who reads the environment alone finds none where it is not set, as in CI."""
    own = {ROOT / "tests" / "conftest.py", Path(__file__)}
    for file in set((ROOT / "tests").rglob("*.py")) - own:
        assert "TERCET_DATA" not in file.read_text(encoding="utf-8"), file
