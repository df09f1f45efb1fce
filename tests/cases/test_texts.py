"""A text through every stage: what follows is learnt, and a bundle tells it of a line."""

import json
import subprocess
import sys

import pytest

SHORT = {"mode": "quick", "windows": 2, "window_s": 0.05}


@pytest.mark.slow
def test_what_follows_is_learnt_and_told(run_case, project):
    (project / "text.txt").write_text("abcdefghijk" * 600)  # of which a window of 8 says all
    case = run_case(
        prepare={"source": "text", "path": "text.txt", "length": 8, "tokens": "characters", "calibration": 50},
        model={"family": "mlp", "hidden": [32]},
        train={"epochs": 15, "batch_size": 32, "learning_rate": 0.01},
        quantize={
            "fp32": {"model": "baseline", "scheme": "float32"},
            "int8": {"model": "baseline", "scheme": "int8"},
        },
        benchmark={"reference": "fp32", "devices": ["host-cpu"], "protocol": SHORT},
        until="bundle",
    )
    assert case.quality("fp32") == 1
    assert case.quality("int8") > 0.95
    words = [sys.executable, "-I", project / "out/bundles/host-cpu/classify.py", "-"]
    done = subprocess.run(
        words, capture_output=True, text=True, check=True, timeout=120, input="bcdefghi\nxxdefghijk\n"
    )
    assert [json.loads(line)["label"] for line in done.stdout.splitlines()] == ["j", "a"]
