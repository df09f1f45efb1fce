"""A bundle as the stage makes it, signed, brought into a device's store, and run from there."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tasks import paths
from tasks.params import Params
from tasks.sign import fleet, signature
from tasks.sign.device import install, verify
from tasks.stages import bundle as stage
from tests.signed import key


def test_what_the_stage_makes_is_signed_taken_and_run(
    ready: Path, params: Params, images: np.ndarray, serve: Callable, tmp_path: Path
) -> None:
    stage.bundle(params, "host-cpu")
    np.save("images.npy", images)
    made, root, release = paths.bundle("host-cpu"), key(), key()
    before = serve(made, "images.npy")
    assert before.returncode == 0
    fleet.create(tmp_path / "fleet", root, release)
    fleet.publish(tmp_path / "fleet", {"host-cpu": signature.sign(made, release)}, release)
    arrived = shutil.copytree(made, tmp_path / "arrived")
    (arrived / verify.SIGNATURE).write_bytes(fleet.signature(tmp_path / "fleet", "host-cpu"))
    install.trust(tmp_path / "store", (tmp_path / "fleet/metadata/1.root.json").read_bytes())
    taken = install.install(arrived, tmp_path / "store", "host-cpu", tmp_path / "fleet/metadata")
    after = serve(taken, "images.npy")
    assert (after.returncode, after.stdout) == (0, before.stdout), after.stderr
    assert len([json.loads(line) for line in after.stdout.splitlines()]) == len(images)
