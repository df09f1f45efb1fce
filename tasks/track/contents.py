"""What MLflow shall hold of the records, told without importing it."""

from collections.abc import Iterator, Mapping, Sequence

from tasks import paths, records
from tasks.params import Params
from tasks.params.seeds import replicas
from tasks.records import Comparison, ModelCard, Published, Row, YardstickScores, estimates, notation
from tasks.records.figures import FIGURES, QUALITY, Value, known, told
from tasks.ship.manifest import Manifest
from tasks.track import lineage
from tasks.track.entries import Alias, Artifact, Entry, Point, Report, Run
from tasks.track.lineage import Data
from tasks.track.views import views

LONGEST = 5000  # of a tag's value in MLflow
CANDIDATE = "candidate-"  # and the device: the alias of what its budget selects
SAMPLES = "samples"  # of text, among what a model's run holds and in the model's folder


def collect(params: Params) -> list[Entry]:
    """Everything that is to be published, in the order in which one refers to another.

    Raises:
        DataError: the report has not been made, or a card is damaged.
    """
    comparison, data = records.read(Comparison, paths.REPORT / "comparison.json"), lineage.data()
    rows = (*comparison.rows, *comparison.replicas)
    variants = {row.variant: row.model for row in rows}
    made = {variant: lineage.of_variant(variant, model) for variant, model in variants.items()}
    return [
        *(of_row(params.name, row, made[row.variant], data) for row in rows),
        *(of_seeds(params.name, row, rows, made[row.variant]) for row in rows if row.over_seeds),
        *(of_yardstick(params.name, each, data) for each in comparison.yardsticks),
        *_models(params, data),
        _report(params.name, comparison),
        *_artifacts(params.name, comparison),
        *_aliases(params),
    ]


def of_row(experiment: str, row: Row, made: dict[str, str], data: Data | None) -> Run:
    """A flat run per variant and device: few metrics, the figures themselves; what is around them stands in tags.

    Args:
        experiment: its name.
        row: the pair.
        made: the parameters of all that led to the variant.
        data: that it was trained on.
    """
    named = {"variant": row.variant, "device": row.device, "model": row.model, "scheme": row.scheme}
    return Run(
        key=f"{experiment}: {row.variant} @ {row.device}",
        name=f"{row.variant} @ {row.device}",
        params={**named, "total_epochs": str(row.total_epochs), **made},
        tags={"kind": "measurement", **_about(row)},
        points=tuple(Point(_called(key, row), float(each.value)) for key, each in known(row).items()),
        data=data,
        artifact_sha256=row.measurement.artifact_sha256 if row.measurement.status == "ok" and _may_ship(row) else None,
        began_ms=row.measurement.began_ms,
        ended_ms=row.measurement.ended_ms,
    )


def _may_ship(row: Row) -> bool:
    """Whether the registry has its file: of several seeds that of the first alone."""
    return row.of in (None, row.variant)


def of_seeds(experiment: str, row: Row, rows: Sequence[Row], made: dict[str, str]) -> Run:
    """A run per variant and device that has the means over seeds, with their intervals in tags.

    Args:
        experiment: its name.
        row: of the first seed, which has the means.
        rows: of all seeds.
        made: the parameters of all that led to the first's.
    """
    own = [each for each in rows if (each.of, each.device) == (row.variant, row.device)]
    named = {"variant": row.variant, "device": row.device, "model": row.model, "scheme": row.scheme}
    tags = {"kind": "seeds", "of": row.variant, "seeds": " ".join(str(each.seed) for each in own)}
    for figure in told([row]):
        if (value := figure.over_seeds(row)) and figure.key in row.over_seeds:
            key = _called(figure.key, row)
            tags |= {name: said for name, said in _sure(key, value).items() if said}
            tags[f"{key}_over_seeds"] = notation.cell(figure, value, wide=True)
    return Run(
        key=f"{experiment}: {row.variant} @ {row.device} over seeds",
        name=f"{row.variant} @ {row.device} over seeds",
        params={**named, **{key: value for key, value in made.items() if not key.endswith(".seed")}},
        tags=tags,
        points=tuple(Point(_called(key, row), found.mean) for key, found in row.over_seeds.items()),
    )


def of_yardstick(experiment: str, scores: YardstickScores, data: Data | None) -> Run:
    """A run per yardstick: its quality, by the name that the variants have it by."""
    test = scores.on("test")
    return Run(
        key=f"{experiment}: yardstick {scores.name}",
        name=f"yardstick {scores.name}",
        params={"yardstick": scores.name, "method": scores.method},
        tags={"kind": "yardstick", f"{test.metric}_interval": f"{test.low:.6g} to {test.high:.6g}"},
        points=(Point(test.metric, test.value),),
        data=data,
    )


def _about(row: Row) -> dict[str, str]:
    """Where a pair's figures come from, and how sure they are."""
    m, found = row.measurement, row.speed
    tags = {
        "status": m.status,
        "reason": m.reason,
        "device_kind": m.device_kind,
        "mode": m.mode,
        "artifact_sha256": m.artifact_sha256,
        "stand_in": m.stand_in,
        "flags": " ".join(m.flags),
        "published": "; ".join(map(_published, m.published)),
        "of": row.of,
        "seed": None if row.seed is None else str(row.seed),
        **{f"{figure}_error": told for figure, told in estimates.errors(m).items()},
    }
    if m.status == "ok":
        tags |= {
            "outcome": row.outcome,
            "metric": row.metric,
            "ratio_against": found.against if found else None,
            f"{row.metric}_n": str(row.quality_n),
            f"validation_{row.metric}": f"{row.worth:.6g}",
            "paired_p_value": f"{row.paired.p_value:.6g}" if row.paired else None,
        }
        for each in row.yardsticks:
            tags[f"yardstick_{each.name}"] = f"{each.quality:.6g}"
            tags[f"yardstick_{each.name}_p_value"] = f"{each.paired.p_value:.6g}" if each.paired else None
        if row.choices and row.choices.acc.paired:
            tags["acc_paired_p_value"] = f"{row.choices.acc.paired.p_value:.6g}"
        if row.choices:
            tags["acc_shares"] = " ".join(f"{share:.3g}" for share in row.choices.acc.shares)
        for key, value in known(row).items():
            tags |= _sure(_called(key, row), value) if FIGURES[key].scope != "file" else {}
    return {name: value[:LONGEST] for name, value in tags.items() if value}


def _published(each: Published) -> str:
    """Somebody else's figure: a tag, as no metric of ours may be mistaken for it, nor it for one."""
    energy = f", {each.energy_mj:g} mJ" if each.energy_mj is not None else ""
    return f"{each.network}, {each.precision}, {each.ran_on}: {each.latency_ms:g} ms{energy} ({each.source})"


def _called(key: str, row: Row) -> str:
    """A figure's key; of the quality what it is, as MLflow's charts show nothing but the name: accuracy, auc."""
    return row.metric if key == QUALITY else key


def _sure(key: str, value: Value) -> dict[str, str | None]:
    """A figure's source, and its ends named as what they are: an `interval` of 95 %, a `range`, `bounds`."""
    ends = None if value.low is None or value.high is None else f"{value.low:.6g} to {value.high:.6g}"
    return {f"{key}_source": value.source, f"{key}_{value.bounds}": ends}


def of_card(experiment: str, card: ModelCard, data: Data | None, of: tuple[str, int] | None = None) -> Run:
    """A run per model, with its training curves, and the data that it was trained on.

    Args:
        experiment: its name.
        card: the model's.
        data: that it was trained on.
        of: whose a model of a further seed is, and the seed.
    """
    parameters = [] if card.parameters is None else [Point("parameters", card.parameters)]
    curves = [
        point
        for epoch in range(max(map(len, card.history.values()), default=0))
        for point in curve_points(epoch, {name: v[epoch] for name, v in card.history.items() if epoch < len(v)})
    ]
    named = {"model": card.model, "method": card.method, "parent": card.parent or ""}
    return Run(
        key=f"{experiment}: model {card.model}",
        name=model_run_name(card.model),
        params={**named, "total_epochs": str(card.total_epochs), **lineage.of_model(card.model)},
        tags={"kind": "model"} | ({"of": of[0], "seed": str(of[1])} if of else {}),
        points=(*parameters, *curves),
        data=data,
        model=card.model,
        texts=folder if (folder := paths.model(card.model) / SAMPLES).is_dir() else None,
    )


def curve_points(epoch: int, metrics: Mapping[str, float | None]) -> list[Point]:
    """An epoch's metrics as Keras names them. Without `train_` the artifacts' accuracy would share their chart."""
    return [
        Point(name if name.startswith("val_") else f"train_{name}", value, epoch)
        for name, value in metrics.items()
        if value is not None
    ]


def model_run_name(model: str) -> str:
    """The name of the run that holds a model's curves."""
    return f"model {model}"


def _models(params: Params, data: Data | None) -> Iterator[Run]:
    """Of those that are there with all that they come from: else an earlier one would stand for what has failed."""
    whose = replicas(params)
    for model in (*params.baselines, *params.compress):
        line = [paths.model(each) / "card.json" for each in (model, *params.ancestors(model))]
        if all(path.exists() for path in line):
            yield of_card(params.name, records.read(ModelCard, line[0]), data, whose.get(model))


def _report(experiment: str, comparison: Comparison) -> Report:
    pages = [paths.REPORT / name for name in ("index.html", "comparison.csv", "comparison.json")]
    variants = dict.fromkeys(row.variant for row in comparison.rows)
    evaluations = {variant: path for variant in variants if (path := paths.evaluation(variant)).exists()}
    return Report(
        key=f"{experiment}: report",
        name="report",
        tags={"kind": "report", "reference": comparison.reference},
        files=tuple(path for path in (*pages, paths.PARAMS) if path.exists()),
        evaluations=evaluations,
        views=views(comparison),
    )


def _artifacts(experiment: str, comparison: Comparison) -> Iterator[Artifact]:
    by_file: dict[str, list[Row]] = {}
    for row in comparison.rows:
        by_file.setdefault(row.measurement.artifact_sha256, []).append(row)
    for sha256, rows in by_file.items():
        row = rows[0]
        yield Artifact(
            key=f"{experiment}: artifact {row.variant} {sha256[:12]}",
            sha256=sha256,
            variant=row.variant,
            file=paths.artifact(row.variant) / "model.tflite",
            tags={"variant": row.variant, "model": row.model, "scheme": row.scheme, "artifact_sha256": sha256},
            description=_description(rows),
        )


def _description(rows: Sequence[Row]) -> str:
    """A table of what a file is worth on each device, in Markdown."""
    ran = [row for row in rows if row.measurement.status == "ok"]
    columns = told(ran)
    lines = [["device", *(figure.key for figure in columns)], ["---"] * (len(columns) + 1)]
    for row in rows:
        status = row.measurement.status
        values = [figure.of(row) if status == "ok" else None for figure in columns]
        name = row.device if status == "ok" else f"{row.device} ({status})"
        lines.append([name, *("–" if value is None else _number(value.value) for value in values)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def is_alias(name: str) -> bool:
    """Whether an entry's name, behind the experiment's, is that of an alias; no run's is: each has a blank."""
    return name.startswith(CANDIDATE) and " " not in name


def _aliases(params: Params) -> Iterator[Alias]:
    for device in params.benchmark.devices:
        path = paths.bundle(device) / "manifest.json"
        if path.exists():
            sha256, name = records.read(Manifest, path).artifact_sha256, f"{CANDIDATE}{device}"
            yield Alias(f"{params.name}: {name}", name, sha256)
