"""Trials and aims out of a few numbers."""

import pytest

from tasks.params import Search
from tasks.search.front import Aims
from tasks.search.records import Trial

FIGURES = ("quality", "gzip_bytes", "latency_ms@host-cpu")
OBJECTIVES = ({"of": "quality"}, {"of": "gzip_bytes"}, {"of": "latency_ms", "device": "host-cpu"})


@pytest.fixture(name="trial")
def _trial():
    def make(number, *values, **fields):
        figures = dict(zip(FIGURES, values, strict=False))
        usual = {
            "variant": f"v{number}", "key": f"k{number}", "label": "a", "handwritten": False, "models": (), "entry": {},
            "status": "ok", "provenance": dict.fromkeys(figures, "measured"), "seconds": {},
        }  # fmt: skip
        return Trial.model_validate({"number": number, "figures": figures, **usual, **fields})

    return make


@pytest.fixture(name="aims")
def _aims():
    def make(*goals, objectives=2, reference=0.98, metric="accuracy", **fields):
        search = Search.model_validate({"objectives": OBJECTIVES[:objectives], "goals": goals, **fields})
        return Aims(search, "fp32", {"quality": reference}, metric)

    return make
