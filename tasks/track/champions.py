"""Champions in MLflow's registry: each a version that `mlflow models serve` serves, under `champion-<device>`.

    promote(folder: Path, name: str) -> Promoted

makes the bundle in `folder` the champion of its device in the registered model `name` (of params.yaml). It is for who
has seen the device run it: nothing else moves this alias. What was champion is `previous-<device>` from then on; to go
back is to promote the former bundle, whose version is found again by its digest, or where only that is known

    reinstate(digest: str, device: str, name: str) -> Promoted

A version holds the bundle as it was shipped and two files of code (models from code: nothing is pickled), `served.py`
and `inputs.py`. It needs MLflow, numpy and the bundle's runtime, and nothing of Tercet.
"""

import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tasks import files, redact
from tasks.errors import DataError
from tasks.ship import classify
from tasks.track import ledger, server
from tasks.track.client import import_mlflow
from tasks.track.patience import within
from tasks.track.publisher import PATIENCE_S, SLOWEST_BYTES_S
from tasks.track.store import Store

CHAMPION, PREVIOUS = "champion-{}", "previous-{}"
DIGEST = "bundle_sha256"  # tag of a version: of the bundle's list of files
BUNDLE, CODE = "bundle", "tercet_inputs.py"
SERVED = Path(__file__).with_name("served.py")
INPUTS = Path(__file__).parent.parent / "serve" / "inputs.py"


@dataclass(frozen=True)
class Promoted:
    """What the aliases of a device name now."""

    alias: str
    version: str
    previous: str | None  # the version that was champion before; None: there was none
    uri: str  # without credentials


def promote(folder: Path, name: str) -> Promoted:
    """Make a bundle its device's champion in the registry. To be called once the device has confirmed that it runs it.

    A second call changes nothing. A kill leaves both aliases as they were, or only `previous-<device>` moved.

    Args:
        folder: the bundle, as it was shipped.
        name: of the registered model, and of the experiment.

    Raises:
        DataError: it is no bundle, or not as it was shipped.
        TrackingError: the server is away or refuses; the alias then stays where it was.
    """
    try:
        manifest, content = classify.checked(folder)
    except classify.UserError as error:
        raise DataError(str(error)) from None
    uri, limit_s = server.uri(), PATIENCE_S + sum(map(len, content.values())) / SLOWEST_BYTES_S
    with ledger.single_publisher(), server.told(uri):
        import_mlflow()
        return within(limit_s, lambda: _promoted(Store(uri, name), folder, manifest))


def reinstate(digest: str, device: str, name: str) -> Promoted:
    """Make a bundle the champion again that was registered as one, as `promote` does.

    Args:
        digest: the SHA-256 of the bundle's list of files.
        device: that has confirmed that it runs it.
        name: of the registered model.

    Raises:
        DataError: no version holds this bundle; the alias stays where it was.
        TrackingError: the server is away or refuses; likewise.
    """
    uri = server.uri()
    with ledger.single_publisher(), server.told(uri):
        import_mlflow()
        found = within(PATIENCE_S, lambda: _reinstated(Store(uri, name), digest, device))
    if found is None:
        raise DataError(f"{name}: no version holds the bundle {digest[:16]}, which {device} runs again")
    return found


def _reinstated(store: Store, digest: str, device: str) -> Promoted | None:
    store.register()
    version = _known(store, digest)
    return None if version is None else _moved(store, device, version)


def _promoted(store: Store, folder: Path, manifest: dict[str, Any]) -> Promoted:
    store.register()
    digest = files.sha256(folder / classify.SUMS)
    version = _known(store, digest) or _version(store, folder, manifest, digest)
    return _moved(store, str(manifest["device"]), version)


def _known(store: Store, digest: str) -> str | None:
    """The version that holds a bundle."""
    found = store.client.search_model_versions(f"name = '{store.name}' and tags.{DIGEST} = '{digest}'")
    return str(found[0].version) if found else None


def _moved(store: Store, device: str, version: str) -> Promoted:
    """Have a device's aliases name a version and the one before it."""
    alias, previous = CHAMPION.format(device), PREVIOUS.format(device)
    known = store.client.get_registered_model(store.name).aliases
    was = known.get(alias)
    if was is not None and str(was) != version:
        store.client.set_registered_model_alias(store.name, previous, str(was))  # first: a kill may come between
    if str(was) != version:
        store.client.set_registered_model_alias(store.name, alias, version)
    left = store.client.get_registered_model(store.name).aliases.get(previous)
    return Promoted(alias, version, None if left is None else str(left), redact.shown(store.uri))


def _version(store: Store, folder: Path, manifest: dict[str, Any], digest: str) -> str:
    """Bring a bundle to the server as a model that MLflow serves."""
    tags = {"variant": str(manifest["variant"]), "device": str(manifest["device"]), DIGEST: digest}
    with TemporaryDirectory(prefix="tercet-champion-") as temporary:
        model = Path(temporary, "model")
        write_model(model, folder, manifest)
        made = store.client.create_logged_model(store.experiment, name=tags["variant"], model_type="pyfunc", tags=tags)
        store.client.log_model_artifacts(str(made.model_id), str(model))
    store.client.finalize_logged_model(str(made.model_id), "READY")
    about = (
        f"The bundle of {tags['variant']} for {tags['device']}: raw inputs in, labels out, by `mlflow models serve`."
    )
    version = store.client.create_model_version(
        store.name,
        source=f"models:/{made.model_id}",
        model_id=str(made.model_id),
        tags=tags,
        description=about,
        await_creation_for=0,
    )
    return str(version.version)


def write_model(model: Path, folder: Path, manifest: dict[str, Any]) -> None:
    """Write a bundle as a model of MLflow: two files of code, and the bundle's own."""
    with TemporaryDirectory(prefix="tercet-code-") as temporary, warnings.catch_warnings(record=True):
        warnings.simplefilter("ignore")  # MLflow warns of types of its own, and that this model names none
        import_mlflow()
        import mlflow

        code, bundle = Path(temporary, CODE), Path(temporary, BUNDLE)
        shutil.copyfile(INPUTS, code)
        shutil.copytree(folder, bundle)
        mlflow.pyfunc.save_model(
            str(model),
            python_model=str(SERVED),
            artifacts={BUNDLE: str(bundle)},
            code_paths=[str(code)],
            pip_requirements=[f"mlflow=={mlflow.__version__}", "numpy", *manifest["program"]["requires"]],
        )
