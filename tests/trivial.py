"""A project of four trivial stages whose commands would take no TensorFlow to run."""

import subprocess
import sys

import yaml
from dvc.repo import Repo

from flows.start.dvc_bridge import Project

DVC_YAML = """
stages:
  prepare:
    cmd: tercet stage prepare
    params: [source]
    outs: [out/data]
  train:
    cmd: tercet stage train
    params: [rate]
    deps: [out/data]
    outs: [out/model.txt]
  evaluate:
    foreach: ${variants}
    do:
      cmd: tercet stage evaluate ${key}
      params: ["variants.${key}", how]
      deps: [out/model.txt]
      outs: ["out/${key}.txt"]
"""
PARAMS = {"source": "digits", "rate": 1, "how": {"a": [1, None]}, "variants": {"int8": 8, "int16": 16}}
ALL = ["prepare", "train", "evaluate@int8", "evaluate@int16"]
# what the stages do: as `tercet stage`, and, called by name, in the test's own process
STAGES = """
import sys
from pathlib import Path

import yaml


def call(stage, *keys):
    params = yaml.safe_load(Path("params.yaml").read_text())
    Path("out").mkdir(exist_ok=True)
    if stage == "prepare":
        Path("out/data").mkdir()
        for name in ("train", "test"):
            Path("out/data", name).write_text(f"{name} {params['source']}")
    elif stage == "train":
        Path("out/model.txt").write_text(Path("out/data/train").read_text() + f" {params['rate']}")
    else:
        text = Path("out/model.txt").read_text()
        Path(f"out/{keys[0]}.txt").write_text(f"{text} {params['variants'][keys[0]]}")


if __name__ == "__main__":
    call(*sys.argv[2:])
"""


def make(folder):
    command = folder / "bin" / "tercet"
    command.parent.mkdir(parents=True)
    command.write_text(f"#!{sys.executable}\n{STAGES}")
    command.chmod(0o755)
    (folder / "dvc.yaml").write_text(DVC_YAML)
    write_params(folder, PARAMS)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, timeout=60, check=True)
    with Repo.init(str(folder)) as repo, repo.config.edit() as config:
        config["core"].update(analytics=False, check_update=False)


def write_params(folder, values):
    (folder / "params.yaml").write_text(yaml.safe_dump(values))


def run(names=ALL):
    with Project() as bridge:
        return {name: bridge.reproduce(name) for name in names}


def lock(folder):
    return yaml.safe_load((folder / "dvc.lock").read_text())
