"""Stage `report`: everything that was measured, compared, in one folder for people and for tools."""

from tasks import files, paths
from tasks.files import replaced_folder, write_json, write_text
from tasks.params import Params
from tasks.report import advice, page, roofline_error, tables
from tasks.report.about import about
from tasks.report.gather import gather, subject
from tasks.report.matrix import matrices


def report(params: Params) -> None:
    """Compare the variants and devices that `params` names and write `out/report/` whole.

    Files: `comparison.json` (the record), `comparison.csv` (a line per pair), `advice.json` (what to ship where),
    `metrics.json` and `plot.csv` (for `dvc metrics` and `dvc plots`) and `index.html`, which needs nothing else;
    `roofline.json`, where hardware that was predicted was measured too.

    Raises:
        DataError: a record is malformed, or an evaluation was made on other test data.
    """
    comparison = gather(params)
    advised = advice.advise(comparison, params)
    judged = (row.variant for row in comparison.rows if row.quality is not None)
    subjects = [subject(variant) for variant in dict.fromkeys(judged)]
    card = paths.DATA / "card.json"
    made_from = about(params, comparison, subjects, files.sha256(card) if card.exists() else None)
    confusions = matrices(advised, [each.evaluation for each in subjects])
    with replaced_folder(paths.REPORT) as folder:
        comparison.save(folder / "comparison.json")
        advised.save(folder / "advice.json")
        write_text(folder / "comparison.csv", tables.pairs(comparison))
        write_json(folder / "metrics.json", tables.metrics(comparison))
        write_text(folder / "plot.csv", tables.points(comparison))
        write_text(folder / "index.html", page.render(comparison, advised, made_from, confusions, subjects))
        errors = roofline_error.find(row.measurement for row in comparison.rows)
        if errors:
            write_json(folder / "roofline.json", [error.model_dump(mode="json") for error in errors])
