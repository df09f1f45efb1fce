"""Stage `report`: everything that was measured, compared, in one folder for people and for tools."""

from pathlib import Path

from tasks import files, paths, revision
from tasks.files import replaced_folder, write_json, write_text
from tasks.params import Params
from tasks.records import ArtifactCard, Comparison
from tasks.report import advice, explorer, page, roofline_error, tables
from tasks.report.about import about
from tasks.report.gather import gather, subject
from tasks.report.matrix import matrices


def report(params: Params) -> None:
    """Compare the variants and devices that `params` names and write `out/report/` whole.

    Files: `comparison.json` (the record), `comparison.csv` (a line per pair), `advice.json` (what to ship where),
    `shipped.json` and `plot.csv` (for `dvc metrics`, `dvc exp show` and `dvc plots`), `metrics.json` (every figure of
    every pair) and `index.html`, which needs nothing else;
    `roofline.json`, where hardware that was predicted was measured too; `explorer/`, the operators of each variant's
    file as node data of Model Explorer.

    Raises:
        DataError: a record is malformed, or an evaluation was made on other test data.
    """
    comparison = gather(params)
    advised = advice.advise(comparison, params)
    judged = (row.variant for row in comparison.rows if row.quality is not None)
    subjects = [subject(variant) for variant in dict.fromkeys(judged)]
    card = paths.DATA / "card.json"
    data = files.sha256(card) if card.exists() else None
    made_from = about(params, comparison, subjects, data, revision.commit())
    confusions = matrices(advised, [each.evaluation for each in subjects])
    with replaced_folder(paths.REPORT) as folder:
        comparison.save(folder / "comparison.json")
        advised.save(folder / "advice.json")
        write_text(folder / "comparison.csv", tables.pairs(comparison))
        write_json(folder / "metrics.json", tables.metrics(comparison))
        write_json(folder / "shipped.json", tables.shipped(comparison, advised))
        write_text(folder / "plot.csv", tables.points(comparison))
        write_text(folder / "index.html", page.render(comparison, advised, made_from, confusions, subjects))
        for each in subjects:
            _explorer(folder / "explorer", each.artifact, comparison)
        errors = roofline_error.find(row.measurement for row in comparison.rows)
        if errors:
            write_json(folder / "roofline.json", [error.model_dump(mode="json") for error in errors])


def _explorer(folder: Path, card: ArtifactCard, comparison: Comparison) -> None:
    """A file for each figure of a variant's operators."""
    measured = [row.measurement for row in comparison.rows if row.variant == card.variant]
    for name, data in explorer.node_data(paths.artifact(card.variant) / card.file, measured).items():
        write_json(folder / card.variant / f"{name}.json", data)
