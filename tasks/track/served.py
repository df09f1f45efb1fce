"""A bundle as MLflow serves it. MLflow keeps this file with the model, and runs it where the model is loaded.

Nothing of Tercet is there but the bundle and `tercet_inputs`, which reads raw examples as `tercet serve` does.
"""

import sys
from importlib import import_module
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from threading import Lock
from typing import Any

from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class Bundle(PythonModel):
    """Raw examples in; labels, values or errors out, as the bundle's own script gives them."""

    def load_context(self, context: PythonModelContext) -> None:
        """Check every file of the bundle, and load its program."""
        folder = Path(context.artifacts["bundle"])
        loader = _Reader("tercet_classify", str(folder / "classify.py"))
        spec = spec_from_file_location(loader.name, loader=loader)
        assert spec is not None
        assert spec.loader is not None
        self._script = module_from_spec(spec)
        spec.loader.exec_module(self._script)
        manifest, content = self._script.checked(folder)
        sys.meta_path.insert(0, self._script.Checked(content))
        self._preprocess = import_module("shipped.preprocess")
        described = self._preprocess.read(folder / "preprocess.json")
        self._inputs, self._target = described["inputs"], described["targets"][self._script.TARGET]
        self._program = manifest["program"]
        self._model, self._lock = self._script.loaded(self._program, str(folder)), Lock()

    # MLflow would take hints of types for a schema, and a missing one of `params` for none
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ARG002
        """The answer to each raw example: a list of them as JSON has them, an array, or a table of columns."""
        from tercet_inputs import arrays  # type: ignore[import-not-found]  # beside this file, with the model

        raw = arrays(_listed(model_input), self._inputs, self._preprocess)
        ready = {name: self._preprocess.apply(spec, raw[name]) for name, spec in self._inputs.items()}
        match = import_module("shipped.runner.arrays").match
        first = next(iter(ready.values()))
        with self._lock:  # a program answers one after the other
            examples = self._model.prepare(match(ready, list(self._model.inputs)))
            return [self._answer(*pair) for pair in zip(first, examples, strict=True)]

    def _answer(self, first: Any, example: Any) -> dict[str, Any]:
        self._model.put(example)
        self._model.invoke()
        found = self._model.floats([self._model.read()])
        (output,) = self._script.judged(found, self._program["output"], self._program["serves"])
        answer: dict[str, Any] = self._script.answer(self._target, first, output)
        return answer


class _Reader(SourceFileLoader):
    """Imports a file and writes no bytecode beside it: a bundle holds what was shipped, and nothing else."""

    def set_data(self, path: str, data: bytes, *, _mode: int = 0) -> None:  # type: ignore[override]
        """Keep nothing."""


def _listed(given: Any) -> list[Any]:
    """Examples as JSON has them."""
    if hasattr(given, "to_dict"):  # a table of pandas
        from pandas import NA, NaT  # type: ignore[import-untyped]

        rows = given.to_dict("records")
        return [{name: None if value is NA or value is NaT else value for name, value in row.items()} for row in rows]
    if isinstance(given, dict):
        columns = {name: _listed(values) for name, values in given.items()}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return list(given.tolist() if hasattr(given, "tolist") else given)


set_model(Bundle())
