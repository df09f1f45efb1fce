"""A wrong params.yaml is told in one line: the key's path, what was there, what is allowed, a near match."""

import datetime
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tasks import paths
from tasks.errors import ParamsError
from tasks.params import BASELINE, Decoder, Params, check, load

ROOT = Path(__file__).resolve().parents[3]
GONE = object()


@pytest.fixture
def values():
    return {
        "name": "small",
        "prepare": {"source": "digits"},
        "model": {"family": "cnn", "filters": [4], "dense": [8]},
        "train": {"epochs": 2},
        "compress": {
            "pruned": {"method": "prune", "parent": "baseline", "sparsity": 0.5, "epochs": 1},
            "clustered": {"method": "cluster", "parent": "pruned", "epochs": 1},
        },
        "quantize": {
            "fp32": {"model": "baseline", "scheme": "float32"},
            "int8": {"model": "clustered", "scheme": "int8"},
        },
        "benchmark": {"reference": "fp32", "devices": ["host-cpu"], "protocol": {"mode": "quick"}},
        "bundle": {"budgets": {"host-cpu": {"max_latency_ms": 5}}},
    }


def put(values, path, value):
    """Set the key at a dotted path, or take it out."""
    *folders, last = path.split(".")
    for name in folders:
        values = values[name]
    if value is GONE:
        del values[last]
    else:
        values[last] = value


def message(values):
    paths.PARAMS.write_text(yaml.safe_dump(values, sort_keys=False))
    with pytest.raises(ParamsError) as caught:
        load()
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("params.yaml: ")
    return text.removeprefix("params.yaml: ")


def test_the_values_that_the_faults_start_from_are_right(project, values):
    paths.PARAMS.write_text(yaml.safe_dump(values, sort_keys=False))
    params = load()
    assert params.compress["clustered"].clusters == 16
    assert params.model_order() == ["pruned", "clustered"]
    with pytest.raises(ValueError, match="frozen"):
        params.name = "other"


FAULTS = {
    "unknown section": ("trian", {}, "trian: unknown key; allowed: .*train.*did you mean 'train'"),
    "unknown key": ("train.epoch", 3, r"train\.epoch: unknown key; allowed: augment, .* did you mean 'epochs'\?"),
    "unknown key of a member of a union": (
        "compress.pruned.sparsty",
        0.5,
        r"compress\.pruned\.sparsty: unknown key; allowed: .*did you mean 'sparsity'\?",
    ),
    "key of another method": ("compress.pruned.clusters", 8, r"compress\.pruned\.clusters: unknown key; allowed: .*"),
    "unknown key without a near match": (
        "benchmark.protocol.colour",
        "red",
        r"benchmark\.protocol\.colour: unknown key; allowed: mode, new_tokens, window_s, windows\.",
    ),
    "missing section": ("train", GONE, "train: this key is missing"),
    "missing key": ("train.epochs", GONE, r"train\.epochs: this key is missing"),
    "missing key of a member of a union": (
        "compress.pruned.epochs",
        GONE,
        r"compress\.pruned\.epochs: this key is missing",
    ),
    "neither of two": (
        "compress.pruned.sparsity",
        GONE,
        r"compress\.pruned: prune needs `sparsity` or `pattern`, and not both",
    ),
    "missing method": ("compress.pruned.method", GONE, r"compress\.pruned\.method: this key is missing"),
    "unknown method": (
        "compress.pruned.method",
        "prun",
        r"compress\.pruned\.method: received 'prun'; allowed: cluster, .*, smooth\. did you mean 'prune'\?",
    ),
    "unknown family": (
        "model.family",
        "cn",
        r"model\.family: received 'cn'; allowed: autoencoder, bow, cnn, .*\. did you mean 'cnn'\?",
    ),
    "unknown scheme": (
        "quantize.int8.scheme",
        "int9",
        r"quantize\.int8\.scheme: received 'int9'; allowed: as-is, .*, int8, int8-weights\. did you mean 'int8'\?",
    ),
    "unknown source": (
        "prepare.source",
        "mnist",
        r"prepare\.source: received 'mnist'; allowed: brain, breast-cancer, csv, .*, tsv\. did you mean 'medmnist'\?",
    ),
    "source without its path": ("prepare.source", "idx", r"prepare: source 'idx' needs the key 'path'"),
    "wrong type": ("train.epochs", "two", r"train\.epochs: received 'two'; input should be a valid integer.*"),
    "section that is a list": ("train", [1], r"train: received \[1\]; a section is expected, or {} for an empty one"),
    "section that is empty": ("train", None, "train: received nothing; a section is expected, or {} for an empty one"),
    "no new tokens": ("benchmark.protocol.new_tokens", 0, r"benchmark\.protocol\.new_tokens: received 0; .* to 1"),
    "an empty prompt": ("prepare.length", 0, r"prepare\.length: received 0; input should be greater than or .* 1"),
    "an empty part of it": ("quantize.int8.prefill", [0], r"quantize\.int8\.prefill\.0: received 0; .* equal to 1"),
    "too small": ("train.epochs", -1, r"train\.epochs: received -1; input should be greater than or equal to 0"),
    "untrained": ("train.epochs", 0, r"train\.epochs: received 0; only models of the families file and decoder are .*"),
    "a teacher that is no ancestor": (
        "compress.pruned.teacher",
        "clustered",
        r"compress\.pruned\.teacher: received 'clustered'; allowed: baseline\.?",
    ),
    "a task of another source": (
        "prepare.task",
        "language",
        "prepare: the task language is of the sources pydoc and text; received source 'digits'",
    ),
    "a metric of another task": (
        "evaluate",
        {"metric": "perplexity"},
        "evaluate.metric: 'perplexity' is of language; of classification there are accuracy, f1, .*",
    ),
    "questions for another task": (
        "evaluate",
        {"choices": "q.jsonl"},
        "evaluate.choices: received 'q.jsonl'; questions are for prepare.task language, .* 'classification'",
    ),
    "not a share": ("compress.pruned.sparsity", 80, r"compress\.pruned\.sparsity: received 80; .* be less than 1"),
    "seed below zero": ("train.seed", -5, r"train\.seed: received -5; input should be greater than or equal to 0"),
    "seed of the data": ("prepare.seed", -5, r"prepare\.seed: received -5; input should be greater.*"),
    "seed of a variant": ("quantize.int8.seed", 2**40, r"quantize\.int8\.seed: received 1099511627776; .* 4294967295"),
    "a device twice": ("benchmark.devices", ["host-cpu", "host-cpu"], r".*'host-cpu' twice; each.*"),
    "not finite": ("train.learning_rate", float("inf"), r"train\.learning_rate: received inf; .* a finite number"),
    "not finite where null is allowed": (
        "benchmark.protocol.window_s",
        float("inf"),
        r"benchmark\.protocol\.window_s: received inf; .* a finite number",
    ),
    "no number": ("bundle.budgets.host-cpu.max_latency_ms", float("nan"), r".*: received nan; .* finite.*"),
    "a long value": ("train.optimizer", "a" * 10**4, r"train\.optimizer: received 'a+…a+'; allowed: adam, .{,60}"),
    "beyond counting": ("train.epochs", 10**30, r"train\.epochs: received 10{30}; .*2147483647"),
    "item of a list": ("model.filters", [4, 0], r"model\.filters\.1: received 0; input should be greater than.*"),
    "no device": ("benchmark.devices", [], r"benchmark\.devices: received \[\]; list should have at least 1 item"),
    "bad name": (
        "name",
        "Two Words",
        "name: received 'Two Words'; small letters, digits and hyphens are allowed, and no hyphen at the beginning",
    ),
    "bad name of a variant": (
        "quantize.int8@pi",
        {"model": "baseline", "scheme": "int8"},
        r"quantize\.int8@pi: received the name 'int8@pi'; small letters, digits and hyphens are allowed, .*",
    ),
    "a name that is no text": (
        "quantize",
        {"fp32": {"model": "baseline", "scheme": "float32"}, False: {"model": "baseline", "scheme": "int8"}},
        "quantize: received the name False; YAML reads it as a number, a date or a truth value; add a word to it",
    ),
    "a date for a name": ("name", datetime.date(2026, 1, 2), "name: received 2026-01-02; text is expected"),
    "one word for a list of them": (
        "benchmark.devices", "host-cpu", "benchmark.devices: received 'host-cpu'; a list is expected",
    ),
    "an unknown key of a teacher": (
        "compress.pruned.teacher", {"family": "decoder", "source": "large", "a": 1},
        r"compress\.pruned\.teacher\.a: unknown key; allowed: family, source\.",
    ),
    "a teacher that is a list": (
        "compress.pruned.teacher", [1],
        r"compress\.pruned\.teacher: received \[1\]; a section is expected, or {} for an empty one",
    ),
    "an unknown key in a list of sections": (
        "search",
        {"objectives": [{"minimise": "bytes"}]},
        r"search\.objectives\.0\.minimise: unknown key; allowed: .*",
    ),
    "one of a few numbers": ("quantize.int8.bits", {"conv": 3}, "quantize.int8.bits.conv: received 3; allowed: 4, 8"),
    "awareness of what is no int8": (
        "quantize.fp32.aware_epochs",
        2,
        r"quantize\.fp32: aware_epochs means nothing for scheme 'float32'; it is for int8",
    ),
    "awareness beside ranges of another kind": (
        "quantize.int8",
        {"model": "baseline", "scheme": "int8", "aware_epochs": 1, "max_quality_drop": 0.0},
        r"quantize\.int8: aware_epochs trains all layers alike; leave out ranges, .*",
    ),
    "a scheme for excluded layers that there are not": (
        "quantize.int8",
        {"model": "baseline", "scheme": "int8", "exclude_scheme": "int16x8"},
        r"quantize\.int8: exclude_scheme means nothing without exclude or max_quality_drop",
    ),
    "parent that is not": (
        "compress.clustered.parent",
        "prund",
        r"compress\.clustered\.parent: received 'prund'; allowed: baseline, pruned\. did you mean 'pruned'\?",
    ),
    "parent of itself": (
        "compress.pruned.parent",
        "pruned",
        r"compress\.pruned\.parent: received 'pruned'; allowed: baseline, clustered\.",
    ),
    "fewer items than are asked for": (
        "compress.pruned",
        {"parent": "baseline", "method": "prune", "sparsity": 0.5, "epochs": 1, "block": [4]},
        r"compress\.pruned\.block\.1: this key is missing",
    ),
    "a name that YAML takes for a number": (
        "quantize",
        {"fp32": {"model": "baseline", "scheme": "float32"}, "1e3": {"model": "baseline", "scheme": "int8"}},
        r"quantize: received the name 1000\.0; YAML reads it as a number, a date or a truth value; add a word to it",
    ),
    "each other's parents": (
        "compress.pruned.parent",
        "clustered",
        "compress: pruned, clustered are each other's parents; one must come from another",
    ),
    "model named baseline": (
        f"compress.{BASELINE}",
        {"method": "finetune", "parent": "pruned", "epochs": 1},
        r"compress\.baseline: the name 'baseline' is taken by the trained model",
    ),
    "variant of no model": (
        "quantize.int8.model",
        "clusterd",
        r"quantize\.int8\.model: received 'clusterd'; allowed: baseline, .*, pruned\. did you mean 'clustered'\?",
    ),
    "reference that is no float32 baseline": (
        "benchmark.reference",
        "int8",
        r"benchmark\.reference: received 'int8'; allowed: fp32\.",
    ),
    "budget of a device that is not measured": (
        "bundle.budgets",
        {"host-gpu": {}},
        r"bundle\.budgets: received 'host-gpu'; allowed: host-cpu\. did you mean 'host-cpu'\?",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("path", "value", "expected"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_told_by_its_key(path, value, expected, project, values):
    put(values, path, value)
    text = message(values)
    assert re.fullmatch(expected + r"\??( \(and \d+ more\))?", text), text


def test_a_teacher_may_be_a_checkpoint_that_is_no_model_of_the_tree(project, values):
    values["compress"]["pruned"]["teacher"] = {"family": "decoder", "source": "large"}
    teacher = check(Params, values, Path("params.yaml")).compress["pruned"].teacher
    assert teacher == Decoder(family="decoder", source="large")
    del values["compress"]["pruned"]["teacher"]["source"]
    assert re.fullmatch(r"compress\.pruned\.teacher\.source: this key is missing", message(values))
    values["compress"]["pruned"]["teacher"] = {"family": "cnn", "source": "large"}
    assert message(values).startswith("compress.pruned.teacher.family: received 'cnn'; allowed: decoder")


def test_every_whole_number_has_an_upper_bound():
    """Beyond it TensorFlow or numpy would refuse, later and without the key; a search's space is checked by method."""

    def numbers(node, place):
        if isinstance(node, dict):
            if node.get("type") == "integer" and not node.keys() & {"maximum", "enum", "const"}:
                yield place
            for key, value in node.items():
                yield from numbers(value, (*place, key))
        elif isinstance(node, list):
            for value in node:
                yield from numbers(value, place)

    unbounded = {place[1:4:2] for place in numbers(Params.model_json_schema(), ()) if place[0] == "$defs"}
    assert unbounded == {("Interval", "low"), ("Interval", "high"), ("Search", "space")}


def test_the_misspelled_key_is_named_before_what_it_makes_missing(project, values):
    values["train"] = {"epoch": 2}
    assert message(values).startswith("train.epoch: unknown key; ")
    assert message(values).endswith("did you mean 'epochs'? (and 1 more)")


def test_a_file_that_is_not_there_says_how_to_get_one(project):
    with pytest.raises(ParamsError) as caught:
        load()
    assert str(caught.value) == "params.yaml: no such file; `tercet use digits-cnn` writes a params.yaml to start from"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "params.yaml: a mapping of sections is expected; received NoneType"),
        (b"- a\n- b\n", "params.yaml: a mapping of sections is expected; received list"),
        (
            b"name: [1\n\nmodel: 2\n",
            "params.yaml: not valid YAML: expected ',' or ']', but got ':', "
            "in what begins in line 1 (line 3: `model: 2`)",
        ),
        (b"name: " + b"a: " * 99, "params.yaml: not valid YAML: mapping values are not allowed here (line 1: `name"),
        (b"name: \xff\xfe\n", "params.yaml: not valid YAML: "),
        (b"name: !!python/object/apply:os.system ['touch run']\n", "params.yaml: not valid YAML: could not"),
        (b"name: a\n? [1]\n: b\n", "params.yaml: not valid YAML: "),
    ],
    ids=["empty", "a list", "unclosed", "a colon too many", "not UTF-8", "a command", "a list as key"],
)  # fmt: skip
def test_what_is_no_mapping_of_sections_is_one_line(content, expected, project):
    paths.PARAMS.write_bytes(content)
    with pytest.raises(ParamsError) as caught:
        load()
    assert str(caught.value).startswith(expected)
    assert "\n" not in str(caught.value)
    assert not Path("run").exists()


def test_a_key_that_is_there_twice_is_refused(project, values):
    text = yaml.safe_dump(values, sort_keys=False).replace("train:\n", "train:\n  seed: 3\n  seed: 4\n")
    paths.PARAMS.write_text(text)
    with pytest.raises(
        ParamsError, match=r"^params\.yaml: not valid YAML: the key 'seed' .* twice \(line [0-9]+: `seed: "
    ) as caught:
        load()
    assert "\n" not in str(caught.value)


def test_two_pairs_of_one_name_in_dvc_are_refused(project, values):
    values["quantize"]["int8-roofline"] = {"model": "baseline", "scheme": "int8"}
    values["benchmark"]["devices"] += ["raspberry-pi-5", "roofline-raspberry-pi-5"]
    assert message(values) == (
        "quantize.int8 on roofline-raspberry-pi-5 and quantize.int8-roofline on raspberry-pi-5 are both "
        "benchmark@int8-roofline-raspberry-pi-5 in dvc.yaml; rename one of the variants"
    )


ODD = st.sampled_from([None, [], {}, "x", -1, 0, 1.5, True, 10**30, [1], [1, 2], [[]], {"a": 1}, "1e3", "a" * 500])


def places(node, place=()):
    """Every place of a value: keys and positions."""
    yield place
    if isinstance(node, dict | list):
        for key in node if isinstance(node, dict) else range(len(node)):
            yield from places(node[key], (*place, key))


@given(st.data())
def test_whatever_stands_in_the_place_of_a_value_is_taken_or_told_in_one_line(data):
    preset = data.draw(st.sampled_from(sorted((ROOT / "infra" / "presets").glob("*.yaml"))))
    values = {"all": yaml.safe_load(preset.read_text())}
    *folders, last = data.draw(st.sampled_from(list(places(values["all"])))) or ("all",)
    node = values["all"] if (*folders, last) != ("all",) else values
    for step in folders:
        node = node[step]
    if data.draw(st.booleans()):
        node[last] = data.draw(ODD)
    else:
        del node[last]
    try:
        check(Params, values.get("all", {}), Path("params.yaml"))
    except ParamsError as error:
        assert "\n" not in str(error)  # noqa: PT017  # either outcome is fine
        assert len(str(error)) < 1500  # noqa: PT017  # likewise


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path: path.mkdir(), "params.yaml: cannot be read: Is a directory"),
        (lambda path: path.write_text("[" * 20_000), "params.yaml: not valid YAML: it is nested too deeply"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "params.yaml: not valid YAML: "),
    ],
    ids=["a folder", "deep", "no UTF-8"],
)
def test_what_cannot_be_read_is_one_line(project, write, said):
    write(paths.PARAMS)
    with pytest.raises(ParamsError) as caught:
        load()
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)
