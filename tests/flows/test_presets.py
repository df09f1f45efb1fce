"""Each preset that has its data with it, from `tercet init` to its bundles, as it comes."""

import resource
from pathlib import Path

import pytest
import yaml

from tasks import paths
from tasks.records import Comparison, read
from tests.installed import Installed

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 6 * 60 * 2  # of processors: six minutes of two; how late it is says nothing on a machine that others use
NOT_ALONE = ("every-device", "digits-search", "smollm2")  # wants boards and programs; `tercet search`; 14 GB


def presets() -> dict[str, dict[str, dict[str, object]]]:
    """Those that name no folder or file that has to be there first."""
    found = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((ROOT / "infra/presets").glob("*.yaml"))}
    return {name: told for name, told in found.items() if "path" not in told["prepare"] and name not in NOT_ALONE}


def used_s() -> float:
    """What programs that have ended took of processors."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", presets())
def test_a_preset_runs_as_it_comes(name: str, installed: Installed, unspoilt: None, tmp_path: Path) -> None:
    project = tmp_path / name
    installed.run(tmp_path, "tercet", "init", str(project), "--from", name)
    before = used_s()
    installed.run(project, "tercet", "run")
    took_s = used_s() - before
    found = read(Comparison, project / paths.REPORT / "comparison.json")
    print(f"{name}: {took_s:.0f} s of processors")  # noqa: T201  # the figures are what one runs this for
    for row in found.rows:
        beside = {each.name: f"{each.quality:.4g}" for each in row.yardsticks}
        print(f"  {row.variant} @ {row.device}: {row.measurement.status}, {row.metric} {row.quality}, beside {beside}")  # noqa: T201
    assert took_s < LIMIT_S
    assert (found.failures, found.refused) == ((), ())
    # what an accelerator leaves to the processor makes a pair invalid, and that is a result
    ran = [row for row in found.rows if row.measurement.status in ("ok", "invalid")]
    assert len({row.device for row in ran}) >= 2
    assert {row.scheme for row in ran} & {"int8", "dynamic"}
    for row in ran:
        if row.measurement.status == "ok":
            for simple in presets()[name].get("yardstick", {}):
                assert f"the yardstick {simple} (" in row.verdict, "whether it is worth a network"
