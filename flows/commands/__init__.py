"""The commands: what each is called, where it stands, and what the help says of it.

A literal table, so that `tercet --help` and a wrong word are answered without typer; each group of commands is a file
here, imported once one of its commands is asked for.
"""

from typing import NamedTuple


class Command(NamedTuple):
    """One command.

    Attributes:
        place: module and function, whose parameters are the command's words; it returns the exit code.
        text: what it does, in one sentence.
        example: words that it takes, behind its name.
        in_project: whether it needs a project here or above; False: goes there if there is one; None: looks for none.
    """

    place: str
    text: str
    example: str = ""
    in_project: bool | None = True


RUNS, LOOKS, PROJECTS, BUNDLES, TEAM = (
    f"flows.commands.{name}" for name in ("runs", "looks", "projects", "bundles", "team")
)
COMMANDS: dict[str, Command] = {
    "init": Command(
        f"{PROJECTS}:init",
        "Make an empty folder a project: what to run, and how.",
        "DIR --data fruits --device host-cpu",
        in_project=None,
    ),
    "update": Command(
        f"{PROJECTS}:update",
        "Bring what Tercet wrote into this project to this version; your edits stay.",
        "--ci",
    ),
    "use": Command(f"{PROJECTS}:use", "Make a preset the params.yaml.", "digits-cnn"),
    "run": Command(
        f"{RUNS}:run", "Bring everything in params.yaml up to date and show the comparison.", "--device host-cpu"
    ),
    "compare": Command(
        f"{LOOKS}:compare", "Show the comparison of the last run.", "--device host-cpu --sort latency_ms"
    ),
    "search": Command(
        f"{RUNS}:search",
        "Search for what serves the devices of the section `search` best; it goes on where it was.",
        "--trials 20",
    ),
    "sensitivity": Command(
        f"{RUNS}:sensitivity", "Show which layers of a variant lose most by being quantized.", "int8"
    ),
    "speculate": Command(
        f"{RUNS}:speculate", "Measure a language model with a draft's proposals, beside it alone.", "large small"
    ),
    "gate": Command(
        f"{RUNS}:gate",
        "Tell whether variants are worse than at a revision, or than what is in use: 1 if one is.",
        "int8 --against main --device host-cpu",
    ),
    "save": Command(
        f"{RUNS}:save", "Write a language model as a folder of Hugging Face, which others load.", "baseline folder"
    ),
    "keys": Command(
        f"{BUNDLES}:keys", "Show the keys that sign what is shipped, make them, rotate or revoke one.", "new"
    ),
    "sign": Command(
        f"{BUNDLES}:sign",
        "Sign the bundles that are made, so that devices take them, and none before them.",
        "host-cpu",
    ),
    "ship": Command(
        f"{BUNDLES}:ship",
        "Bring bundles to the machines that run them, and make sure of them there.",
        "host-cpu --status",
    ),
    "serve": Command(
        f"{BUNDLES}:serve",
        "Serve a bundle by HTTP: raw inputs in, labels out.",
        "out/bundles/host-cpu --port 8080",
        in_project=None,
    ),
    "watch": Command(
        f"{BUNDLES}:watch",
        "Tell whether a server still answers as it did; 1 if not.",
        "http://127.0.0.1:8000",
        in_project=None,
    ),
    "devices": Command(
        f"{LOOKS}:devices",
        "List the devices of the catalog and say which of them can be used here.",
        "--probe host-cpu",
    ),
    "advise": Command(
        f"{LOOKS}:advise",
        "Say which devices of the catalog keep to a budget, and how sure that is.",
        "model.tflite --latency-ms 50",
        in_project=False,
    ),
    "ui": Command(
        f"{LOOKS}:ui",
        "Show the records in MLflow's pages, until interrupted, or say where a server shows them.",
        "--port 5001",
    ),
    "publish": Command(f"{LOOKS}:publish", "Send to MLflow the records that it does not have yet."),
    "up": Command(f"{TEAM}:up", "Start the services of a team on this machine, and deploy prefect.yaml there."),
    "down": Command(f"{TEAM}:down", "End these services; what they keep stays."),
    "backup": Command(
        f"{TEAM}:backup", "Write all that these services keep to a file, while they run.", "/backups/monday.tar"
    ),
    "restore": Command(
        f"{TEAM}:restore", "Have these services keep what a file says; they must not run.", "/backups/monday.tar"
    ),
    "doctor": Command(f"{LOOKS}:doctor", "Check this machine: runtimes, energy sources, services.", in_project=False),
    "stage": Command(
        f"{RUNS}:stage",
        "Run one stage, as dvc.yaml does; it does not look whether it has to.",
        "quantize int8",
    ),
}
