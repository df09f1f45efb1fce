"""Large libraries are not imported by two threads at once, as they would be by a run that fails early."""

from threading import Thread

import pytest

from tasks import imports
from tasks.track import client
from tasks.training import fit


@pytest.mark.parametrize("bring_in", [client.import_mlflow, fit.import_tensorflow])
def test_an_import_waits_for_the_other_thread_s(bring_in):
    bring_in()  # its seconds are not what is looked at
    other = Thread(target=bring_in, daemon=True)
    with imports.alone:
        bring_in()  # whoever is at one import may go on to another
        other.start()
        other.join(0.5)
        assert other.is_alive()
    other.join(30)
    assert not other.is_alive()
