"""What a run is given from outside is looked for before anything heavy is imported, and its lack is one line."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from flows import given
from tasks import paths
from tasks.errors import DataError, ModelError
from tests import least

ROOT = Path(__file__).resolve().parents[2]
IDX = [f"{split}-{part}-ubyte" for split in ("train", "t10k") for part in ("images-idx3", "labels-idx1")]


def settings(prepare, model=None, compress=None):
    return least.params(prepare, model=model or {"family": "cnn"}, compress=compress or {})


LACKING = {
    "idx": ({"source": "idx", "path": "data/mnist"}, ["data/mnist: no such folder", *IDX, "cvdf-datasets/mnist"]),
    "npz": ({"source": "npz", "path": "data"}, ["data/train.npz: no such file", "np.savez('data/train.npz'"]),
    "tsv": ({"source": "tsv", "path": "data/sst2"}, ["data/sst2/train.tsv: no such file", "dev.tsv", "SST-2.zip"]),
}


@pytest.mark.parametrize(("prepare", "said"), LACKING.values(), ids=LACKING)
def test_missing_data_are_told_with_the_key_the_path_and_where_they_are_from(project, prepare, said):
    with pytest.raises(DataError) as caught:
        given.check(settings(prepare))
    text = str(caught.value)
    assert "prepare.path" in text
    assert "\n" not in text
    assert [part for part in said if part not in text] == []


def test_one_of_four_files_is_missed(project):
    (project / "mnist").mkdir()
    for name in IDX[:3]:
        (project / "mnist" / f"{name}.gz").touch()
    with pytest.raises(DataError, match=f"mnist: no file {IDX[3]}, with or without .gz"):
        given.check(settings({"source": "idx", "path": "mnist"}))
    (project / "mnist" / IDX[3]).touch()
    given.check(settings({"source": "idx", "path": "mnist"}))


STUDENT = {"method": "distill", "parent": "baseline", "teacher": "baseline", "epochs": 1}
MODELS = {
    "model": ({"family": "file", "source": "own.h5"}, {}),
    "compress.other": (None, {"other": {"method": "external", "parent": "baseline", "source": "own.h5"}}),
    "compress.student.model": (None, {"student": {**STUDENT, "model": {"family": "file", "source": "own.h5"}}}),
}


@pytest.mark.parametrize(("key", "entry"), MODELS.items())
def test_missing_models_are_told_by_their_key(project, key, entry):
    with pytest.raises(DataError, match=rf"^{key}\.source: own\.h5: no such file or folder$"):
        given.check(settings({"source": "digits"}, *entry))
    (project / "own.h5").touch()
    given.check(settings({"source": "digits"}, *entry))


def test_a_missing_module_of_layers_is_told(project):
    (project / "own.h5").touch()
    with pytest.raises(ModelError, match="no Python module 'my_layers'"):
        given.check(settings({"source": "digits"}, {"family": "file", "source": "own.h5", "layers": "my_layers"}))


MAIN = """
import sys
from flows import cli
code = cli.main()
print(code, sorted({"tensorflow", "tf_keras", "dvc", "mlflow", "sklearn"} & set(sys.modules)))
"""


@pytest.mark.parametrize("command", ["run", "search"])
def test_a_command_tells_it_first_and_imports_nothing_heavy_for_it(project, command):
    paths.DEVICES.parent.parent.mkdir(exist_ok=True)
    (project / "infra").symlink_to(ROOT / "infra")
    (project / "dvc.yaml").write_text("# tercet stage\n")
    values = yaml.safe_load((ROOT / "infra/presets/mnist-cnn.yaml").read_text())
    values["search"] = {"objectives": [{"of": "quality"}, {"of": "gzip_bytes"}]}
    paths.PARAMS.write_text(yaml.safe_dump(values))
    words = [sys.executable, "-c", MAIN, command]
    found = subprocess.run(
        words, env={"PYTHONPATH": str(ROOT), "PATH": ""}, capture_output=True, text=True, timeout=120
    )
    assert found.stdout == "1 []\n"
    (line,) = found.stderr.splitlines()
    assert line.startswith("tercet: data/mnist: no such folder; prepare.path names")


def test_use_says_what_is_lacking(project):
    from flows.presets import use

    (project / "infra").symlink_to(ROOT / "infra")
    said = use("text-bow", force=False)
    assert said.startswith("params.yaml is now the preset text-bow; `tercet run` runs it, once its data are there\n")
    assert "data/sst2/train.tsv: no such file; prepare.path" in said
