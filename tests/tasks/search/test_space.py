"""What a point of the space stands for, and that hand-written variants are points of it."""

import re
from pathlib import Path

import pytest
import yaml

from tasks import params
from tasks.errors import ParamsError
from tasks.params import Params, Quantize
from tasks.search import space

ROOT = Path(__file__).resolve().parents[3]
NAME = re.compile(r"^[a-z0-9][a-z0-9-]*$")


@pytest.fixture
def make():
    values = yaml.safe_load((ROOT / "infra/presets/digits-cnn.yaml").read_text())

    def make(quantize=(), **search):
        objectives = [{"of": "quality"}, {"of": "gzip_bytes"}]
        changed = {**values, "quantize": {**values["quantize"], **dict(quantize)}}
        found = Params.model_validate({**changed, "search": {"objectives": objectives, **search}})
        return found, found.search

    return make


def test_every_hand_written_variant_is_a_point_of_the_space(make):
    qat = {"model": "pruned80", "scheme": "int8", "aware_epochs": 2}
    found, search = make([("qat", qat), ("found-int8", {"model": "baseline", "scheme": "int8"})])
    choices = space.space(found, search, [])
    assert space.written(found) == [name for name in found.quantize if name != "found-int8"]
    for name in space.written(found):
        point = space.point(found, search, name)
        assert all(value in choices[key] for key, value in point.items())
        plan = space.plan(found, search, {**point, "prune.sparsity": 0.5, "cluster.clusters": 8})
        assert (plan.variant, plan.entry) == (name, found.quantize[name])
        entry = found.quantize[name]
        line = [entry.model, *found.ancestors(entry.model)][::-1][1:] if entry.model != "baseline" else []
        assert plan.models == tuple((model, found.compress[model]) for model in line)
    assert choices["scheme"] == ("dynamic", "int8", "like fp32", "like fp16", "like qat")


def test_a_chain_becomes_entries_each_the_parent_of_the_next(make):
    found, search = make(training={"epochs": 5, "batch_size": 32}, chains=[["slim", "prune", "cluster"]])
    point = {"chain": "slim+prune+cluster", "scheme": "int8", "slim.keep": 0.123456, "slim.score": "l1",
             "slim.scope": "uniform", "prune.sparsity": 0.8, "cluster.clusters": 16}  # fmt: skip
    plan = space.plan(found, search, point)
    methods = [entry for _, entry in plan.models]
    assert [entry.method for entry in methods] == ["slim", "prune", "cluster"]
    assert [entry.parent for entry in methods] == ["baseline", plan.models[0][0], plan.models[1][0]]
    assert {(entry.epochs, entry.batch_size, entry.schedule) for entry in methods} == {(5, 32, "cosine")}
    assert (methods[0].keep, methods[0].score, methods[1].sparsity, methods[2].clusters) == (0.123, "l1", 0.8, 16)
    assert plan.entry == Quantize(model=plan.models[2][0], scheme="int8")
    names = [plan.variant, *(name for name, _ in plan.models)]
    assert all(NAME.match(name) and len(name) <= 64 and name.startswith("found-") for name in names)
    assert len(set(names)) == 4


def test_the_written_entries_are_what_was_tried(make):
    found, search = make(chains=[["prune", "cluster"]])
    plan = space.plan(
        found, search, {"chain": "prune+cluster", "scheme": "int8", "prune.sparsity": 0.9, "cluster.clusters": 8}
    )
    values = found.model_dump(mode="json")
    for name, entry in plan.models:
        values["compress"][name] = entry.model_dump(mode="json", exclude_defaults=True)
    values["quantize"][plan.variant] = plan.entry.model_dump(mode="json", exclude_defaults=True)
    again = Params.model_validate(values)
    assert [again.compress[name] for name, _ in plan.models] == [entry for _, entry in plan.models]
    assert again.quantize[plan.variant] == plan.entry


def test_what_a_chain_does_not_use_makes_no_difference(make):
    found, search = make()
    one = {"chain": "prune", "scheme": "int8", "prune.sparsity": 0.8, "cluster.clusters": 8, "slim.keep": 0.5}
    plans = [
        space.plan(found, search, {**one, **change}) for change in ({}, {"cluster.clusters": 64}, {"slim.keep": 0.1})
    ]
    assert len({plan.key for plan in plans}) == 1
    assert space.plan(found, search, {**one, "prune.sparsity": 0.81}).key != plans[0].key
    assert space.plan(found, search, {**one, "scheme": "dynamic"}).key != plans[0].key


def test_chains_that_begin_alike_share_names_and_others_do_not(make):
    found, search = make(chains=[["prune"], ["prune", "cluster"]])
    point = {"scheme": "int8", "prune.sparsity": 0.8, "cluster.clusters": 8}
    short, long = (space.plan(found, search, {**point, "chain": chain}) for chain in ("prune", "prune+cluster"))
    assert short.models[0] == long.models[0]
    other = space.plan(found, search, {**point, "chain": "prune", "prune.sparsity": 0.7})
    assert other.models[0][0] != short.models[0][0]


def test_bits_are_named_where_they_differ_from_the_schemes(make):
    found, search = make(bits=[4, 8], schemes=["int8", "int4-weights", "float16"])
    layers = {"bits.conv2d": 4, "bits.dense": 8}
    plans = {s: space.plan(found, search, {"chain": "baseline", "scheme": s, **layers}) for s in search.schemes}
    assert plans["int8"].entry.bits == {"conv2d": 4}
    assert plans["int4-weights"].entry.bits == {"dense": 8}
    assert plans["float16"].entry.bits == {}
    assert len({plan.variant for plan in plans.values()}) == 3
    assert space.space(found, search, ["conv2d", "dense"])["bits.dense"] == (4, 8)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"objectives": [{"of": "quality"}]}, "search.objectives"),
        ({"objectives": [{"of": "latency_ms"}, {"of": "bytes"}]}, "latency_ms needs `device`"),
        ({"objectives": [{"of": "quality"}, {"of": "quality"}]}, "each may stand there once"),
        ({"objectives": [{"of": "bytes", "device": "host-cpu"}, {"of": "quality"}]}, "leave `device` out"),
        ({"goals": [{"of": "quality", "max": 1}]}, "a goal of quality has min or max_drop; received max"),
        ({"goals": [{"of": "bytes"}]}, "a goal of bytes has max; received none"),
        ({"chains": [["prune", "prune"]]}, "each may stand there once"),
        ({"space": {"prun.sparsity": [0.5]}}, "did you mean 'prune'?"),
        ({"space": {"prune.sparsity": {"low": 0.5, "high": 1.5}}}, "prune.sparsity: received 1.5"),
        ({"space": {"prune.sparsty": [0.5]}}, "prune.sparsty: received 0.5"),
        ({"space": {"prune.sparsity": {"low": 0.5, "high": 0.5}}}, "low must be below high"),
        ({"space": {"prune.allocate": ["uniform", "even", "sensitivity"]}}, "prune.allocate: received 'even'"),
        ({"space": {"cluster.clusters": {"low": 8.0, "high": 64.0}}}, "valid integer, got a number with a fract"),
        (
            {"space": {"gptq.epochs": [0], "gptq.block": {"low": 32, "high": 64}}, "chains": [["gptq"]]},
            "block: received 33",
        ),
        ({"space": {"prune.pattern": [None, "2:4"]}}, "`sparsity` or `pattern`, and not both"),
        ({"space": {"factorize.energy": [0.8]}}, "'factorize' is in none of the chains; allowed: cluster, distill,"),
        ({"trial": 3}, "search.trial: unknown key"),
    ],
)
def test_a_wrong_search_is_told_in_one_line(change, said, project):
    values = yaml.safe_load((ROOT / "infra/presets/digits-cnn.yaml").read_text())
    values["search"] = {"objectives": [{"of": "quality"}, {"of": "bytes"}], **change}
    Path("params.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(ParamsError) as caught:
        params.load()
    assert said in str(caught.value)
    assert str(caught.value).startswith("params.yaml: search")
    assert "\n" not in str(caught.value)
