"""The stage `yardstick`: from a table on disk to a score that a variant's is comparable with."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from tasks import paths
from tasks.errors import InvalidError, ParamsError
from tasks.examples import dataset
from tasks.examples.dataset import LABEL
from tasks.members import YARDSTICKS, YardstickMethod
from tasks.params import Params, check
from tasks.params.yardstick import NearestClassMean
from tasks.records import YardstickScores, read
from tasks.stages.prepare import prepare
from tasks.stages.yardstick import yardstick
from tests import least

DATA = {"source": "csv", "path": "raw.csv", "target": "kind"}
SECTION = {"line": {"method": "logistic"}, "mean": {"method": "nearest-class-mean"}}


@pytest.fixture
def prepared(project: Path) -> Params:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 2))
    kind = (x @ [1, -2] + rng.normal(0, 0.5, 400)) > 0
    port = rng.choice(["S", "C"], 400)
    lines = [f"{a:.6f},{b:.6f},{p},{int(k)}" for (a, b), p, k in zip(x, port, kind, strict=True)]
    Path("raw.csv").write_text("\n".join(["a,b,port,kind", *lines]))
    params = least.params(DATA, yardstick=SECTION)
    prepare(params)
    return params


def test_a_yardstick_is_scored_on_the_examples_of_the_variants(prepared: Params) -> None:
    yardstick(prepared, "line")
    found = read(YardstickScores, paths.yardstick("line"))
    assert (found.name, found.method, [score.split for score in found.scores]) == (
        "line", "logistic", ["validation", "test"],
    )  # fmt: skip
    test, train = dataset.load("test"), dataset.load("train")

    def wide(examples: Any) -> Any:
        hot = np.eye(5)[examples.inputs["categories"][:, 0]]
        return np.c_[examples.inputs["numbers"], hot]

    scaler = StandardScaler().fit(wide(train))
    model = LogisticRegression(max_iter=1000).fit(scaler.transform(wide(train)), train.targets[LABEL])
    known = model.predict(scaler.transform(wide(test)))
    score = found.on("test")
    assert score.metric == "accuracy"
    assert score.value == pytest.approx((known == test.targets[LABEL]).mean(), abs=0.013)
    assert score.low < score.value < score.high


def test_answers_of_another_number_are_refused(prepared: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    short = YardstickMethod(
        schema=NearestClassMean, predict=lambda train, judged, seed: np.zeros((3, 2)), tasks=("classification",)
    )
    monkeypatch.setattr(YARDSTICKS, "load", lambda name: short)
    with pytest.raises(InvalidError, match="yardstick mean: 3 answers to 32 validation examples"):
        yardstick(prepared, "mean")
    assert not paths.yardstick("mean").exists()


def test_one_is_given_the_examples_as_they_came_where_it_asks(
    prepared: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def predict(train: Any, judged: Any, seed: int) -> Any:
        seen.extend([train.inputs["categories"], judged.inputs["categories"]])
        return np.zeros((len(judged), 2))

    raw = YardstickMethod(schema=NearestClassMean, predict=predict, tasks=("classification",), raw=True)
    monkeypatch.setattr(YARDSTICKS, "load", lambda name: raw)
    yardstick(prepared, "mean")
    assert {str(value) for each in seen for value in each[:, 0]} == {"S", "C"}


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"t": {"method": "tree"}}, "yardstick.t.method: received 'tree'; allowed: "),
        ({"t": {"method": "trees", "depht": 3}}, "yardstick.t.depht: unknown key; "),
        ({"t": {"trees": 3}}, "yardstick.t.method: this key is missing"),
        ({"T": {"method": "trees"}}, "yardstick.T"),
    ],
)
def test_a_wrong_section_is_one_line(section: dict[str, Any], said: str) -> None:
    given = {**least.SETTINGS, "prepare": DATA, "yardstick": section}
    with pytest.raises(ParamsError) as caught:
        check(Params, given, Path("params.yaml"))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_yardstick_of_another_task_is_refused_before_anything_runs() -> None:
    given = {**least.SETTINGS, "prepare": DATA | {"task": "regression"}, "yardstick": {"line": {"method": "logistic"}}}
    with pytest.raises(ParamsError, match=r"yardstick.line.method: 'logistic' is for classification; received prep"):
        check(Params, given, Path("params.yaml"))
