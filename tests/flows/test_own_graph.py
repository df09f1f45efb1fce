"""A project keeps its own dvc.yaml: what it may add, and what is told where it is another Tercet's."""

from pathlib import Path

import pytest

from flows import graph
from tasks.errors import ParamsError

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "dvc.yaml").read_text()
CODE = "      - out/code/prepare.json\n"
ALLOWED = {
    "a stage more": ("\nmetrics:", "\n  own:\n    cmd: echo mine > mine.txt\n    outs: [mine.txt]\n\nmetrics:"),
    "a dependency more": (CODE, f"      - mine.csv\n{CODE}"),
    "an output kept where it is": ("outs: [out/data]", "outs: [out/data: {persist: true}]"),
}
REFUSED = {  # what an earlier Tercet may have written, or what is no graph
    "another command": ("tercet stage train", "python -m tasks train", "train", "cmd: tercet stage train"),
    "a dependency less": (CODE, "", "prepare", "deps: out/code/prepare.json"),
    "an output less": ("out/artifacts/${key}", "out/artifact/${key}", "quantize", "outs: out/artifacts/${key}"),
    "a parameter less": ("params: [train, model]", "params: [train]", "train", "params: model"),
    "a stage less": ("  evaluate:", "  evaluated:", "evaluate", "cmd: tercet stage evaluate ${key}"),
    "no value of what params.yaml may lack": ("  - yardstick: {}", "  - other: {}", "vars", "[{'yardstick': {}}]"),
    "a list of stages": ("stages:", "stages: []\nothers:", "code", "cmd: tercet stage code"),
    "a stage that is a word": ("  report:\n", "  report: no\n  rest:\n", "report", "cmd: tercet stage report"),
}


@pytest.mark.parametrize(("old", "new"), [("", ""), *ALLOWED.values()], ids=["as it is", *ALLOWED])
def test_a_project_may_add_to_its_graph(old, new, project):
    assert old in TEXT
    (project / "dvc.yaml").write_text(TEXT.replace(old, new) if old else TEXT)
    graph.check()


@pytest.mark.parametrize(("old", "new", "stage", "wanted"), REFUSED.values(), ids=REFUSED)
def test_a_graph_of_another_tercet_is_told_in_one_line(old, new, stage, wanted, project):
    assert old in TEXT
    (project / "dvc.yaml").write_text(TEXT.replace(old, new))
    with pytest.raises(ParamsError) as caught:
        graph.check()
    said = str(caught.value)
    assert said.startswith(f"dvc.yaml: {stage}: this Tercet wants `{wanted}`")
    assert said.endswith(f"; `tercet update` brings it, or take it from {ROOT / 'dvc.yaml'}")
    assert "\n" not in said
