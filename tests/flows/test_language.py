"""A file that keeps a state is taken through the whole flow by one command, and its phases come out in every view."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.language import PROMPT, WORDS

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
MAKE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests import language
for kind in ("attending", "decaying"):
    Path(f"{kind}.tflite").write_bytes(getattr(language, kind)())
"""


def test_a_language_model_is_measured_by_one_command(make_clone, outcomes):
    clone = make_clone()
    subprocess.run([sys.executable, "-c", MAKE, str(ROOT)], cwd=clone.root, env=clone.env, timeout=300, check=True)
    rng = np.random.default_rng(5)
    (clone.root / "texts").mkdir()
    np.savez(
        clone.root / "texts" / "train.npz",
        **{"inputs.tokens": rng.integers(0, WORDS, (110, PROMPT)), "targets.label": np.arange(110) % WORDS},
    )

    def own(params):
        params["prepare"] = {"source": "npz", "path": "texts"}
        params["model"] = {"family": "file", "source": "attending.tflite"}
        params["train"] = {"epochs": 0}
        params["compress"] = {"other": {"method": "external", "parent": "baseline", "source": "decaying.tflite"}}
        params["quantize"] = {
            "one": {"model": "baseline", "scheme": "as-is"}, "two": {"model": "other", "scheme": "as-is"},
        }  # fmt: skip
        params["benchmark"] |= {"reference": "one", "devices": ["host-cpu"]}
        params["benchmark"]["protocol"]["new_tokens"] = 6
        params["bundle"] = {"default": {"minimize": "ttft_ms"}}

    clone.change(own)
    said = clone.run("tercet", "run")
    assert {"quantize one", "quantize two", "evaluate two"} <= outcomes(said)["ran"]
    found = json.loads((clone.root / "out/benchmarks/two@host-cpu.json").read_text())
    assert found["status"] in ("ok", "invalid"), found["reason"]  # the latter on a machine that is too busy
    assert list(found["phases"]) == ["prefill", "decode"]
    for phase in found["phases"].values():
        assert phase["unit"] == "token"
        assert phase["latency"]["ms_p50"] > 0
        assert phase["energy"]["mj"] > 0
        assert phase["ratio"]["pairs"] >= 2
    if found["status"] == "invalid":
        pytest.skip(f"the machine is too busy to measure: {found['reason']}")
    with (clone.root / "out/report/comparison.csv").open(newline="") as file:
        line = next(line for line in csv.DictReader(file) if line["variant"] == "two")
    assert float(line["tokens_per_s"]) > 0
    assert float(line["ttft_ms"]) > 0
    assert line["latency_ms"] == ""
    assert not any(outcomes(clone.run("tercet", "run")).values())
