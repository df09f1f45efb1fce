"""Folders that are not whole, or not what they say: one clear line each, and nothing in them is run."""

import json
import struct
import time

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tasks.checkpoints import load
from tasks.errors import ModelError
from tests import checkpoints


@pytest.fixture
def folder(tmp_path):
    return checkpoints.make(tmp_path, "llama")


def changed(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def refused(folder, told):
    before = time.process_time()
    with pytest.raises(ModelError, match=told) as error:
        load.load(folder)
    assert "\n" not in str(error.value)
    assert time.process_time() - before < 2


def renamed(tensors, name, new):
    tensors[new] = tensors.pop(name)


Q, EMBEDDING = "model.layers.1.self_attn.q_proj.weight", "model.embed_tokens.weight"
TENSORS = {
    "one is missing": (lambda t: t.pop(Q), f"llama: 1 tensors are missing: {Q}"),
    "a bias is missing": (
        lambda t: t.update({Q.replace("1.self", "0.self").replace("weight", "bias"): np.zeros(32, np.float32)}),
        "1 tensors are missing: model.layers.1.self_attn.q_proj.bias",
    ),
    "one is too many": (lambda t: t.update(score=np.zeros(3, np.float32)), "1 tensors belong to no part .*: score"),
    "a layer too many": (lambda t: t.update({Q.replace("1.", "2."): t[Q]}), "1 tensors belong to no part"),
    "another name": (lambda t: renamed(t, Q, "q"), f"1 tensors are missing: {Q}"),
    "another shape": (
        lambda t: t.update({Q: t[Q][:16]}),
        rf"tensor '{Q}' is \[16, 32\]; \[32, 32\] expected by config",
    ),
    "the other way round": (
        lambda t: t.update({EMBEDDING: np.ascontiguousarray(t[EMBEDDING].T)}),
        r"is \[32, 96\]; \[32, 32\] expected|is \[96, 32\]; \[32, 32\]",
    ),
    "no embedding": (lambda t: t.pop(EMBEDDING), f"the tensor '{EMBEDDING}' is missing"),
}


@pytest.mark.parametrize("case", TENSORS)
def test_tensors(folder, case):
    change, told = TENSORS[case]
    changed(folder, change)
    refused(folder, told)


def test_numbers_that_are_no_floats(folder):
    changed(folder, lambda tensors: tensors.update({Q: tensors[Q].astype(np.int8)}))
    checkpoint = load.load(folder)
    with pytest.raises(ModelError, match=f"the tensor '{Q}' is I8; supported: F64, F32, F16, BF16"):
        list(checkpoint.weights())


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64"])
def test_floats_of_other_sizes_become_float32(folder, kind):
    import ml_dtypes  # noqa: F401

    before = dict(load.load(folder).weights())
    changed(folder, lambda tensors: tensors.update({name: value.astype(kind) for name, value in tensors.items()}))
    for name, value in load.load(folder).weights():
        assert value.dtype == np.float32
        assert np.array_equal(value, before[name].astype(kind).astype(np.float32))


def test_a_truncated_file(folder):
    path = folder / "model.safetensors"
    content = path.read_bytes()
    for size in (0, 5, 8, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        refused(folder, r"model.safetensors: not a whole safetensors file \([\d,]+ bytes\): ")


def header(table, data=b""):
    text = json.dumps(table).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<Q", 1 << 40) + b"{}",
        struct.pack("<Q", 2) + b"xx",
        header({Q: {"dtype": "F32", "shape": [1 << 38], "data_offsets": [0, 1 << 40]}}, bytes(64)),
        header({Q: {"dtype": "F32", "shape": [1 << 40, 1 << 40], "data_offsets": [0, 64]}}, bytes(64)),
        header({Q: {"dtype": "F32", "shape": [-1], "data_offsets": [0, 64]}}, bytes(64)),
    ],
    ids=["a header of 1 TB", "no JSON", "a tensor of 1 TB", "sizes that overflow", "a negative size"],
)
def test_a_header_that_promises_what_is_not_there(folder, content):
    (folder / "model.safetensors").write_bytes(content)
    refused(folder, "not a whole safetensors file")


def test_shards(folder):
    tensors = load_file(folder / "model.safetensors")
    expected = dict(load.load(folder).weights())
    (folder / "model.safetensors").unlink()
    places = {name: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(tensors)}
    for file in set(places.values()):
        save_file({name: tensors[name] for name, place in places.items() if place == file}, folder / file)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    found = dict(load.load(folder).weights())
    assert all(np.array_equal(found[name], value) for name, value in expected.items())
    (folder / "model-00002-of-00002.safetensors").rename(folder / "elsewhere")
    refused(folder, "index.json: names 'model-00002-of-00002.safetensors', which is not in")
    index.write_text(json.dumps({"weight_map": {"a": "../../etc/passwd"}}))
    refused(folder, "index.json: names 'passwd', which is not in")
    index.write_text(json.dumps({"weight_map": 3}))
    refused(folder, "weight_map: a table of file names expected")


def test_a_pickle_is_not_opened(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    refused(folder, "pytorch_model.bin is a pickle, which runs code .*: have transformers write the checkpoint again")


def test_other_files(folder, tmp_path):
    refused(tmp_path / "none", "none: no such file or folder; a folder of Hugging Face .* or a .gguf file is expected")
    refused(folder / "config.json", "no kind of checkpoint that is known")
    (folder / "config.json").write_text("{")
    refused(folder, "config.json: not JSON")
    (folder / "config.json").write_text("[" * 100_000)
    refused(folder, "config.json: not JSON")
    (folder / "config.json").write_text("[]")
    refused(folder, "config.json: a table expected; received a list")
    (folder / "config.json").unlink()
    refused(folder, "config.json: no such file")


def test_the_tokenizer_is_of_the_embeddings_size(folder, caplog):
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({"model": {"vocab": {str(i): i for i in range(90)}}, "added_tokens": [{"id": 96}]}))
    refused(folder, "tokenizer.json: 97 tokens; the embedding has rows for 96: they are of different models")
    path.write_text(json.dumps({"model": {"vocab": [["a", -1.0]] * 97}}))
    refused(folder, "tokenizer.json: 97 tokens; the embedding has rows for 96")
    path.write_text(json.dumps({"model": {"vocab": {"a": "b"}}}))
    refused(folder, "the number of a token expected; received b")
    path.write_text(json.dumps({"model": {}}))
    refused(folder, "model.vocab: the tokens expected")
    path.write_text(json.dumps({"model": {"vocab": {str(i): i for i in range(90)}}}))
    with caplog.at_level("INFO"):
        load.load(folder)
    assert "90 tokens; the embedding has 96 rows, some for none" in caplog.text


def test_the_network_alone_is_enough_where_the_head_is_tied(tmp_path):
    """As AutoModel saves it: without the name of the whole."""
    folder = checkpoints.make(tmp_path, "gpt2")
    expected = dict(load.load(folder).weights())
    tensors = load_file(folder / "model.safetensors")
    bare = {name.removeprefix("transformer."): value for name, value in tensors.items()}
    bare["h.0.attn.bias"] = np.tril(np.ones((1, 1, 64, 64), np.float32))
    save_file(bare, folder / "model.safetensors")
    found = dict(load.load(folder).weights())
    assert all(np.array_equal(found[name], value) for name, value in expected.items())
