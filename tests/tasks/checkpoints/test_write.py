"""What is written is what transformers saves: the same tensors by the same names, whatever lay fused or turned."""

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file

from tasks import params, paths
from tasks.checkpoints import config, load, names, write
from tasks.decoder import network
from tasks.errors import ModelError
from tasks.records import ModelCard
from tasks.ship import words as shipped
from tests import checkpoints

pytest.importorskip("tf_keras", reason="the training stack is not installed")


@pytest.mark.parametrize("name", [name for name in checkpoints.names() if not name.endswith("-old")])
def test_joining_undoes_splitting(tmp_path, name):
    folder = checkpoints.make(tmp_path, name)
    source = load.load(folder)
    weights = dict(source.weights())
    original = load_file(folder / "model.safetensors")
    assert {each.name for each in source.stored} == original.keys()
    for each in source.stored:
        found = each.join(weights)
        assert found.dtype == np.float32
        assert found.shape == original[each.name].shape
        less_one = config.KINDS[source.config["model_type"]].names.minus_one
        assert np.array_equal(found, original[each.name]) or (less_one and np.allclose(found, original[each.name]))


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    folder = checkpoints.make(tmp_path_factory.mktemp("llama"), "llama")
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"a": 0, "b": 95}}}))
    (folder / "modeling_llama.py").write_text("raise SystemExit")
    source = load.load(folder)
    return source, source.model(checkpoints.LENGTH)


def test_a_compressed_model_comes_back_with_its_own_weights(llama, tmp_path):
    source, model = llama
    kernel = model.get_layer("layer_1_up").kernel
    before = kernel.numpy()
    kernel.assign(np.where(np.abs(before) < 0.2, 0, before))
    write.write(model, source, tmp_path / "out")
    kernel.assign(before)
    again = load.load(tmp_path / "out")
    assert again.spec == source.spec
    assert again.config == {**source.config, "dtype": "float32"}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "config.json", "model.safetensors", "tokenizer.json",
    ]  # fmt: skip
    saved, original = (load_file(folder / "model.safetensors") for folder in (tmp_path / "out", source.path))
    for name, value in original.items():
        pruned = name == "model.layers.1.mlp.up_proj.weight"
        expected = np.where(np.abs(value) < 0.2, 0, value) if pruned else value
        assert np.array_equal(saved[name], expected), name


def test_a_narrower_feed_forward_is_told_in_config(llama, tmp_path):
    source, _ = llama
    narrow = replace(source.spec, hidden=20)
    model = network.build(narrow)
    write.write(model, source, tmp_path / "out")
    again = load.load(tmp_path / "out")
    assert again.spec == narrow
    assert again.config["intermediate_size"] == 20


@pytest.mark.parametrize("name", ["qwen3", "phi3", "gemma2"])
def test_fewer_heads_are_told_in_config(tmp_path, name):
    source = load.load(checkpoints.make(tmp_path, name))
    fewer = replace(source.spec, heads=source.spec.heads // source.spec.kv_heads, kv_heads=1)
    model = network.build(fewer)
    write.write(model, source, tmp_path / "out")
    again = load.load(tmp_path / "out")
    assert again.spec == fewer
    told = {key: again.config[key] for key in ("num_attention_heads", "num_key_value_heads", "head_dim")}
    assert list(told.values()) == [fewer.heads, 1, source.spec.head_width]
    assert np.array_equal(again.model()(checkpoints.TOKENS[None]), model(checkpoints.TOKENS[None]))


@pytest.mark.parametrize("name", ["gpt2", "gpt_neox", "stablelm", "opt"])
def test_fewer_heads_are_refused_where_they_are_as_wide_as_the_model(tmp_path, name):
    """transformers 5.24 divides the width by the heads in these, without asking for `head_dim`."""
    source = load.load(checkpoints.make(tmp_path, name))
    fewer = replace(source.spec, heads=source.spec.heads // 2, kv_heads=source.spec.kv_heads // 2)
    with pytest.raises(
        ModelError, match=rf"heads of \d+: those of a {name} are together as wide as the model, \d+, wh"
    ):
        write.write(network.build(fewer), source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_config_has_no_word_for_is_refused(llama, tmp_path, monkeypatch):
    source, _ = llama
    for changes, told in (
        ({"gated": False}, "layer_0_gate.weight: none; a llama as that in .* has .48, 32.: the model's parts"),
        ({"query_norm": "head"}, r"layer_0_key_norm.weight: \[8\]; a llama as that in .* has none"),
    ):
        with pytest.raises(ModelError, match=told):
            write.write(network.build(replace(source.spec, **changes)), source, tmp_path / "out")
    weights = dict(source.weights())
    weights |= {f"layer_1_{part}.weight": weights[f"layer_1_{part}.weight"][:20] for part in ("up", "gate")}
    monkeypatch.setattr(network, "weights", lambda model: weights.items())
    with pytest.raises(ModelError, match=r"layers with feed-forwards of 20, 48 units: a .* `widths`"):
        write.write(None, source, tmp_path / "out")
    weights = dict(source.weights())
    weights["layer_1_query.weight"] = weights["layer_1_query.weight"][:16]
    with pytest.raises(ModelError, match=r"layers with attentions of 2, 4 heads: a .* slim them alike"):
        write.write(None, source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_gguf_file_becomes_a_folder_with_its_tokenizer(gguf_file, llama, tmp_path):
    source = load.load(gguf_file())
    write.write(source.model(), source, tmp_path / "out")
    again = load.load(tmp_path / "out")
    assert again.spec == source.spec
    assert again.config["architectures"] == ["LlamaForCausalLM"]  # the builder of ONNX Runtime GenAI asks for it
    saved, original = (load_file(folder / "model.safetensors") for folder in (tmp_path / "out", llama[0].path))
    assert saved.keys() == original.keys()
    assert all(np.array_equal(saved[name], value) for name, value in original.items())
    from tokenizers import Tokenizer

    assert Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json")).encode("low1").tokens == ["low", "1"]
    assert json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())["eos_token"] == "<end>"


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, [None, 7, None]),
        ({"tokenizer.ggml.bos_token_id": 0, "tokenizer.ggml.padding_token_id": 95}, [0, 7, 95]),
        ({"tokenizer.ggml.bos_token_id": 96, "tokenizer.ggml.padding_token_id": True}, [None, 7, None]),
        ({"tokenizer.ggml.add_bos_token": True, "tokenizer.ggml.bos_token_id": 3}, [3, 7, None]),
    ],
)
def test_a_saved_gguf_begins_and_ends_texts_as_the_file_did(gguf_file, tmp_path, told, expected):
    source = load.load(gguf_file(told=told))
    write.write(source.model(), source, tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert [config[name] for name in ("bos_token_id", "eos_token_id", "pad_token_id")] == expected
    inputs = {"tokens": {"kind": "tokens", "shape": [8], "vocabulary": 96}}
    before, after = (shipped.of(inputs, path) for path in (source.path, tmp_path / "out"))
    assert (after.begins, after.ends, after.chat) == (before.begins, before.ends, before.chat)
    assert after.special == before.special
    assert before.special["eos_token"] == "<end>"


def test_every_kind_has_a_way_back():
    for name, kind in config.KINDS.items():
        found = [part for parts in kind.names.inside.values() for part in parts]
        assert len(found) == len(set(found)), name
        assert isinstance(kind.names, names.Names)


def test_a_model_of_ones_own_is_a_qwen3_that_others_load(project):
    """By what reads config.json and safetensors, whose logits of a Qwen3 are those of transformers."""
    from flows import save
    from tasks.examples import dataset, preprocess
    from tasks.models import transformer
    from tasks.stages.prepare import prepare
    from tasks.training import keras_files

    (project / "text.txt").write_text("the cat is on the mat, and the mouse is in the house\n" * 40)
    (project / "params.yaml").write_text(OWN)
    settings = params.load()
    prepare(settings)
    made = transformer.build(settings.model, dataset.spec())
    folder = paths.model("baseline")
    folder.mkdir(parents=True)
    keras_files.save(made, folder)
    ModelCard(
        model="baseline", parent=None, method="train", parameters=1, epochs=1, total_epochs=1, layers=(), history={}
    ).save(folder / "card.json")
    assert "model.safetensors" in save.save("baseline", project / "saved")
    again = load.load(project / "saved")
    assert again.spec == transformer.of_data(settings.model, dataset.spec())
    tokens = dataset.load("test").arrays().inputs["text"][:2]
    np.testing.assert_allclose(again.model(16)(tokens).numpy(), made(tokens).numpy(), atol=1e-5)
    from tokenizers import Tokenizer

    told = json.loads((project / "saved" / "tokenizer.json").read_text())
    ends = shipped.of({"text": {"tokenizer": told}}, project / "saved").ends  # as where its tokenizer made the data
    assert ends == shipped.of(preprocess.read(paths.DATA / "preprocess.json")["inputs"], None).ends
    words = Tokenizer.from_file(str(project / "saved" / "tokenizer.json"))
    assert words.decode(tokens[0].tolist()) in (project / "text.txt").read_text()


def test_a_model_that_reads_by_a_tokenizer_of_others_is_saved_with_that(project):
    from flows import save
    from tasks.examples import dataset, vocabulary
    from tasks.models import transformer
    from tasks.stages.prepare import prepare

    vocabulary.tokenizer({"bytes": True}).save(str(project / "tokenizer.json"))
    (project / "text.txt").write_text("the cat is on the mat, and the mouse is in the house\n" * 40)
    by_another = OWN.replace("tokens: bpe, vocabulary: 270", "tokens: tokenizer, tokenizer: tokenizer.json")
    (project / "params.yaml").write_text(by_another)
    settings = params.load()
    prepare(settings)
    save._write_own(transformer.build(settings.model, dataset.spec()), settings.model, project / "saved")
    told, config = (json.loads((project / "saved" / name).read_text()) for name in ("tokenizer.json", "config.json"))
    assert told == json.loads((project / "tokenizer.json").read_text())
    assert config["eos_token_id"] is None, "which token ends a text, that file does not say"


OWN = """
name: own
prepare: {source: text, path: text.txt, task: language, tokens: bpe, vocabulary: 270, length: 16, calibration: 4}
model: {family: transformer, layers: 2, width: 32, heads: 4, kv_heads: 2}
train: {epochs: 1}
compress: {}
quantize: {fp32: {model: baseline, scheme: float32}}
benchmark: {reference: fp32, devices: [host-cpu], protocol: {mode: quick}}
bundle: {default: {minimize: latency_ms}}
"""
