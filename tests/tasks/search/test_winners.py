"""New entries in a user's params.yaml: his comments, order and spacing stay, and a wrong file is never written."""

import shutil
from pathlib import Path

import pytest
import yaml

from tasks import params, paths
from tasks.errors import ParamsError
from tasks.search import winners

ROOT = Path(__file__).resolve().parents[3]
MODEL = {"parent": "baseline", "method": "prune", "sparsity": 0.9, "epochs": 3}
VARIANT = {"model": "found-prune-1", "scheme": "int8"}
COMPRESS = {"found-prune-1": (MODEL, "by tercet search")}
QUANTIZE = {"found-prune-1-int8": (VARIANT, "by tercet search: quality 0.97")}
PRESETS = sorted(path.stem for path in (ROOT / "infra" / "presets").glob("*.yaml"))


@pytest.fixture(params=PRESETS)
def preset(request, project):
    shutil.copy(ROOT / "infra" / "presets" / f"{request.param}.yaml", paths.PARAMS)
    return paths.PARAMS.read_text()


def test_the_users_lines_stay_and_the_new_ones_are_valid(preset):
    new = winners.write(COMPRESS, QUANTIZE)
    text = paths.PARAMS.read_text()
    assert new == ["found-prune-1", "found-prune-1-int8"]
    added = [line for line in text.splitlines() if line.lstrip().startswith("found-")]
    assert len(added) == 2
    if "compress: {}" not in preset:
        assert [line for line in text.splitlines() if line not in added] == preset.splitlines()
    found = params.load()
    assert found.compress["found-prune-1"].sparsity == 0.9
    assert list(found.quantize)[-1] == "found-prune-1-int8"


def test_a_second_time_nothing_is_added(preset):
    winners.write(COMPRESS, QUANTIZE)
    text = paths.PARAMS.read_bytes()
    assert winners.write(COMPRESS, QUANTIZE) == []
    assert paths.PARAMS.read_bytes() == text


LAYOUTS = {
    "empty": "compress: {} # none yet\nquantize:\n  fp32: {model: baseline}\n",
    "nested": "compress:\n    a:\n        parent: baseline\n        layers:\n            - 1\n            - 2\n"
    "    # after\n\nquantize:\n    fp32:\n        model: baseline # why\n",
    "flow": "compress: {a: {b: 1}}\nquantize: {fp32: {model: baseline},}\n",
    "flow with a comment": "compress: {\n  a: {b: 1} # one\n}\nquantize: {fp32: {model: baseline}}\n",
    "two lines": "compress:\n  a: {b: 1,\n      c: 2}\nquantize:\n  fp32: {model: baseline}",
    "alias": "compress:\n  a: &a {b: 1}\n  c: *a\nquantize:\n  fp32: {model: baseline}\n",
    "windows": "compress:\r\n  a: {b: 1}\r\nquantize:\r\n  fp32: {model: baseline}\r\n",
    "last of all": "quantize:\n  fp32: {model: baseline}\ncompress:\n  a: {b: 1}\n\n\n# the end\n",
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("section", ["compress", "quantize"])
def test_every_layout_takes_one_more(layout, section):
    text = LAYOUTS[layout]
    before, after = yaml.safe_load(text), winners.insert(text, section, "found-x", {"parent": "y", "n": [1]}, "why")
    assert yaml.safe_load(after) == {**before, section: {**before[section], "found-x": {"parent": "y", "n": [1]}}}
    left = after
    for word in text.replace("{}", "").replace("}", " ").split():
        assert word in left  # comments among them, in their order
        left = left[left.index(word) + len(word) :]
    assert ("\r\n" in text) == ("\r\n" in after)
    assert after.count("\n") - after.count("\r\n") == (0 if "\r\n" in text else after.count("\n"))


def test_an_entry_that_was_changed_by_hand_is_told(project):
    shutil.copy(ROOT / "infra" / "presets" / "digits-cnn.yaml", paths.PARAMS)
    winners.write(COMPRESS, QUANTIZE)
    text = paths.PARAMS.read_text().replace("sparsity: 0.9,", "sparsity: 0.91,")
    paths.PARAMS.write_text(text)
    with pytest.raises(ParamsError, match=r"compress\.found-prune-1 was changed by hand"):
        winners.write(COMPRESS, QUANTIZE)
    assert paths.PARAMS.read_text() == text


def test_what_would_not_be_valid_is_not_written(project):
    shutil.copy(ROOT / "infra" / "presets" / "digits-cnn.yaml", paths.PARAMS)
    text = paths.PARAMS.read_bytes()
    with pytest.raises(ParamsError, match="model"):
        winners.write({}, QUANTIZE)  # its model is nowhere
    assert paths.PARAMS.read_bytes() == text
    assert [path.name for path in project.iterdir()] == ["params.yaml"]
