"""GGUF files: the same network as the folder's, blocks made floats again, the tokenizer, and what is damaged."""

import json
import struct
import time

import numpy as np
import pytest
from tokenizers import Tokenizer, models

from tasks.checkpoints import gguf_tokenizer, load, tokenizer
from tasks.errors import ModelError
from tasks.examples.dataset import Spec, TensorSpec
from tasks.models import decoder
from tasks.params.models import Decoder
from tasks.ship import words
from tests import checkpoints


def weights(source):
    return dict(load.load(source).weights())


def test_it_is_the_network_of_the_folder(gguf_file, tmp_path):
    folder, file = load.load(checkpoints.make(tmp_path, "llama")), load.load(gguf_file())
    assert file.spec == folder.spec
    found, expected = dict(file.weights()), dict(folder.weights())
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert np.array_equal(found[name], value), name


@pytest.mark.parametrize(("kind", "bits"), [("Q8_0", 8), ("Q4_0", 4), ("Q4_1", 4), ("F16", 11), ("BF16", 8)])
def test_blocks_are_floats_again(gguf_file, tmp_path, kind, bits):
    """Within a step of the block's grid, and of its halves for the scale, of what they were."""
    expected = weights(checkpoints.make(tmp_path, "llama"))
    found = weights(gguf_file(kind))
    for name, value in expected.items():
        assert found[name].dtype == np.float32
        assert np.abs(found[name] - value).max() <= 2.2 * np.abs(value).max() / 2**bits, name
    assert any(not np.array_equal(found[name], value) for name, value in expected.items())


def test_factors_slow_the_rotation(gguf_file, monkeypatch):
    from tasks.checkpoints import gguf

    path = gguf_file()
    shapes, read = gguf.Gguf.shapes, gguf.Gguf.read
    factors = np.array([1, 2, 4, 8], np.float32)
    monkeypatch.setattr(gguf.Gguf, "shapes", lambda self: {**shapes(self), gguf.FACTORS: (4,)})
    monkeypatch.setattr(gguf.Gguf, "read", lambda self, name: factors if name == gguf.FACTORS else read(self, name))
    found = load.load(path).spec.blocks[0].frequencies
    assert found == pytest.approx(10_000.0 ** (-np.arange(4) / 4) / factors, rel=1e-6)


SCALED = {  # how llama.cpp reads what a file says of places: by what they are divided
    "a factor alone": ({"llama.rope.scaling.factor": 4.0}, 4),
    "its older name": ({"llama.rope.scale_linear": 4.0}, 4),
    "both names": ({"llama.rope.scaling.factor": 2.0, "llama.rope.scale_linear": 4.0}, 2),
    "a type": ({"llama.rope.scaling.factor": 4.0, "llama.rope.scaling.type": "linear"}, 4),
    "none of it": ({"llama.rope.scaling.factor": 4.0, "llama.rope.scaling.type": "none"}, 1),
    "nothing": ({"llama.rope.scaling.original_context_length": 64, "llama.rope.scaling.finetuned": False}, 1),
}


@pytest.mark.parametrize("case", SCALED)
def test_places_are_scaled_as_llama_cpp_scales_them(gguf_file, tmp_path, case):
    told, by = SCALED[case]
    source = load.load(gguf_file(told=told))
    assert source.spec.blocks[0].frequencies == pytest.approx(10_000.0 ** (-np.arange(4) / 4) / by, rel=1e-6)
    folder = checkpoints.make(tmp_path, "llama")
    (folder / "config.json").write_text(json.dumps(source.config))
    assert load.load(folder).spec == source.spec  # what is saved tells the same


def test_its_tokenizer_parts_digits_and_joins_by_the_merges(gguf_file):
    made = gguf_tokenizer.tokenizer(load.load(gguf_file()).tensors)
    assert made.encode("lowlo12<end>").tokens == ["low", "lo", "1", "2", "<end>"]
    assert made.decode(made.encode("low12").ids) == "low12"


LLAMA_3 = {
    "tokenizer.ggml.pre": "llama-bpe",
    "tokenizer.ggml.tokens": ["l", "o", "w", "e", "r", "ow", "lower", "<begin>", *(f"t{i}" for i in range(88))],
    "tokenizer.ggml.token_type": [*[1] * 7, 3, *[1] * 88],
    "tokenizer.ggml.merges": ["o w"],
    "tokenizer.ggml.bos_token_id": 7,
    "tokenizer.ggml.eos_token_id": 95,
}


def tokens_of(path, text):
    return gguf_tokenizer.tokenizer(load.load(path).tensors).encode(text).tokens


def test_llama_3_takes_a_whole_word_before_it_merges(gguf_file):
    """As its own tiktoken does: a word that is a token is that token, though no merges make it."""
    assert tokens_of(gguf_file(told=LLAMA_3), "lower") == ["<begin>", "lower"]
    assert tokens_of(gguf_file(told=LLAMA_3), "lowerow") == ["<begin>", "l", "ow", "e", "r", "ow"]


@pytest.mark.parametrize("parting", ["gpt-2", "smollm", "qwen2"])
def test_others_merge_and_begin_with_nothing(gguf_file, parting):
    told = LLAMA_3 | {"tokenizer.ggml.pre": parting}
    assert tokens_of(gguf_file(told=told), "lower") == ["l", "ow", "e", "r"]


@pytest.mark.parametrize(("parting", "begun"), [("llama-bpe", False), ("qwen2", True)])
def test_what_a_file_says_of_the_beginning_goes_before_what_is_usual(gguf_file, parting, begun):
    told = LLAMA_3 | {"tokenizer.ggml.pre": parting, "tokenizer.ggml.add_bos_token": begun}
    assert tokens_of(gguf_file(told=told), "ow") == ["<begin>", "ow"][not begun :]


@pytest.mark.parametrize(
    ("parting", "said"),
    [
        (3, "it parts texts by '3', not supported; allowed: gpt-2, llama-bpe, qwen2, smollm"),
        ([1, 2], r"it parts texts by '.1, 2.', not supported; allowed: gpt-2, llama-bpe, qwen2, smollm"),
        (None, "it does not say how it parts texts .tokenizer.ggml.pre.; give the model's tokenizer.json$"),
        ("default", "it parts texts by 'default', not supported; allowed: gpt-2, llama-bpe, qwen2, smollm"),
    ],
)
def test_a_way_of_parting_that_is_not_known_is_not_guessed(gguf_file, parting, said):
    """The network needs none: it is read all the same."""
    checkpoint = load.load(gguf_file(told={"tokenizer.ggml.pre": parting}))
    with pytest.raises(ModelError, match=said):
        gguf_tokenizer.tokenizer(checkpoint.tensors)


@pytest.mark.parametrize("parting", ["smollm", "default", None])
def test_its_tokens_are_known_however_it_parts_texts(gguf_file, parting):
    """So that a tokenizer.json can be held against it; one of other words is refused as ever."""
    pytest.importorskip("tf_keras", reason="the training stack is not installed")
    path = gguf_file(told={"tokenizer.ggml.pre": parting})
    known = ("l", "o", "w", "lo", "low", "1", "2", "<end>", *(f"t{i}" for i in range(88)))
    section, inputs = (
        Decoder(family="decoder", source=str(path)),
        {"text": TensorSpec((8,), "int32", 96, tokenized=True)},
    )
    assert decoder.build(section, Spec(inputs, known)).output_shape == (None, 96)
    with pytest.raises(ModelError, match="its token 1 is 'o', that of the data 'z': they have different tokenizers"):
        decoder.build(section, Spec(inputs, ("l", "z", *known[2:])))


DAMAGED = {
    "half a merge": {"tokenizer.ggml.merges": ["lo"]},
    "a merge of no tokens": {"tokenizer.ggml.merges": ["z q"]},
    "merges of numbers": {"tokenizer.ggml.merges": [1, 2]},
    "merges that are no list": {"tokenizer.ggml.merges": 3},
    "tokens of numbers": {"tokenizer.ggml.tokens": [1, 2]},
    "tokens that are no list": {"tokenizer.ggml.tokens": 3},
    "kinds that are no list": {"tokenizer.ggml.token_type": 3},
    "a beginning beyond them": {"tokenizer.ggml.bos_token_id": 5000, "tokenizer.ggml.add_bos_token": True},
    "a beginning before them": {"tokenizer.ggml.bos_token_id": -1, "tokenizer.ggml.add_bos_token": True},
    "a beginning of text": {"tokenizer.ggml.bos_token_id": "<s>", "tokenizer.ggml.add_bos_token": True},
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_tokenizer_is_one_line_that_names_the_file(gguf_file, case):
    path = gguf_file(told=DAMAGED[case])
    for read in (tokenizer.load, lambda path: words.of({"tokens": {}}, path)):
        with pytest.raises(ModelError, match="no whole tokenizer: ") as error:
            read(path)
        assert str(error.value).startswith(f"{path}: ")
        assert "\n" not in str(error.value)


REFUSED = {
    "an architecture": (
        {"architecture": "mamba"},
        "architecture 'mamba' is not supported of GGUF files; allowed: llama",
    ),
    "experts": ({"keys": [("expert_count", 8)]}, "a mixture of experts, which is not supported"),
    "a window": ({"keys": [("attention.sliding_window", 8)]}, "a sliding window .8. is not supported of GGUF files"),
    "YaRN": (
        {"told": {"llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": 4.0}},
        "rope_type: 'yarn' is not supported",
    ),
    "more of places": (
        {"told": {"llama.rope.scaling.attn_factor": 1.5, "llama.rope.scaling.alpha": 2.0}},
        "'llama.rope.scaling.alpha', 'llama.rope.scaling.attn_factor': not supported of GGUF files",
    ),
    "more of attention": (
        {"told": {"llama.attention.scale": 0.5}},
        "'llama.attention.scale': not supported of GGUF files",
    ),
    "tokens": ({"tokens": 97}, "97 tokens; the embedding has rows for 96"),
    "a missing tensor": ({"drop": ["blk.1.ffn_up.weight"]}, "1 tensors are missing: blk.1.ffn_up.weight"),
    "a tensor too many": (
        {"instead": {"blk.2.ffn_up.weight": np.zeros((48, 32), np.float32)}},
        "1 tensors belong to no part .*: blk.2.ffn_up.weight",
    ),
    "another shape": (
        {"instead": {"blk.1.ffn_up.weight": np.zeros((40, 32), np.float32)}},
        r"'blk.1.ffn_up.weight' is \[40, 32\]; \[48, 32\] expected",
    ),
    "no embedding": ({"drop": ["token_embd.weight"]}, "'token_embd.weight' is missing"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_supported_is_refused_in_one_line(gguf_file, case):
    changes, told = REFUSED[case]
    path = gguf_file(**changes)
    with pytest.raises(ModelError, match=told) as error:
        load.load(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_one_that_is_cut_off_anywhere_is_refused(gguf_file):
    path = gguf_file()
    content = path.read_bytes()
    for size in [0, 3, 4, 8, 20, *np.linspace(24, len(content) - 33, 25).astype(int)]:
        path.write_bytes(content[:size])
        with pytest.raises(ModelError, match=r"not a whole GGUF file \([\d,]+ bytes\)"):
            load.load(path)


def string(text):
    return struct.pack("<Q", len(text)) + text.encode()


HEADER = b"GGUF" + struct.pack("<I", 3)
HOSTILE = {
    "entries": HEADER + struct.pack("<QQ", 0, 1 << 60),
    "tensors": HEADER + struct.pack("<QQ", 1 << 60, 0),
    "a list": HEADER + struct.pack("<QQ", 0, 1) + string("a") + struct.pack("<IIQ", 9, 4, 1 << 60),
    "a list of lists": HEADER + struct.pack("<QQ", 0, 1) + string("a") + struct.pack("<IIQ", 9, 9, 1) * 3000,
    "a text": HEADER + struct.pack("<QQ", 0, 1) + string("a") + struct.pack("<IQ", 8, 1 << 40),
    "a tensor of 1 TB": HEADER + struct.pack("<QQ", 1, 0) + string("a") + struct.pack("<IQIQ", 1, 1 << 38, 0, 0),
    "sizes that overflow": (
        HEADER + struct.pack("<QQ", 1, 0) + string("a") + struct.pack("<IQQIQ", 2, 1 << 40, 1 << 40, 0, 0) + bytes(64)
    ),
    "axes": HEADER + struct.pack("<QQ", 1, 0) + string("a") + struct.pack("<I", 0xFFFFFFFF),
    "no such type": HEADER + struct.pack("<QQ", 1, 0) + string("a") + struct.pack("<IQIQ", 1, 4, 999, 0) + bytes(64),
    "another version": b"GGUF" + struct.pack("<IQQ", 77, 0, 0),
    "another file": b"PK\x03\x04" + bytes(60),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_file_that_promises_what_it_has_not_is_refused_at_once(tmp_path, case):
    path = tmp_path / "model.gguf"
    path.write_bytes(HOSTILE[case])
    before = time.process_time()
    with pytest.raises(ModelError, match="not a whole GGUF file") as error:
        load.load(path)
    assert "\n" not in str(error.value)
    assert time.process_time() - before < 2


def test_what_is_shipped_speaks_its_words(gguf_file):
    found = words.of({"tokens": {"kind": "tokens", "shape": [12], "vocabulary": 96}}, gguf_file())
    assert (found.begins, found.ends, found.chat) == (None, (7,), None)
    assert "low" in json.loads(found.tokenizer)["model"]["vocab"]
    other = json.loads(Tokenizer(models.WordLevel({"x": 0, "y": 1}, unk_token="y")).to_str())
    found = words.of({"tokens": {"kind": "tokens", "shape": [12], "vocabulary": 96, "tokenizer": other}}, gguf_file())
    assert json.loads(found.tokenizer) == other, "the data's own, which the model learnt"
    assert (found.begins, found.ends, found.chat) == (None, (7,), None)
