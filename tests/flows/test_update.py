"""`tercet update`: a project that an older Tercet made, and its user edited, becomes one of this, edits and all."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows import graph, made
from flows import update as update_
from tasks import files, paths
from tasks.errors import ParamsError

ROOT = Path(__file__).resolve().parents[2]
GRAPH = (ROOT / "dvc.yaml").read_text()
START, END = GRAPH.index("  yardstick:\n"), GRAPH.index("  fingerprint:")
NIGHT = '{cron: "0 2 * * *", timezone: UTC}'
OWN_STAGE = "  mine:\n    cmd: echo mine > mine.txt\n    outs: [mine.txt]\n\n"
OLDER = {  # what has changed since, of each file
    "dvc.yaml": GRAPH[:START] + GRAPH[END:],
    "prefect.yaml": (ROOT / "prefect.yaml").read_text().replace(NIGHT, '{cron: "0 5 * * *", timezone: UTC}'),
    ".gitignore": (ROOT / ".gitignore").read_text().replace("/mlruns/\n", ""),
}


@pytest.fixture
def older(project, tercet, monkeypatch, tmp_path_factory):
    """A project that an older Tercet made, as the working directory; this Tercet is installed since."""
    resources, real = tmp_path_factory.mktemp("older"), paths.packaged
    for name, text in OLDER.items():
        (resources / name).write_text(text)
    with monkeypatch.context() as patch:
        patch.setattr(paths, "packaged", lambda place: resources / place if str(place) in OLDER else real(place))
        patch.setattr(made, "version", lambda _name: "0.0.9")
        assert tercet("init", "p", "--from", "smoke")[0] == 0
    return Path.cwd()


def edit(name, old, new):
    text = Path(name).read_text()
    assert old in text
    Path(name).write_text(text.replace(old, new))


def test_edits_live_and_what_is_tercets_is_new(older, tercet):
    edit("dvc.yaml", "\nmetrics:", f"\n{OWN_STAGE}metrics:")
    edit("prefect.yaml", "name: tercet\n", "name: digits\n")
    edit("params.yaml", "epochs: 2", "epochs: 3")
    edit(".dvc/config", "url = remote", "url = s3://bucket/digits")
    edit(".gitignore", "/data/\n", "")
    edit(".gitignore", "*.tmp\n", "*.tmp\n/notes/\n")
    Path("devices").mkdir()
    Path("devices/mine.yaml").write_text("kind: litert\n")
    kept = {name: Path(name).read_bytes() for name in ("params.yaml", ".dvc/config", "devices/mine.yaml")}
    with pytest.raises(ParamsError, match=r"yardstick: this Tercet wants .*`tercet update` brings it"):
        graph.check()

    code, said, _ = tercet("update")
    assert code == 0
    assert "dvc.yaml: updated, with your edits\n" in said
    assert f"of Tercet {made.now(ci=False).version} now; it was of 0.0.9" in said
    graph.check()
    assert Path("dvc.yaml").read_text() == GRAPH.replace("\nmetrics:", f"\n{OWN_STAGE}metrics:")
    assert Path("prefect.yaml").read_text() == (ROOT / "prefect.yaml").read_text().replace(
        "name: tercet\n", "name: digits\n"
    )
    assert {name: Path(name).read_bytes() for name in kept} == kept
    ignored = Path(".gitignore").read_text().splitlines()
    assert {"/notes/", "/mlruns/"} <= set(ignored)
    assert "/data/" not in ignored, "the user has taken it out"
    assert tercet("update")[:2] == (0, said.splitlines()[-1].replace("0.0.9", made.now(ci=False).version) + "\n")


def test_what_nobody_edited_is_what_this_tercet_writes(older, tercet):
    assert tercet("update")[0] == 0
    for name in made.GIVEN:
        if name != ".gitignore":
            assert Path(name).read_bytes() == (ROOT / name).read_bytes(), name
    assert set(Path(".gitignore").read_text().split()) == set((ROOT / ".gitignore").read_text().split())


def test_a_conflict_is_shown_and_holds_both_sides(older, tercet):
    edit("prefect.yaml", "0 5 * * *", "30 4 * * 1")
    code, said, _ = tercet("update")
    assert code == 1
    assert "prefect.yaml: CONFLICT, in 1 places: choose, from <<<<<<< to >>>>>>>\n" in said
    assert "dvc.yaml: updated\n" in said, "the others go on"
    text = Path("prefect.yaml").read_text()
    assert (
        text.index("<<<<<<< yours") < text.index("30 4 * * 1") < text.index(NIGHT) < text.index(">>>>>>> this Tercet")
    )

    code, _, said = tercet("update")
    assert (code, said) == (
        1, "tercet: prefect.yaml: a conflict is not settled (from <<<<<<< to >>>>>>>); choose, and say it again\n",
    )  # fmt: skip
    assert Path("prefect.yaml").read_text() == text
    settled = (ROOT / "prefect.yaml").read_text().replace("0 2 * * *", "30 4 * * 1")
    Path("prefect.yaml").write_text(settled)
    assert tercet("update")[0] == 0
    assert Path("prefect.yaml").read_text() == settled


def test_what_the_user_deleted_or_wrote_himself_is_left(older, tercet):
    Path("prefect.yaml").unlink()
    Path("Dockerfile").write_text("FROM scratch\n")
    code, said, _ = tercet("update", "--ci")
    assert code == 0
    assert "Dockerfile: yours, left as it is\n" in said
    assert ".github/workflows/tercet.yaml: added\n" in said
    assert not Path("prefect.yaml").exists()
    assert Path("Dockerfile").read_text() == "FROM scratch\n"
    assert Path(".github/workflows/tercet.yaml").read_bytes() == (ROOT / "infra/starts/workflow.yaml").read_bytes()
    edit(".github/workflows/tercet.yaml", "branches: [main]", "branches: [trunk]")
    assert tercet("update")[0] == 0, "they are in the record: --ci need not be said again"
    assert "branches: [trunk]" in Path(".github/workflows/tercet.yaml").read_text()


def test_a_project_without_a_record_keeps_its_files(older, tercet):
    made.RECORD.unlink()
    before = {name: Path(name).read_bytes() for name in ("dvc.yaml", "prefect.yaml")}
    code, said, _ = tercet("update")
    assert code == 0
    assert "dvc.yaml: yours, left as it is\n" in said
    assert "it was of one that kept no record" in said
    assert {name: Path(name).read_bytes() for name in before} == before


@pytest.mark.parametrize("failing", ["prefect.yaml", "dvc.yaml", ".tercet.json"])
def test_an_update_that_breaks_off_is_completed_by_the_next(failing, older, tercet, monkeypatch):
    edit("dvc.yaml", "\nmetrics:", f"\n{OWN_STAGE}metrics:")
    edit("prefect.yaml", "name: tercet\n", "name: digits\n")
    shutil.copytree(older, whole := older.with_name("whole"))
    replaced = files.replaced

    def full(path):
        if path.name == failing:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return replaced(path)

    with monkeypatch.context() as patch:
        patch.setattr(files, "replaced", full)
        assert tercet("update")[0] == 1
    assert tercet("update")[0] == 0
    os.chdir(whole)
    assert tercet("update")[0] == 0
    for name in (*made.GIVEN, ".tercet.json"):
        assert (older / name).read_bytes() == (whole / name).read_bytes(), name


def test_a_broken_record_and_our_own_repository_are_one_line(older, tercet, monkeypatch):
    made.RECORD.write_text(json.dumps({"version": 1, "files": {}}))
    code, _, said = tercet("update")
    assert code == 1
    assert said.startswith("tercet: .tercet.json: ")
    assert said.endswith("; take it from git, or delete it: your files are then left alone\n")
    monkeypatch.setattr(paths, "packaged", lambda place: older / place)
    assert tercet("update")[2] == "tercet: this is Tercet's own repository, which git brings up to date\n"


LINES = st.lists(st.sampled_from(["a", "b", "c", "<<<<<<<", "=======", "", "é"]), max_size=8)


@given(before=LINES, after=LINES, edits=st.lists(st.tuples(st.integers(0, 8), st.sampled_from("xyz")), max_size=4))
def test_no_line_of_the_users_is_ever_lost(before, after, edits, tmp_path_factory):
    """Whatever Tercet changes beside it."""
    mine = list(before)
    for number, (place, text) in enumerate(edits):
        mine.insert(place, f"mine {number} {text}")
    path = tmp_path_factory.mktemp("merge") / "file"
    written = ["".join(f"{line}\n" for line in lines) for lines in (before, after, mine)]
    path.write_text(written[2])
    update_._bring(str(path), *written[:2])
    left = path.read_text().splitlines()
    assert [line for line in left if line.startswith("mine ")] == [line for line in mine if line.startswith("mine ")]
    if mine == before:
        assert left == after
