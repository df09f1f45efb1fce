"""`tercet`: the command. It imports nothing heavy before it knows what to do."""

import argparse
import codecs
import io
import os
import shlex
import signal
import sys
from collections.abc import Callable, Collection
from pathlib import Path

from flows import arguments
from flows.views import marks

Command = Callable[[argparse.Namespace], int]
MARK = "tercet stage"  # what a project's dvc.yaml says
PRESET = "digits-cnn"  # of a new project
# by what they make, not by what they tell
WORKING = ("run", "search", "stage", "sensitivity", "speculate", "save", "gate", "publish", "sign")
BYTECODE_BYTES = 2**28  # what all libraries, compiled, may come to
PREFECT = {  # unless the user has set them; another level of the console shows what Prefect itself has to say
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "tasks,flows",  # whose lines stand beside the tasks in its pages
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "DO_NOT_TRACK": "1",
}


def console() -> None:
    """The console script: `main`, and an end that leaves out the interpreter's teardown."""
    _spare_bytecode()
    from flows.start import leave, unread
    from tasks import signals

    unread.stand_in()
    first = sys.argv[1] if sys.argv[1:] else ""
    who = " ".join(sys.argv[1:]) if first == "stage" else "tercet"
    if first != "serve":  # which answers what it has been asked before it ends
        signals.listen(who, f"`tercet {first}` goes on from here" if first in ("run", "search") else "")
    if first in WORKING:
        sys.stdout = unread.heedless(sys.stdout.fileno(), sys.stdout)
    code = [1]
    leave.at_once(code)
    try:
        code[0] = main()
    except SystemExit as left:  # argparse's: --help was said, or a wrong word
        code[0] = int(left.code or 0)


def _spare_bytecode() -> None:
    """Have no code compiled to a disk that is nearly full.

    Python 3.11 leaves a part of a module there, and every later run would end with "marshal data too short".
    """
    disk = os.statvfs(Path(__file__).parent)
    if disk.f_bavail * disk.f_frsize < BYTECODE_BYTES:
        sys.dont_write_bytecode = True
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"


def main() -> int:
    """Run one command; an error of the user's is one line and exit code 1."""
    codecs.register_error("tercet", marks.plainly)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a terminal cannot show is no reason to fail
            stream.reconfigure(errors="tercet")
    options = _parsed(sys.argv[1:])
    from tasks.errors import TercetError

    try:
        if options.in_project is not None:
            _enter_project(needed=options.in_project)
        code = int(options.command(options))
        print(end="", flush=True)  # what is told has to arrive, too
    except TercetError as error:
        print(f"tercet: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:  # a full disk, a folder that may only be read: the user's to mend as well
        where = f"{error.filename}: " if error.filename else ""
        print(f"tercet: {where}{error.strerror or error}", file=sys.stderr)
        return 1
    return code


def _parsed(words: list[str]) -> argparse.Namespace:
    """The options that the words say; without words the help is printed, and a wrong command has a near match."""
    parser, commands = _parser()
    if not words:
        parser.print_help()
        raise SystemExit(0)
    if not words[0].startswith("-") and words[0] not in commands:
        from tasks.errors import suggest

        parser.error(f"no command is named {words[0]!r}; {suggest(words[0], commands)}")
    return parser.parse_args(words)


def _parser() -> tuple[argparse.ArgumentParser, Collection[str]]:
    """The parser, and the names of its commands."""
    parser = argparse.ArgumentParser(
        prog="tercet", description="Train, compress and measure: accuracy, latency and energy on every device."
    )
    parser.add_argument("--version", action=arguments.Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, command: Command, text: str, *, in_project: bool | None = True) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command, in_project=in_project)
        return sub

    add("run", _run, "Bring everything in params.yaml up to date and show the comparison.")
    search = add(
        "search", _search, "Search for what serves the devices of the section `search` best; it goes on where it was."
    )
    search.add_argument("--trials", metavar="N", type=arguments.count, help="instead of the number in params.yaml")
    known = add("sensitivity", _sensitivity, "Show which layers of a variant lose most by being quantized.")
    known.add_argument("variant", help="its name in the section `quantize`")
    pair = add("speculate", _speculate, "Measure a language model with a draft's proposals, beside it alone.")
    pair.add_argument("target", help="its name in the section `quantize`, which has `verify`")
    pair.add_argument("draft", help="likewise, of a smaller one")
    saved = add("save", _save, "Write a language model as a folder of Hugging Face, which others load.")
    saved.add_argument("model", help="baseline, or its name in the section `compress`")
    saved.add_argument("folder", metavar="DIR", type=arguments.folder, help="the folder to be made")
    gate = add(
        "gate", _gate, "Tell whether variants are worse than at a revision, or than what is in use: 1 if one is."
    )
    gate.add_argument("variants", metavar="VARIANT", nargs="*", help="in the section `quantize`; without it, all")
    gate.add_argument("--against", metavar="REVISION|ALIAS", required=True, help="main, say, or champion-host-cpu")
    gate.add_argument("--device", metavar="NAME", dest="devices", action="append", default=[], help="only on this one")
    add("compare", _compare, "Show the comparison of the last run.")
    _add_devices(add)
    init = add("init", _init, "Make an empty folder a project: what to run, and how.", in_project=None)
    init.add_argument(
        "folder",
        metavar="DIR",
        nargs="?",
        type=arguments.folder,
        default=Path(),
        help="the folder; without it, this one",
    )
    init.add_argument("--from", metavar="PRESET", dest="preset", default=PRESET, help="what to run: see `tercet use`")
    use = add("use", _use, "Make a preset the params.yaml.")
    use.add_argument("preset", help="its name, such as digits-cnn")
    use.add_argument("--force", action="store_true", help="replace a params.yaml that is no preset's")
    ui = add("ui", _ui, "Show the records in MLflow's pages, until interrupted, or say where a server shows them.")
    ui.add_argument("--port", metavar="N", type=arguments.port, help="of the pages; without it 5000, or a free one")
    add("publish", _publish, "Send to MLflow the records that it does not have yet.")
    _add_bundles(add)
    stage = add("stage", _stage, "Run one stage, as dvc.yaml does; it does not look whether it has to.")
    stage.add_argument("name", help="its name in dvc.yaml, such as quantize")
    stage.add_argument("keys", nargs="*", help="what it is for, such as int8")
    add("doctor", _doctor, "Check this machine: runtimes, energy sources, services.", in_project=False)
    return parser, commands.choices


def _add_devices(add: Callable[..., argparse.ArgumentParser]) -> None:
    """The commands that look at the catalog."""
    known = add(
        "advise", _advise, "Say which devices of the catalog keep to a budget, and how sure that is.", in_project=None
    )
    known.add_argument("subject", metavar="VARIANT|FILE", help="a variant that is made, or a .tflite file")
    known.add_argument("--latency-ms", metavar="N", type=arguments.positive, help="that an inference may take")
    known.add_argument("--energy-mj", metavar="N", type=arguments.positive, help="likewise")
    known = add("devices", _devices, "List the devices of the catalog and say which of them can be used here.")
    known.add_argument("--probe", metavar="NAME", nargs="?", const="", help="connect to this one, or to all of them")
    known.add_argument("--published", metavar="NAME", help="show what others have measured on a device, or on a board")
    known.add_argument("--support", action="store_true", help="show which operator runs where, at which scheme")


def _add_bundles(add: Callable[..., argparse.ArgumentParser]) -> None:
    """The commands that work on bundles."""
    keys = add("keys", _keys, "Show the keys that sign what is shipped, make them, rotate or revoke one.")
    keys.add_argument("action", nargs="?", choices=("show", "new", "rotate", "revoke"), default="show")
    keys.add_argument("key", nargs="?", help="to rotate: root, or without it release; to revoke: its first digits")
    signed = add("sign", _sign, "Sign the bundles that are made, so that devices take them, and none before them.")
    signed.add_argument("devices", metavar="DEVICE", nargs="*", help="whose bundle; without it, every one")
    ship = add("ship", _ship, "Bring bundles to the machines that run them, and make sure of them there.")
    ship.add_argument("devices", metavar="DEVICE", nargs="*", help="whose; the section `ship` says where it goes")
    how = ship.add_mutually_exclusive_group()
    how.add_argument("--back", action="store_true", help="have them run again what they ran before")
    how.add_argument("--status", action="store_true", help="say what runs where; without DEVICE, of all")
    how.add_argument("--unsigned", action="store_true", help="ship what nobody has signed, where no key is trusted yet")
    serve = add("serve", _serve, "Serve a bundle by HTTP: raw inputs in, labels out.", in_project=None)
    serve.add_argument(
        "bundle", metavar="BUNDLE", type=arguments.folder, help="its folder, such as out/bundles/host-cpu"
    )
    serve.add_argument("--host", default="127.0.0.1", help="an address of this machine; without it, only it can ask")
    serve.add_argument("--port", metavar="N", type=arguments.port_or_any, default=8000, help="0 takes a free one")
    serve.add_argument(
        "--workers", metavar="N", type=arguments.count, help="models side by side; times threads: the processors"
    )
    serve.add_argument(
        "--threads", metavar="N", type=arguments.count, help="of each; without it, those it was measured with"
    )
    serve.add_argument(
        "--queue", metavar="N", type=arguments.count, default=256, help="requests that may wait; more get 503"
    )
    serve.add_argument(
        "--limit", metavar="S", type=arguments.count, default=10, help="seconds in which one is answered, or 504"
    )
    watch = add("watch", _watch, "Tell whether a server still answers as it did; 1 if not.", in_project=None)
    watch.add_argument("source", metavar="ADDRESS", help="of `tercet serve`, or a file of what its /counts said")


def _enter_project(*, needed: bool) -> None:
    from tasks.errors import ParamsError

    here = Path.cwd()
    for folder in (here, *here.parents):
        if MARK in _text(folder / "dvc.yaml"):
            os.chdir(folder)
            return
    if needed:
        raise ParamsError(
            f"{here}: no Tercet project here or above (a folder whose dvc.yaml says `{MARK}`); "
            "`tercet init DIR` makes one"
        )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:  # not there, a folder, or somebody else's
        return ""


def _run(_options: argparse.Namespace) -> int:
    from flows.run import run

    for name, value in PREFECT.items():
        os.environ.setdefault(name, value)
    return run()


def _search(options: argparse.Namespace) -> int:
    from flows.search import search

    for name, value in PREFECT.items():
        os.environ.setdefault(name, value)
    return search(options.trials)


def _sensitivity(options: argparse.Namespace) -> int:
    from flows.sensitivity import sensitivity
    from flows.start.quiet import quiet_libraries

    quiet_libraries()
    sensitivity(options.variant)
    return 0


def _speculate(options: argparse.Namespace) -> int:
    from flows.speculate import speculate
    from flows.start.quiet import quiet_libraries

    quiet_libraries()
    speculate(options.target, options.draft)
    return 0


def _save(options: argparse.Namespace) -> int:
    from flows.save import save
    from flows.start.quiet import quiet_libraries

    quiet_libraries()
    print(save(options.model, options.folder))
    return 0


def _keys(options: argparse.Namespace) -> int:
    from flows import keys

    if options.action == "show":
        print("\n".join(keys.show()))
    elif options.action == "new":
        print(keys.new())
    else:
        print({"rotate": keys.rotate, "revoke": keys.revoke}[options.action](options.key))
    return 0


def _sign(options: argparse.Namespace) -> int:
    from flows.sign import sign

    for line in sign(options.devices):
        print(line)
    return 0


def _gate(options: argparse.Namespace) -> int:
    from flows.gate import gate
    from flows.start.quiet import quiet_libraries

    quiet_libraries()
    return gate(options.against, options.variants, options.devices)


def _advise(options: argparse.Namespace) -> int:
    from flows.advise import advise

    advise(options.subject, options.latency_ms, options.energy_mj)
    return 0


def _compare(_options: argparse.Namespace) -> int:
    from flows.views.show import compare

    compare()
    return 0


def _devices(options: argparse.Namespace) -> int:
    from flows.devices import told

    return told(matrix=options.support, board=options.published, name=options.probe)


def _init(options: argparse.Namespace) -> int:
    from flows.init import init

    print(init(options.folder, options.preset))
    return 0


def _use(options: argparse.Namespace) -> int:
    from flows.presets import use

    print(use(options.preset, force=options.force))
    return 0


def _ui(options: argparse.Namespace) -> int:
    from tasks import track

    pages = track.ui(options.port)
    if isinstance(pages, track.Command):
        print(shlex.join(pages.argv))
        print(f"{pages.note}{pages.address} (interrupt to stop)", flush=True)
        os.execve(pages.argv[0], pages.argv, os.environ | pages.environment)  # noqa: S606  # its own words, no shell
    print(f"MLflow: {pages.shown}")
    return 0


def _serve(options: argparse.Namespace) -> int:
    from flows.serve import Wish, serve
    from tasks.serve.app import Limits

    limits = Limits(seconds=options.limit, inside=options.queue)
    serve(Wish(options.bundle, options.host, options.port, options.workers, options.threads, limits))
    return 0


def _watch(options: argparse.Namespace) -> int:
    from flows.watch import watched

    return 0 if watched(options.source) else 1


def _publish(_options: argparse.Namespace) -> int:
    from tasks import params, track

    done = track.publish(params.load())
    print(f"{done.sent} records sent to {done.uri}, {done.already} were there, {done.waiting} wait for their files")
    return 0


def _ship(options: argparse.Namespace) -> int:
    from flows import ship

    if options.status:
        return ship.status(options.devices)
    return ship.back(options.devices) if options.back else ship.ship(options.devices, signed=not options.unsigned)


def _stage(options: argparse.Namespace) -> int:
    from flows.by_dvc import stage

    stage(options.name, *options.keys)
    return 0


def _doctor(_options: argparse.Namespace) -> int:
    from flows.doctor import doctor

    return doctor()
