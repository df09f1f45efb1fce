"""A search while it runs: what has been made, what to make next, and what has been found so far."""

import json
import logging
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from tasks import files, paths, track
from tasks.bench import devices as catalog
from tasks.bench import pair
from tasks.bench.locks import hold
from tasks.bench.request import made_in
from tasks.bench.runner import machine
from tasks.closure import Reader
from tasks.code import hangs
from tasks.errors import DataError
from tasks.members import FAMILIES
from tasks.params import BASELINE, Params
from tasks.params.search import Search
from tasks.records import ModelCard, read
from tasks.records.figures import QUALITY
from tasks.records.notation import significant
from tasks.search import bits, front, space, winners
from tasks.search.records import Found, Trial
from tasks.search.stopping import Judge
from tasks.search.study import Study
from tasks.search.trial import Lane, Workshop, device_quality, quality

HOME = paths.STATE / "search"
log = logging.getLogger(__name__)
REPEATS = 50  # points in a row that make what was made before: then the space is taken to hold no more


class State:
    """A study, its trials' records, and what they are judged by. One process at a time has its folder."""

    def __init__(self, params: Params, search: Search, devices: Sequence[str], lane: Lane) -> None:
        """Find the study of this space, these objectives, this baseline, data, files, devices, libraries and code.

        Args:
            params: of the project, whose baseline and reference are up to date.
            search: its section `search`.
            devices: those that objectives and goals name, estimates first.
            lane: who else may work during a stage.
        """
        reference = made_in(paths.artifact(params.benchmark.reference))
        given = [*files.below(paths.model(BASELINE)), paths.DATA / "card.json"]
        outside = files.read_json(paths.source("model"))  # hand-written models and teachers may be files
        root = space.digest([*map(files.sha256, given), *([outside] if outside else [])])
        self.search, self._params = search, params
        self._baseline = read(ModelCard, paths.model(BASELINE) / "card.json")
        asked_for, made_by = _asked_for(params, search), _made_by(params, search, devices)
        self.folder = HOME / space.digest([root, reference.card.sha256, asked_for, made_by])
        self.workshop = Workshop(params, search, self.folder, HOME / "models", root, reference, tuple(devices), lane)
        self.trials: list[Trial] = []
        self._under_way: dict[int, space.Plan] = {}
        self._same: dict[str, list[int]] = {}  # by plan, points that ask for what is under way
        self.folder.mkdir(parents=True, exist_ok=True)

    def open(self) -> None:
        """Read what an earlier start has left, and what trials are judged against."""
        self.aims = front.Aims(
            self.search, self._params.benchmark.reference, self._reference_qualities(), self._params.metric
        )
        records = sorted(self._records(), key=lambda trial: trial.number)
        self.trials = [trial for trial in records if trial.status != "failed"]
        failed = [trial.number for trial in records if trial.status == "failed"]
        layers = self._layers()
        found = space.space(self._params, self.search, list(layers))
        first = [space.point(self._params, self.search, name) for name in space.written(self._params)]
        priors = [bits.prior(each.of, layers, self.search.bits) for each in self.search.objectives]
        self._study = Study(self.folder, self.aims, found, first, priors, failed)
        for number in failed:  # what failed says nothing of the variant, and is tried once more at each start
            shutil.rmtree(self.folder / str(number))

    def _records(self) -> Iterator[Trial]:
        """What earlier trials have left; a record that cannot be read counts for nothing."""
        for path in self.folder.glob("*/trial.json"):
            try:
                yield read(Trial, path)
            except DataError as error:
                log.warning("left out: %s", error)

    def ask(self) -> tuple[int, space.Plan, Judge | None] | None:
        """The next trial: its number, its plan and who may stop it; null where no more are wanted, or none are new."""
        for _ in range(REPEATS if len(self.trials) + len(self._under_way) < self.search.trials else 0):
            number, point = self._study.ask()
            plan = space.plan(self._params, self.search, point)
            if same := self._told(plan.key):
                self._study.tell(number, same)
            elif plan.key in self._same:
                self._same[plan.key].append(number)
            else:
                self._under_way[number], self._same[plan.key] = plan, []
                own = plan.variant in space.written(self._params)
                return number, plan, None if own else Judge(self.aims, self.trials, self._baseline.parameters or 0)
        return None

    def _told(self, key: str) -> Trial | None:
        """The trial that answers for a plan."""
        return next((trial for trial in self.trials if trial.key == key and trial.status != "failed"), None)

    def tell(self, trial: Trial) -> None:
        """What came of a trial that was asked for."""
        del self._under_way[trial.number]
        self.trials.append(trial)
        for number in [trial.number, *self._same.pop(trial.key)]:
            self._study.tell(number, trial)
        self.found().save(self.folder / "found.json")

    def found(self, written: Sequence[str] = ()) -> Found:
        """What is known by now; `written` are the variants that params.yaml has of it."""
        aims, best = self.aims, self.aims.best(self.trials)
        edge = aims.front(self.trials)
        return Found(
            trials=len(self.trials),
            counts=dict(Counter(trial.status for trial in self.trials)),
            best=best.variant if best else None,
            distances=aims.distances(best.figures) if best else (),
            front=tuple(trial.number for trial in edge),
            within_goals=bool(edge) and not aims.violation(edge[0].figures),
            hypervolume=aims.hypervolume(self.trials, self.trials),
            handwritten_hypervolume=aims.hypervolume([each for each in self.trials if each.handwritten], self.trials),
            winners=tuple(written),
        )

    def conclude(self) -> list[str]:
        """Write the winners into params.yaml; the names of the variants, those that were there already among them."""
        chosen = self.aims.winners(self.trials)
        compress: dict[str, tuple[dict[str, object], str]] = {}
        quantize = {}
        for trial in chosen:
            own = [(name, entry) for name, entry in trial.models if name.startswith(space.FOUND)]
            compress |= {name: (entry, "by tercet search") for name, entry in own}
            known = ", ".join(
                f"{each.key} {significant(trial.figures[each.key], 4)}" for each in self.search.objectives
            )
            quantize[trial.variant] = (trial.entry, f"by tercet search: {known}")
        winners.write(compress, quantize)
        self.found(list(quantize)).save(self.folder / "found.json")
        return list(quantize)

    def _reference_qualities(self) -> dict[str, float]:
        """The reference's validation quality, and by every device whose own quality is asked for."""
        path, workshop = self.folder / "reference.json", self.workshop
        if path.exists():
            kept: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
            return kept
        reference, asked = workshop.reference, (*self.search.objectives, *self.search.goals)
        metric = self._params.metric
        qualities = {QUALITY: quality(reference, metric)}
        for each in asked:
            if each.of == QUALITY and each.device is not None and each.key not in qualities:
                protocol, device = workshop.protocol, each.device
                result = pair.measure(reference, reference, device, protocol, ("validation",), metric, track.settle)
                measured = result.measurement
                ran = measured.status == "ok" or measured.unknown  # a busy machine spoils times, no answers
                qualities[each.key] = (  # where it cannot run there, it counts as it runs here
                    device_quality(reference, measured, metric) if ran else qualities[QUALITY]
                )
        files.write_json(path, qualities)
        return qualities

    def _layers(self) -> dict[str, bits.Layer]:
        """The layers whose bit widths are searched; found once, as it takes a trial's time for each."""
        if not self.search.bits:
            return {}
        path = self.folder / "bits.json"
        if not path.exists():
            with self.workshop.lane("quantize"), hold("local", exclusive=False):
                found = bits.table(self.search, self._params.metric)
            files.write_json(path, {name: layer.model_dump() for name, layer in found.items()})
        kept = json.loads(path.read_text(encoding="utf-8"))
        return {name: bits.Layer.model_validate(layer) for name, layer in kept.items()}


def _made_by(params: Params, search: Search, devices: Sequence[str]) -> list[object]:
    """The code, the libraries, the processor and the devices that a trial's figures hang from."""
    found = [catalog.load(name) for name in devices]
    methods = {method for chain in search.chains for method in chain} | {e.method for e in params.compress.values()}
    named = methods | {params.metric, *FAMILIES, *search.schemes}.union(*map(hangs.members, found))
    closure = Reader().closure(["tasks.search.trial"], named)
    return [asdict(closure), machine.processor(), *map(catalog.fingerprint, found)]


def _asked_for(params: Params, search: Search) -> list[object]:
    """All that a trial's figures hang from, or its place in the study; more trials go on in the same one."""
    named = space.written(params)
    models = {params.quantize[name].model for name in named} - {BASELINE}
    line = {each for model in models for each in [model, *params.ancestors(model)]} - {BASELINE}
    prices = params.benchmark.prices
    return [
        search.model_dump(mode="json", exclude={"trials", "parallel", "winners"}),
        {name: params.quantize[name].model_dump(mode="json") for name in named},
        {name: params.compress[name].model_dump(mode="json") for name in sorted(line)},
        params.benchmark.protocol.model_dump(mode="json"),
        params.metric,
        *([prices.model_dump(mode="json")] if prices else []),
    ]
