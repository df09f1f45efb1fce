"""dvc.yaml, the flow and the code say the same: names, parameters, dependencies, outputs, the direction of imports."""

import ast
import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from tasks.__main__ import STAGES
from tasks.compress.stage import METHODS
from tasks.models import FAMILIES
from tasks.params import Params
from tasks.prepare import SOURCES

ROOT = Path(__file__).resolve().parent.parent
DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
CHOICES = [("compress", "method", METHODS), ("train", "family", FAMILIES), ("prepare", "source", SOURCES)]
OBSERVERS = "tasks/track/"  # watches the training and changes nothing of what it gives


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
            found |= {file for file in (place.with_suffix(".py"), place / "__init__.py") if has_code(file)}
    return found


def has_code(file):
    """Whether there is such a file, with more in it than the docstring of a package."""
    return file.is_file() and len(ast.parse(file.read_text()).body) > 1


def closure(path):
    seen, waiting = set(), {path}
    while waiting:
        file = waiting.pop()
        relative = file.relative_to(ROOT).as_posix()
        if file not in seen and not relative.startswith(OBSERVERS):
            seen.add(file)
            waiting |= imports(file)
    return {file.relative_to(ROOT).as_posix() for file in seen}


def module_file(stage):
    return ROOT / (STAGES[stage].partition(":")[0].replace(".", "/") + ".py")


def test_every_stage_is_in_the_graph_and_the_other_way_round():
    assert set(DVC) == set(STAGES)
    for stage in STAGES:
        words = shlex.split(definition(stage)["cmd"])
        assert words[:4] == ["python", "-m", "tasks", stage]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_all_the_code_it_imports(stage):
    declared = [dep for dep in definition(stage)["deps"] if dep.startswith("tasks")]
    patterns = [re.escape(re.sub(r"\$\{[^}]*\}", "*", dep)).replace(r"\*", "[a-z_]+") for dep in declared]
    missing = [f for f in closure(module_file(stage)) if not any(re.match(rf"{p}(/.+)?$", f) for p in patterns)]
    assert not missing, f"{stage}: add to deps in dvc.yaml: {missing}"
    for dep in declared:
        if "$" not in dep:
            assert (ROOT / dep).exists(), f"{stage}: {dep} does not exist"


@pytest.mark.parametrize(
    ("stage", "key", "registry"), CHOICES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_stage_depends_on_the_code_of_what_params_choose(stage, key, registry):
    for name, target in registry.items():
        declared = [re.sub(rf"\$\{{[\w.]*{key}\}}", name, dep) for dep in definition(stage)["deps"]]
        file = ROOT / (target.partition(":")[0].replace(".", "/") + ".py")
        missing = [f for f in closure(file) if not any(f == dep or f.startswith(f"{dep}/") for dep in declared)]
        assert not missing, f"{stage} with {key} {name}: add to deps in dvc.yaml: {missing}"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_reads_no_parameter_that_it_does_not_depend_on(stage):
    declared = {str(param).split(".")[0] for param in definition(stage).get("params", [])}
    attributes = re.findall(r"(?<![\w.])params\.([a-z]+)\b", module_file(stage).read_text())
    read = set(attributes) & set(Params.model_fields)
    assert read <= declared, f"{stage} reads {read}, dvc.yaml declares {declared}"


def test_imports_point_one_way():
    for file in (ROOT / "tasks").rglob("*.py"):
        assert not {f for f in imports(file) if "flows" in f.parts}, f"{file} imports from flows"


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
    from tasks import devices, params

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
