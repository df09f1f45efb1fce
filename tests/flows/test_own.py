"""`tercet init --data`: a project for data of one's own, without an edit of Python or YAML."""

import csv
import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from flows.own import Own, kind, written
from tasks import files, params, paths
from tasks.errors import DataError, ModelError, ParamsError
from tasks.examples import tables
from tasks.stages import prepare

RNG = np.random.default_rng(0)


def images(folder: Path, side=16, each=30):
    """Dark and bright squares, in a folder for each."""
    for name, level in (("dark", 40), ("bright", 200)):
        (folder / name).mkdir(parents=True)
        for i in range(each):
            pixels = np.clip(RNG.normal(level, 20, (side, side)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


def rows(path: Path, columns, made):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *made])
    return path


def table(path: Path, n=60):
    numbers = RNG.normal(size=(n, 2))
    return rows(path, ["x", "y", "sold"], [(a, b, "yes" if a + b > 0 else "no") for a, b in numbers])


def texts(path: Path, n=60):
    words = [("good fine happy", "up"), ("bad sad awful", "down")]
    return rows(path, ["text", "label"], [(f"{words[i % 2][0]} day {i}", words[i % 2][1]) for i in range(n)])


MAKE = {
    "images": lambda tmp: images(tmp / "shapes"),
    "table": lambda tmp: table(tmp / "a.csv"),
    "texts": lambda tmp: texts(tmp / "b.csv"),
}
TARGET = {"table": ["--target", "sold"]}


@pytest.mark.parametrize("what", MAKE)
def test_data_become_a_project_whose_data_can_be_prepared(what, project, tercet, tmp_path_factory):
    data = MAKE[what](tmp_path_factory.mktemp("data"))
    code, out, err = tercet("init", "Mine & yours", "--data", str(data), *TARGET.get(what, []))
    assert (code, err) == (0, "")
    assert f"params.yaml is now for {data.name}; `tercet run` runs it" in out
    settings = params.load()
    assert settings.name == "own-mine-yours"
    assert {entry.scheme for entry in settings.quantize.values()} == {"float32", "int8"}
    assert len(settings.benchmark.devices) == 2
    prepare.prepare(settings)
    told = files.read_json(paths.DATA / "preprocess.json")
    assert sorted(told["targets"]["label"]["classes"]) == {
        "images": ["bright", "dark"], "table": ["no", "yes"], "texts": ["down", "up"],
    }[what]  # fmt: skip


def test_a_model_and_devices_of_ones_own_are_named(project, tercet, tmp_path_factory):
    data = table(tmp_path_factory.mktemp("data") / "t.csv")
    model = data.with_name("mine.keras")
    model.write_bytes(b"")
    words = ["--target", "sold", "--device", "host-cpu", "--device", "stm32h743", "--model", str(model)]
    assert tercet("init", "p", "--data", str(data), *words)[0] == 0
    settings = params.load()
    assert settings.benchmark.devices == ("host-cpu", "stm32h743")
    assert (settings.model.family, settings.model.source, settings.train.epochs) == ("file", str(model), 0)


def test_data_within_the_project_are_named_from_there(project):
    images(project / "p" / "shapes")
    assert '\n  path: "shapes"\n' in written("p", Own(Path("p/shapes")), Path("p"))


def test_images_that_are_large_or_differ_in_size_are_resized(tmp_path):
    images(tmp_path / "small")
    assert "height" not in written("p", Own(tmp_path / "small"), tmp_path)
    Image.new("L", (9, 9)).save(tmp_path / "small" / "dark" / "other.png")
    assert "  height: 64\n  width: 64\n" in written("p", Own(tmp_path / "small"), tmp_path)
    assert "  height: 64\n" in written("p", Own(images(tmp_path / "large", side=100, each=2)), tmp_path)


@pytest.mark.parametrize("form", ["tar", "gztar", "zip"])
@pytest.mark.parametrize("side", [16, 100])
@pytest.mark.parametrize("parted", [False, True], ids=["one folder", "train and test"])
def test_an_archive_is_a_start_like_the_folder_in_it(project, tercet, tmp_path_factory, form, side, parted):
    home = tmp_path_factory.mktemp("data")
    images(home / "shapes" / ("train" if parted else ""), side, each=10)
    if parted:
        images(home / "shapes" / "test", side, each=5)
    packed = Path(shutil.make_archive(str(home / "packed"), form, home, "shapes"))
    assert tercet("init", "p", "--data", str(packed))[::2] == (0, "")
    made = paths.PARAMS.read_text().replace(packed.name, "shapes")
    assert made == written("p", Own(home / "shapes"), project)
    assert params.load().prepare.calibration == 10
    prepare.prepare(params.load())


@pytest.mark.parametrize("form", ["csv", "jsonl", "folder"])
def test_as_much_is_read_of_texts_as_nine_of_ten_have(form, project):
    made = [("word " * (i + 1), "ab"[i % 2]) for i in range(100)]
    data = project / f"t.{form}"
    if form == "csv":
        rows(data, ["text", "label"], made)
    elif form == "jsonl":
        lines = [{"text": text, "label": label} for text, label in made]
        data.write_text("".join(json.dumps(line) + "\n" for line in [*lines, ["a line that preparation refuses"]]))
    else:
        for place, (text, label) in enumerate(made):
            (data / label).mkdir(parents=True, exist_ok=True)
            (data / label / f"{place}.txt").write_text(text)
    length = yaml.safe_load(written("a", Own(data), project))["prepare"]["length"]
    assert length == pytest.approx(90, abs=1)


@pytest.mark.parametrize(("words", "length"), [(1, 16), (1000, 256)])
def test_texts_that_are_brief_or_long_have_a_length_within_bounds(words, length, project):
    rows(project / "t.csv", ["text", "label"], [(f"{i} " + "word " * words, i % 2) for i in range(20)])
    assert yaml.safe_load(written("a", Own(project / "t.csv"), project))["prepare"]["length"] == length


def test_a_target_of_many_numbers_is_a_value_and_of_few_a_class(tmp_path):
    many = rows(tmp_path / "m.csv", ["x", "price"], [(i, i * 1.5) for i in range(50)])
    few = rows(tmp_path / "f.csv", ["x", "stars"], [(i, i % 5) for i in range(50)])
    assert "  task: regression\n" in written("p", Own(many, "price"), tmp_path)
    assert "  task: classification\n" in written("p", Own(few, "stars"), tmp_path)


@pytest.mark.parametrize("parted", tables.DELIMITERS)
def test_a_table_is_seen_as_it_will_be_prepared(parted, project):
    """Whatever parts its fields, with space around names and lines that are blank."""
    made = [f"{i}{parted}a" for i in range(30)] + [f"{i}{parted}b" for i in range(30)]
    (project / "t.csv").write_text("\n \n".join([f"size {parted} sold", *made]))
    (project / "params.yaml").write_text(written("p", Own(project / "t.csv", "sold"), project))
    prepare.prepare(params.load())
    told = files.read_json(paths.DATA / "preprocess.json")
    assert told["targets"]["label"]["classes"] == ["a", "b"]
    assert told["inputs"]["numbers"]["columns"] == ["size"]


def test_words_in_a_table_are_not_for_a_device_that_looks_nothing_up(tmp_path):
    """Nor is a column of them left out where the network is not given it."""
    devices = "devices: [host-cpu, {}]".format
    given = [(i, f"2026-01-0{i % 9 + 1}", f"id {i}", "abc"[i % 3], "" if i % 7 else "?") for i in range(60)]
    names = ["x", "day", "id", "sold", "empty"]
    assert devices("ethos-u55-128") in written("p", Own(rows(tmp_path / "n.csv", names, given), "sold"), tmp_path)
    words = [(*row, ["north", "south"][row[0] % 2]) for row in given]
    assert devices("host-cpu-2t") in written(
        "p", Own(rows(tmp_path / "w.csv", [*names, "at"], words), "sold"), tmp_path
    )


def test_what_data_are_is_seen_by_looking(tmp_path):
    assert kind(Own(images(tmp_path / "i"))) == "images"
    assert kind(Own(table(tmp_path / "t.csv"))) == "table"
    assert kind(Own(texts(tmp_path / "x.csv"))) == "texts"
    assert kind(Own(tmp_path / "t.csv", text="x")) == "texts"
    (tmp_path / "y.jsonl").write_text(json.dumps({"text": "a", "label": "b"}) + "\n")
    assert kind(Own(tmp_path / "y.jsonl")) == "texts"
    (tmp_path / "c" / "pos").mkdir(parents=True)
    (tmp_path / "c" / "pos" / "1.txt").write_text("good")
    assert kind(Own(tmp_path / "c")) == "texts"


@pytest.mark.parametrize(
    ("own", "error", "said"),
    [
        (Own(Path("none")), DataError, "--data: none: no such file or folder; a folder of images"),
        (Own(Path("a.mp3")), DataError, "--data: a.mp3: none of these; "),
        (Own(Path("t.csv")), ParamsError, "--target: received nothing; allowed: sold, x, y"),
        (Own(Path("t.csv"), "sole"), ParamsError, "--target: received 'sole'; .* did you mean 'sold'?"),
        (Own(Path("t.csv"), "sold", devices=["host"]), ParamsError, "--device: received 'host'; .*"),
        (Own(Path("t.csv"), "sold", text="words"), ParamsError, "--text: received 'words'; allowed: sold, x, y"),
        (Own(Path("bad.csv"), "x"), DataError, "bad.csv: UTF-8 expected; received the byte 0xff; save it as such"),
        (Own(Path("late.csv"), "sold"), DataError, "late.csv: UTF-8 expected; received the byte 0xfc; save it as such"),
        (Own(Path("open.csv"), "x"), DataError, "open.csv: cannot be read: unexpected end of data"),
        (Own(Path("preis.csv"), "y"), DataError, "preis.csv: column 'y': numbers with a point and without groups "),
        (Own(Path("bare.csv"), "x"), DataError, "bare.csv: a header and rows expected; it has no row"),
        (Own(Path("list.jsonl")), DataError, r"list.jsonl: an object of JSON in each line expected; received \[1, 2\]"),
        (Own(Path("none.jsonl")), DataError, "--data: none.jsonl: no such file or folder; "),
        (Own(Path("t.csv"), "sold", model=Path("m.keras")), ModelError, "--model: m.keras: no such file; "),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line_and_nothing_is_made(own, error, said, project):
    table(project / "t.csv")
    (project / "a.mp3").touch()
    (project / "bad.csv").write_bytes(b"\xff\xfe\x00x")
    (project / "late.csv").write_bytes(b"x,sold\n" + b"1,no not this time\n" * 900 + "2,für\n".encode("cp1252"))
    (project / "open.csv").write_text('x,y\n"1,2\n')
    (project / "preis.csv").write_text("x;y\n" + "".join(f"{i};{i},50\n" for i in range(30)))
    (project / "bare.csv").write_text("x,y\n \n")
    (project / "list.jsonl").write_text("[1, 2]\n")
    with pytest.raises(error, match=said):
        written("p", own, project / "p")


def test_words_that_do_not_go_together_are_told(project, tercet):
    assert "one of them alone" in tercet("init", "p", "--data", "x", "--from", "smoke")[2]
    assert "go with --data" in tercet("init", "p", "--target", "x")[2]
    assert not (project / "p").exists()


@pytest.mark.parametrize("there", [False, True], ids=["new", "with files"])
def test_a_project_that_cannot_be_made_whole_leaves_nothing(there, project, tercet, monkeypatch):
    if there:
        (project / "p").mkdir()
        (project / "p" / "mine.txt").write_text("mine")
        (project / "p" / ".gitignore").write_text("/mine/\n")
    write = files.write_text

    def full(path, text):
        if path.name == "dvc.yaml":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(path, text)

    monkeypatch.setattr(files, "write_text", full)
    assert tercet("init", "p", "--from", "smoke")[::2] == (1, "tercet: dvc.yaml: No space left on device\n")
    os.chdir(project)
    left = {path.name for path in Path("p").rglob("*")} if there else {path.name for path in project.iterdir()}
    assert left == ({"mine.txt", ".gitignore"} if there else set())
    monkeypatch.setattr(files, "write_text", write)
    assert tercet("init", "p", "--from", "smoke")[0] == 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("what", MAKE)
def test_data_of_ones_own_come_to_int8_on_two_devices(what, make_clone, tmp_path):
    clone = make_clone()
    data = MAKE[what](tmp_path)
    clone.run("tercet", "init", "own", "--data", str(data), *TARGET.get(what, []))
    clone.run("tercet", "-C", "own", "run")
    told = list(csv.DictReader(clone.run("tercet", "-C", "own", "compare", "int8", "--csv").splitlines()))
    assert len({row["device"] for row in told}) == 2
    assert [row["status"] for row in told] == ["ok", "ok"], [row["reason"] for row in told]
    assert float(told[0]["quality"]) > 0.6
