"""Sentences of what Python's standard library says of itself; to be told is the part of its reference they belong to.

A module's chapter in the Library Reference is the class of every sentence in its docstrings, and the file is the group:
the preset splits by files, so that no file is on both sides. Modules that a version of Python lacks have no sentences.
"""

import ast
import re
import sysconfig
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np

from tasks.errors import DataError
from tasks.examples import Arrays
from tasks.examples.dataset import BY, LABEL, Source
from tasks.members import DataSource
from tasks.params import Prepare

CHAPTERS = {  # of The Python Library Reference, some of them together
    "concurrency": "asyncio concurrent contextvars multiprocessing queue sched selectors signal socketserver "
    "subprocess threading",
    "data": "codecs configparser csv dbm difflib encodings html json pickle plistlib re shelve sqlite3 "
    "string stringprep struct textwrap tomllib xml",
    "development": "argparse bdb cProfile cmd doctest getopt gettext locale logging optparse pdb profile pstats "
    "pydoc shlex timeit trace tracemalloc unittest warnings",
    "files": "bz2 filecmp fileinput fnmatch genericpath glob gzip io linecache lzma ntpath os pathlib posixpath shutil "
    "stat tarfile tempfile zipapp zipfile",
    "internet": "base64 email ftplib http imaplib ipaddress mailbox mimetypes netrc poplib quopri smtplib socket ssl "
    "urllib uuid webbrowser wsgiref xmlrpc",
    "language": "abc ast code codeop compileall copy copyreg dis importlib inspect keyword modulefinder pickletools "
    "pkgutil py_compile pyclbr runpy site symtable tabnanny token tokenize traceback types zipimport",
    "numbers": "_pydatetime _pydecimal _strptime bisect calendar colorsys datetime decimal fractions heapq numbers "
    "random statistics zoneinfo",
}
ENDS = re.compile(r"(?<=[.!?:])\s+")
WORDS = re.compile(r"[A-Za-z']+")
LEAST, MOST = 4, 60  # words of a sentence
PROMPT = ">>>"  # an example follows, which is no English
TESTS = ("test", "tests", "idle_test")


def check(params: Prepare) -> None:  # noqa: ARG001 - the signature of all sources
    """Look whether the library's files are there.

    Raises:
        DataError: they are not.
    """
    _library()


def load(params: Prepare) -> Source:
    """Read the files without running them; a sentence that several of them have is the first one's.

    Raises:
        DataError: this Python does not carry its library's files.
    """
    library, read = _library(), sha256()
    known: dict[str, tuple[str, int, str]] = {}  # what tells a sentence from others: it, its class, its file
    for number, modules in enumerate(CHAPTERS.values()):
        for path in (path for module in modules.split() for path in _files(library, module)):
            content = path.read_bytes()
            read.update(content)
            for sentence in _sentences(content):
                known.setdefault(sentence.lower(), (sentence, number, path.relative_to(library).as_posix()))
    sentences, numbers, files = zip(*known.values(), strict=True)
    told = {LABEL: np.array(numbers, np.int64)}
    if params.split.by == "group":
        told[BY] = np.array(files)
    examples = Arrays({"text": np.array(sentences, object)}, told)
    return Source({"text": "text"}, examples, None, tuple(CHAPTERS), {"docstrings": read.hexdigest()})


def _library() -> Path:
    found = Path(sysconfig.get_paths()["stdlib"])
    if not (found / "argparse.py").is_file():
        raise DataError(
            f"{found}: this Python lacks the files of its library; name texts of yours by source: sentences"
        )
    return found


def _files(library: Path, module: str) -> list[Path]:
    """The files of a module, in the order of their names, or of none that is there."""
    if (library / f"{module}.py").is_file():
        return [library / f"{module}.py"]
    found = sorted((library / module).rglob("*.py"))
    return [path for path in found if not set(path.relative_to(library).parts) & set(TESTS)]


def _sentences(content: bytes) -> Iterator[str]:
    """The English sentences of a file's docstrings, in its order."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):  # a file that is there to be refused
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for paragraph in re.split(r"\n\s*\n", ast.get_docstring(node) or ""):
            if PROMPT not in paragraph:
                found = ENDS.split(" ".join(paragraph.split()))
                yield from (each for each in found if LEAST <= len(WORDS.findall(each)) <= MOST)


SOURCE = DataSource(schema=Prepare, check=check, load=load)
