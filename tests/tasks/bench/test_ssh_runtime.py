"""Which runtimes another machine may be asked to measure with: those of the table that say how they are asked."""

import pytest

from tasks.bench.kinds import KINDS
from tasks.bench.kinds.ssh import Ssh

BOARD = {"name": "board", "kind": "ssh", "description": "a board", "watts_per_core": [1, 2, 3]}


@pytest.mark.parametrize("name", KINDS.members)
def test_a_runtime_is_a_kind_that_says_how_it_is_asked(name: str) -> None:
    if KINDS.load(name).setup is not None:
        assert Ssh.model_validate({**BOARD, "runtime": name}).runtime == name
    else:
        with pytest.raises(ValueError, match=f"received '{name}'; allowed: litert, onnxruntime, openvino, pjrt"):
            Ssh.model_validate({**BOARD, "runtime": name})
