"""Prompts that a shipped language model cannot take: one clear line each, by LiteRT and by PJRT."""

import json
from pathlib import Path

import numpy as np
import pytest

from tasks import files, paths
from tasks.decoder import network
from tasks.decoder.spec import Block, DecoderSpec
from tasks.formats import tflite
from tasks.params import Bundle, Quantize
from tasks.quantize import language as decoders
from tasks.quantize import signatures
from tasks.records import ArtifactCard, Comparison, Program, read
from tasks.stages import bundle as stage
from tests.bundles import prepared
from tests.language import PLACES, PROMPT, WORDS, scores_by_hand

SPEC = DecoderSpec(
    vocabulary=WORDS, width=16, hidden=16, heads=2, kv_heads=1, head_width=8, room=PLACES, attention_scale=0.35,
    tied=True, blocks=(Block((1.0, 0.1)),),
)  # fmt: skip
LETTERS = "abcdefghij"  # the eleventh token stands for all others
TOKENS = {"kind": "tokens", "shape": [PROMPT], "vocabulary": WORDS}
TEXT = {**TOKENS, "characters": LETTERS}
DEVICES = ("host-cpu", "host-cpu-pjrt", "roofline-raspberry-pi-5")  # on the last the file stands for itself


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A decoder of as many tokens and as much room as the LiteRT file, as programs of StableHLO."""
    path = tmp_path_factory.mktemp("program") / decoders.PROGRAMS
    entry = Quantize(model="baseline", scheme="float32", prefill=(4,), room=PLACES)
    path.write_bytes(decoders.programs_of(network.build(SPEC, PROMPT), entry))
    return path


@pytest.fixture
def ask(ready, params, make_row, serve, sealed, language_models, program):
    """What the script of a device's bundle says to a file, whose numbers or texts are such an input."""
    folder = paths.artifact("int8")
    path, beside = folder / "model.tflite", folder / program.name
    path.write_bytes(language_models["attending"].read_bytes())
    beside.write_bytes(program.read_bytes())
    calls = signatures.read(tflite.load(path))
    tokens, scores = signatures.language("int8", calls)
    told = Program(file=beside.name, sha256=files.sha256(beside), bytes=1, inputs=(), outputs=())
    changes = {"inputs": (tokens,), "outputs": (scores,), "signatures": calls, "stablehlo": told}
    changes |= {"sha256": files.sha256(path), "scheme": "float32"}
    read(ArtifactCard, folder / "card.json").model_copy(update=changes).save(folder / "card.json")
    rows = [make_row("int8", device, artifact_sha256=changes["sha256"]) for device in DEVICES]
    Comparison(name="w", reference="int8", rows=tuple(rows)).save(paths.REPORT / "comparison.json")
    chosen = params.model_copy(update={"bundle": Bundle.model_validate({"default": {"minimize": "latency_ms"}})})

    target = {"kind": "class", "classes": [*LETTERS, "?"]}
    prepared({"tokens": TOKENS}, target, np.arange(8 * PROMPT, dtype=np.int32).reshape(8, PROMPT) % WORDS)

    def run(device, entry, given):
        if not paths.bundle(device).exists():
            stage.bundle(chosen, device)
        described = {"inputs": {"tokens": entry}, "targets": {"label": target}}
        files.write_json(paths.bundle(device) / "preprocess.json", {"schema_version": 1, **described})
        sealed(paths.bundle(device))
        if given == "--check":
            return serve(paths.bundle(device), given)
        if isinstance(given, str):
            return serve(paths.bundle(device), "-", stdin=given)
        np.save("tokens.npy", np.array(given, np.int32))
        return serve(paths.bundle(device), "tokens.npy")

    return run


FREE = {"kind": "array", "dtype": "int32"}  # integers of which the data do not say that they are tokens
LONG = PLACES + 3
BY_THE_DATA = {
    "of another length": (TOKENS, [[1] * LONG], f"integers [n, {PROMPT}] expected; received int32 [1, {LONG}]"),
    "an empty text": (TEXT, "abc\n\n", "text 2 of 2 is empty; what follows is told of one token at least"),
    "no text": (TEXT, "", "-: no text in it; one text a line is expected"),
    "a token of no word": (TOKENS, [[0, 1, 2, 3, WORDS]], "numbers from 0 to 10 expected; received 0 to 11"),
}
BY_THE_MODEL = {
    "longer than the cache": (
        {**FREE, "shape": [LONG]}, [[1] * LONG], f"its state has room for {PLACES} tokens; a prompt has {LONG}",
    ),
    "empty": (
        {**FREE, "shape": [0]}, [[]],
        "an empty prompt; one token at least is needed, behind which the next one is told",
    ),
    "a token that it does not know": (
        {**FREE, "shape": [PROMPT]}, [[0, 1, 2, 3, -7]], "a prompt has the token -7; the model knows 11, from 0 on",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("device", "cases"), [(DEVICES[0], BY_THE_DATA), *((each, BY_THE_MODEL) for each in DEVICES)])
def test_a_prompt_that_cannot_be_taken_is_told_in_one_line(ask, device, cases):
    for case, (entry, given, told) in cases.items():
        done = ask(device, entry, given)
        assert (done.returncode, done.stdout) == (2, ""), case
        assert "Traceback" not in done.stderr, case
        said = [line for line in done.stderr.splitlines() if line.startswith("classify.py")]  # LiteRT says much, too
        assert said == [f"classify.py: {told}"], case


@pytest.mark.parametrize("device", DEVICES)
def test_others_are_answered(ask, device):
    done = ask(device, TEXT, "abc\nabcdefghij\n")
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["label"] in [*LETTERS, "?"] for line in done.stdout.splitlines()] == [True, True]
    assert Path(paths.bundle(device), "model.zip" if device == "host-cpu-pjrt" else "model.tflite").exists()


@pytest.mark.parametrize("device", DEVICES)
def test_prompts_of_the_data_come_out_as_expected(ask, device):
    done = ask(device, TOKENS, "--check")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["agree"]
    about = json.loads((paths.bundle(device) / "manifest.json").read_text())["examples"]
    assert (about["n"], about["labels"][:3]) == (8, ["a", "b", "a"])
    with np.load(paths.bundle(device) / about["outputs"]) as arrays:
        likeliest = arrays["expected"].argmax(axis=1).tolist()
        assert arrays["expected"].shape == (8, WORDS)
    assert [each["index"] for each in about["answers"]] == likeliest
    assert len(set(likeliest)) > 1, "the check would be empty"
    if device != "host-cpu-pjrt":  # of which the arithmetic is known
        places = np.arange(8 * PROMPT).reshape(8, PROMPT) % WORDS
        assert likeliest == [int(scores_by_hand("attending", row).argmax()) for row in places]
