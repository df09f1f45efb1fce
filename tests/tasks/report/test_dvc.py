"""What DVC's own commands show of a report: `metrics diff`, `exp show`, `plots show`."""

import csv
import io
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from dvc.cli import main
from dvc.repo import Repo

from tasks import paths
from tasks.params import Params
from tasks.records import Comparison, Measurement, read
from tasks.report import tables
from tasks.report.advice import Advised
from tasks.stages import report
from tests.phases import changed
from tests.tasks.report.conftest import make_params, write_study

ROOT = Path(__file__).resolve().parents[3]
CHAMPION, DEVICES = "pruned80-clustered16-int8", ["host-cpu", "host-cpu-2t", "ethos-u55-128", "ethos-u85-256"]
COLUMNS = 7  # of a device, at most: the variant and its figures
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # DVC's, of pygtrie


def git(*words: str) -> None:
    who = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *who, *words], timeout=60, check=True, capture_output=True)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project of two commits: behind the first, a run that trained longer and has an estimate of half the time."""
    folder, ours = tmp_path_factory.mktemp("project"), yaml.safe_load((ROOT / "dvc.yaml").read_text())
    stage = {"cmd": "true", "params": ["train", "quantize"], "outs": ["out/report"]}
    shown = {key: ours[key] for key in ("metrics", "plots")}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DVC_SITE_CACHE_DIR", str(folder / ".site"))
        write_study()
        (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"report": stage}, **shown}))
        git("init", "--quiet")
        Repo.init(".").close()
        settings = make_params()
        for epochs in (5, 9):
            asked = settings.model_dump(mode="json", exclude_unset=True)
            paths.PARAMS.write_text(yaml.safe_dump({**asked, "train": {"epochs": epochs}}))
            report.report(settings)
            assert main(["commit", "--force", "--quiet"]) == 0
            git("add", "dvc.yaml", "dvc.lock", "params.yaml", ".dvc", "out/.gitignore")
            git("commit", "--quiet", "--message", f"{epochs} epochs")
            record = paths.benchmark(CHAMPION, "ethos-u55-128")
            m = read(Measurement, record)
            assert m.latency
            changed(m, latency=m.latency.model_copy(update={"ms_p50": m.latency.ms_p50 / 2})).save(record)
        yield folder


@pytest.fixture
def dvc(root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """DVC's command there: what it prints."""
    monkeypatch.setenv("DVC_TEST", "1")  # or it prints past what pytest has put in the place of standard output

    def say(*words: str) -> str:
        capsys.readouterr()
        assert main(list(words)) == 0
        return capsys.readouterr().out

    return say


def test_metrics_diff_tells_of_what_is_shipped_and_of_every_pair_where_that_is_asked(dvc: Callable[..., str]) -> None:
    found = json.loads(dvc("metrics", "diff", "HEAD~1", "HEAD", "--json"))["out/report/shipped.json"]
    assert set(found) == {"ethos-u55-128.latency_ms", "ethos-u55-128.latency_ratio"}
    told = found["ethos-u55-128.latency_ms"]
    assert told["new"] == pytest.approx(told["old"] / 2, rel=1e-4)
    every = json.loads(dvc("metrics", "diff", "HEAD~1", "HEAD", "--targets", "out/report/metrics.json", "--json"))
    assert f"{CHAMPION}.ethos-u55-128.latency_ms" in every["out/report/metrics.json"]


def test_exp_show_has_a_row_for_each_run_and_few_columns(dvc: Callable[..., str]) -> None:
    said = dvc("exp", "show", "--num", "2", "--only-changed", "--csv")
    lines = list(csv.DictReader(io.StringIO(said)))
    columns = [
        name for name in lines[0] if name not in ("Experiment", "rev", "typ", "Created", "parent", "State", "Executor")
    ]
    assert columns == ["ethos-u55-128.latency_ms", "ethos-u55-128.latency_ratio", "train.epochs"]
    assert [line["train.epochs"] for line in lines] == ["9", "9", "5"], "what is there, and the two commits"
    whole = next(csv.DictReader(io.StringIO(dvc("exp", "show", "--csv"))))
    for device in DEVICES:
        own = [name for name in whole if name.startswith(f"{device}.")]
        assert whole[f"{device}.variant"] == CHAMPION
        assert {f"{device}.quality", f"{device}.latency_ms", f"{device}.gzip_bytes"} < set(own)
        assert len(own) <= COLUMNS


def test_plots_show_draws_every_pair_that_has_a_cost(dvc: Callable[..., str], root: Path) -> None:
    """By the specification in the page, drawn without the network."""
    import vl_convert

    dvc("plots", "show", "--out", "drawn")
    page = (root / "drawn" / "index.html").read_text()
    spec = json.loads(re.search(r"var spec = (\{.*?\});", page, re.DOTALL)[1])  # type: ignore[index]
    with (paths.REPORT / "plot.csv").open() as file:
        points = [line for line in csv.DictReader(file) if line["latency_ms"]]
    svg = vl_convert.vegalite_to_svg(spec)
    assert len(points) > 20
    assert len(re.findall('aria-roledescription="point"', svg)) == len(points)


def test_what_is_shipped_is_what_the_table_has_of_it(study: Path, params: Params) -> None:
    report.report(params)
    comparison = read(Comparison, paths.REPORT / "comparison.json")
    advised = read(Advised, paths.REPORT / "advice.json")
    found = json.loads((paths.REPORT / "shipped.json").read_text())
    every = json.loads((paths.REPORT / "metrics.json").read_text())
    assert list(found) == DEVICES
    for device, told in found.items():
        variant = told.pop("variant")
        assert told.items() <= every[variant][device].items()
    nothing = advised.model_copy(update={"devices": (advised.devices[0].model_copy(update={"choice": None}),)})
    assert tables.shipped(comparison, nothing) == {}
