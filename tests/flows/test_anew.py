"""What a run measures again although nothing has changed."""

import pytest

from flows import anew, stale
from flows.part import part
from flows.stale import Work
from flows.start import dvc_bridge
from tasks import paths
from tasks.errors import WordsError
from tasks.records import Measurement
from tests import least

ALONE = [("code",), ("train",), ("report",), ("bundle", "host-cpu"), ("bundle", "ethos-u55-128")]


@pytest.fixture
def settings():
    quantize = {name: {"model": "baseline", "scheme": name} for name in ("float32", "int8", "dynamic")}
    benchmark = least.SETTINGS["benchmark"] | {"reference": "float32", "devices": ["host-cpu", "ethos-u55-128"]}
    return least.params({"source": "digits"}, quantize=quantize, benchmark=benchmark)


@pytest.fixture
def recorded(project, settings):
    """Records of all pairs but one, of which one is invalid, one noisy and one broken."""
    for device in settings.benchmark.devices:
        for variant in settings.quantize:
            invalid, noisy = (variant, device) == ("int8", "host-cpu"), (variant, device) == ("float32", "host-cpu")
            about = {"status": "invalid" if invalid else "ok", "reason": "busy" if invalid else None, "mode": "quick"}
            path = paths.benchmark(variant, device)
            path.parent.mkdir(parents=True, exist_ok=True)
            Measurement(
                variant=variant, device=device, device_kind="litert", artifact_sha256="0" * 64,
                flags=("noisy",) if noisy else (), **about,
            ).save(path)  # fmt: skip
    paths.benchmark("dynamic", "host-cpu").write_text("{")
    paths.benchmark("dynamic", "ethos-u55-128").unlink()
    return settings


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (["invalid"], {("int8", "host-cpu")}),
        (["noisy"], {("float32", "host-cpu")}),
        (["drift"], set()),
        (["*@ethos*"], {(name, "ethos-u55-128") for name in ("float32", "int8", "dynamic")}),
        (["int8@host-cpu", "dynamic@host-cpu"], {("int8", "host-cpu"), ("dynamic", "host-cpu")}),
        ([], set()),
    ],
)
def test_a_mark_or_a_pattern_names_pairs(recorded, asked, found):
    assert anew.pairs(recorded, asked) == found


@pytest.mark.parametrize("word", ["int9@host-cpu", "invald", "int8", "ok"])
def test_what_fits_no_pair_is_told(recorded, word):
    with pytest.raises(WordsError, match=rf"^--remeasure: received '{word}'; allowed: crowded, drift, .*invalid"):
        anew.pairs(recorded, [word])


@pytest.fixture
def names(recorded, monkeypatch):
    """The stages by their words, of which `train` alone is stale."""
    words = [*ALONE, *(("benchmark", v, d) for v in recorded.quantize for d in recorded.benchmark.devices)]
    found = {each: "@".join(filter(None, (each[0], "-".join(each[1:])))) for each in words}
    monkeypatch.setattr(stale, "look", lambda _settings: {"train"})
    monkeypatch.setattr(dvc_bridge, "Project", lambda: type("Bridge", (), {"names": found}))
    return found


def test_what_is_measured_again_is_looked_at_with_all_that_is_concluded_from_it(recorded, names):
    found = stale.work(recorded, part(recorded, [], []), ["invalid"])
    assert found.again == {"benchmark@int8-host-cpu"}
    assert found.stages == {"train", "report", "bundle@host-cpu", "bundle@ethos-u55-128", *found.again}
    assert stale.work(recorded, part(recorded, [], []), []) == Work(frozenset({"train"}))
    assert stale.work(recorded, part(recorded, [], []), ["drift"]) == Work(frozenset({"train"}))


def test_of_a_part_only_its_own_pairs_are_measured_again_and_nothing_is_concluded(recorded, names):
    found = stale.work(recorded, part(recorded, ["int8"], ["host-cpu"]), ["*"])
    assert found.again == {"benchmark@float32-host-cpu", "benchmark@int8-host-cpu"}
    assert found.stages == {"train", *found.again}


def test_what_the_caller_knows_is_not_looked_for_again(recorded, names, monkeypatch):
    monkeypatch.setattr(stale, "look", lambda _settings: pytest.fail("looked"))
    with stale.known(Work(frozenset({"report"}))):
        assert stale.work(recorded, part(recorded, [], []), []) == Work(frozenset({"report"}))
    with pytest.raises(pytest.fail.Exception):
        stale.work(recorded, part(recorded, [], []), [])
