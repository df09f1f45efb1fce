"""The pipeline with no orchestration: one process, the stages one after the other, no Prefect, DVC or MLflow.

What a careful person would write instead of the flow, and what benchmarks/orchestration.py compares it with. It makes
every model, variant, evaluation and measurement of params.yaml; no report and no bundles. Run it in a project's folder
(it overwrites `out/`):

    python benchmarks/bare.py
"""

import os
import sys

from tasks import params
from tasks.stages import benchmark, evaluate, prepare, train
from tasks.stages import compress as compression
from tasks.stages import quantize as quantization

NOWHERE = "http://127.0.0.1:9"  # nobody listens on the port "discard": no curves are sent, and MLflow is not imported
ORCHESTRATORS = {"prefect", "dvc", "mlflow"}


def main() -> None:
    os.environ["MLFLOW_TRACKING_URI"] = NOWHERE
    settings = params.load()
    prepare.prepare(settings)
    train.train(settings)
    for model in settings.model_order():
        compression.compress(settings, model)
    for variant in settings.quantize:
        quantization.quantize(settings, variant)
        evaluate.evaluate(settings, variant)
    for device in settings.benchmark.devices:
        for variant in settings.quantize:
            benchmark.benchmark(settings, variant, device)
    if imported := ORCHESTRATORS & set(sys.modules):
        raise SystemExit(f"this was to be bare, and {', '.join(sorted(imported))} was imported")


if __name__ == "__main__":
    main()
