"""The unit of the nightly backup, its commands run as systemd would: none after one that has failed."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).resolve().parents[2] / "infra" / "systemd" / "tercet-backup.service"
PLACE, DUMPS, STORE = "/srv/tercet/backups", "/usr/bin/pg_dump", "/opt/tercet/.venv/bin/python"
DATE = '#!/bin/sh\n[ "$1" = +%u ] && cat {day}\n'
FAKE = """#!/bin/sh
# pg_dump empties its file before it asks for the database; the store's copy ends in its folder
for last; do case $before in --file | fetch) file=$last ;; esac; before=$last; done
case $before in $file) mkdir -p $file; file=$file/object; before=objects ;; esac
: >$file && ! grep -q $before {away} && cat {content} >$file
"""


@pytest.fixture
def night(tmp_path):
    """Run the unit on a day with some content, while some of what it asks is away; whether it succeeded."""
    programs, place = tmp_path / "programs", tmp_path / "backups"
    programs.mkdir()
    day, content, away = (tmp_path / name for name in ("day", "content", "away"))
    for name, text in {"date": DATE.format(day=day), "fake": FAKE.format(away=away, content=content)}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)

    def run(number, said, gone=""):
        day.write_text(f"{number}\n"), content.write_text(said), away.write_text(f"{gone or 'nothing'}\n")
        env = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
        for line in UNIT.read_text().splitlines():
            if not line.startswith("ExecStart="):
                continue
            text = line.removeprefix("ExecStart=").replace("%%", "%").replace("$$", "$").replace(PLACE, str(place))
            words = [str(programs / "fake") if word in (DUMPS, STORE) else word for word in shlex.split(text)]
            if subprocess.run(words, env=env, timeout=60, check=False).returncode:
                return False
        return True

    run.place = place
    return run


def kept(night):
    return {path.name: path.read_text() for path in night.place.glob("*.dump")}


@pytest.mark.parametrize("gone", ["prefect", "mlflow", "objects"])
def test_a_night_that_fails_takes_no_other_one_away(night, gone):
    assert night(1, "monday")
    before = kept(night)
    assert before == {"prefect.1.dump": "monday", "mlflow.1.dump": "monday"}
    assert (night.place / "objects" / "object").read_text() == "monday"
    for day in (2, 1):
        assert not night(day, "later", gone)
        assert kept(night) == before


def test_seven_nights_are_kept(night):
    for number in range(10):
        assert night(1 + number % 7, f"night {number}")
    found = {
        f"{name}.{1 + number % 7}.dump": f"night {number}" for number in range(3, 10) for name in ("prefect", "mlflow")
    }
    assert kept(night) == found
