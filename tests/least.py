"""The least of params.yaml around what a test is about."""

from typing import Any

from tasks.params import Params

SETTINGS: dict[str, Any] = {
    "name": "trial",
    "model": {"family": "cnn"},
    "train": {"epochs": 1},
    "compress": {},
    "quantize": {"fp32": {"model": "baseline", "scheme": "float32"}},
    "benchmark": {"reference": "fp32", "devices": ["host-cpu"], "protocol": {"mode": "quick"}},
    "bundle": {},
}


def params(prepare: dict[str, Any], **sections: Any) -> Params:
    """Checked settings: `prepare`, any other sections, and the least of the rest."""
    return Params.model_validate({**SETTINGS, "prepare": prepare, **sections})
