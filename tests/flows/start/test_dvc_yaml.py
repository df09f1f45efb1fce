"""dvc.lock is written byte by byte as DVC writes it: the two take turns at one file, and git shows what has changed."""

import io
from collections import OrderedDict

import pytest
from dvc.utils.serialize import dumps_yaml, loads_yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.start import dvc_yaml

ODD = [
    *(
        "1e5",
        "12e34567",
        "0x1f",
        "0o17",
        "1_000",
        "no",
        "null",
        "~",
        "2026-11-28",
        "1:30",
        "a: b",
        "- c",
        "",
        "=",
        "<<",
    ),
    *("é", "😀", "it's", "'q'", '"q"', "a\\b", "a\nb", "a\n\nb\n", " a", "a ", "a\tb", "\x07", "\u2028", "#a", "a #b"),
    *("x" * 90, "x" * 140, "x " * 100, f"{'x' * 60} {'y' * 60}", f"'{'x ' * 60}", f"{'1 ' * 50}: {'2 ' * 50}"),
]
TEXTS = st.text("ab1e-:# .'\"", max_size=12) | st.text(max_size=9) | st.sampled_from(ODD)
SCALARS = st.booleans() | st.integers() | st.floats(allow_nan=False) | st.none() | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3).map(OrderedDict),
    max_leaves=10,
)
HASH = st.from_regex(r"[0-9a-f]{32}(\.dir)?", fullmatch=True)
FILES = st.lists(st.fixed_dictionaries({"path": TEXTS, "hash": st.just("md5"), "md5": HASH, "size": st.integers(0)}))
STAGE = st.fixed_dictionaries(
    {"cmd": TEXTS, "deps": FILES, "params": st.dictionaries(TEXTS, VALUES, max_size=3), "outs": FILES}
)
PLAIN = {
    "cmd": "tercet stage benchmark v0001 simulated-00",
    "deps": [{"path": "out/data", "hash": "md5", "md5": "0" * 31 + "a.dir", "size": 123, "nfiles": 2}],
    "params": {"params.yaml": {"benchmark.reference": "fp32", "train": {"rate": 1e-3, "steps": [1, 2], "on": True}}},
}


def written(content):
    file = io.StringIO()
    dvc_yaml.dump(content, file)
    return file.getvalue()


@settings(max_examples=30)
@given(st.dictionaries(TEXTS, STAGE, max_size=3))
def test_the_bytes_of_a_lock_are_those_that_dvc_would_write(stages):
    content = {"schema": "2.0", "stages": stages}
    assert written(content) == dumps_yaml(content)


@pytest.mark.parametrize("odd", [*ODD, None, [], {}, 1e5, 1e-7, float("inf"), 10**30], ids=repr)
def test_so_are_those_of_what_is_seldom_there(odd):
    content = {"schema": "2.0", "stages": {"train": {"cmd": "c", "params": {"a": odd, "b": [odd], "c": {"d": [odd]}}}}}
    assert written(content) == dumps_yaml(content)
    assert loads_yaml(written(content)) == content


def test_what_a_lock_mostly_holds_is_written_in_c(monkeypatch):
    content = {"schema": "2.0", "stages": {f"benchmark@v{i}": PLAIN | {"outs": []} for i in range(3)}}
    whole = dumps_yaml(content)
    monkeypatch.setattr(dvc_yaml, "dumps_yaml", lambda _: pytest.fail("written by DVC's own"))
    assert written(content) == whole
