"""What DVC reads of params.yaml: the same as by its own function, and the file is parsed once for all stages."""

import io
import os

import dvc.dependency.param as dependency
import pytest
import yaml
from dvc.fs import localfs
from dvc.utils.serialize import dumps_yaml
from hypothesis import given
from hypothesis import strategies as st

from flows.start import dvc_params, dvc_yaml

KEYS = st.text("ab1", min_size=1, max_size=2)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.text("x", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
ASKED = st.lists(st.lists(KEYS, min_size=1, max_size=3).map(".".join), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("params") / "params.yaml"


@given(values=st.dictionaries(KEYS, VALUES, max_size=4), asked=ASKED)
def test_it_is_what_dvc_would_have_read(values, asked, path):
    path.write_text(yaml.safe_dump(values))
    dvc_params._parsed.clear()
    assert dvc_params.read(localfs, str(path), asked, True) == dvc_params._read(localfs, str(path), asked, True)
    assert dvc_params.read(localfs, str(path)) == dvc_params._read(localfs, str(path))


def test_a_thousand_stages_parse_the_file_once_and_once_more_when_it_has_changed(tmp_path, monkeypatch):
    path, parsed = tmp_path / "params.yaml", []
    path.write_text(yaml.safe_dump({"quantize": {f"v{i}": {"n": i} for i in range(1000)}}))
    monkeypatch.setattr(dvc_params, "_load", lambda *given: parsed.append(given) or yaml.safe_load(path.read_text()))
    monkeypatch.setattr(dependency, "load_path", lambda *given: pytest.fail("DVC reads it itself"))
    for i in range(1000):
        assert dvc_params.read(localfs, str(path), [f"quantize.v{i}"], True) == {f"quantize.v{i}": {"n": i}}
    assert len(parsed) == 1
    path.write_text(yaml.safe_dump({"quantize": {"v0": {"n": 7}}}))
    os.utime(path, ns=(1, 1))
    assert dvc_params.read(localfs, str(path), ["quantize.v0"], True) == {"quantize.v0": {"n": 7}}
    assert len(parsed) == 2


def test_a_change_in_place_is_seen_where_the_time_of_it_is_set_back(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("n: 1")
    assert dvc_params.read(localfs, str(path), ["n"], True) == {"n": 1}
    about = path.stat()
    path.write_text("n: 2")
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert dvc_params.read(localfs, str(path), ["n"], True) == {"n": 2}


def test_what_stages_read_of_one_key_is_written_out_for_each(tmp_path):
    path, file = tmp_path / "params.yaml", io.StringIO()
    path.write_text("protocol: {windows: 6, seconds: [1, 2]}")
    given = [dvc_params.read(localfs, str(path), ["protocol"], True) for _ in range(2)]
    dvc_yaml.dump({"stages": {"a": given[0], "b": given[1]}}, file)
    own = [dvc_params._read(localfs, str(path), ["protocol"], True) for _ in range(2)]
    assert file.getvalue() == dumps_yaml({"stages": {"a": own[0], "b": own[1]}})
    assert "&" not in file.getvalue()
