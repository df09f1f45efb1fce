"""A bundle that is served: checked, and its own preprocessing, runner and labels at hand."""

import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from tasks import files
from tasks.bench.runner.machine import cpu_limit, cpus_allowed
from tasks.errors import DataError, ParamsError
from tasks.ship import classify


@dataclass(frozen=True)
class Bundle:
    """A folder whose files are as they were shipped; its modules are imported from the bytes that were checked."""

    folder: Path
    manifest: dict[str, Any]
    digest: str  # SHA-256 of its list of files, in hex: names this very bundle
    package: str  # what its modules are imported under
    inputs: dict[str, Any]  # as preprocess.json has them
    target: dict[str, Any]

    @property
    def program(self) -> dict[str, Any]:
        """What of the manifest says how it runs."""
        return dict(self.manifest["program"])

    @property
    def reference(self) -> dict[str, Any] | None:
        """What it answered where it was judged, and how fast; None: the bundle does not say."""
        found: dict[str, Any] | None = self.manifest.get("reference")
        return found

    @property
    def name(self) -> str:
        """Its variant and device."""
        return f"{self.manifest['variant']} for {self.manifest['device']}"

    def module(self, name: str) -> ModuleType:
        """One of its own modules, such as `preprocess`."""
        return import_module(f"{self.package}.{name}")

    def model(self, threads: int, **options: Any) -> Any:
        """Its program in the runtime that has timed it.

        Args:
            threads: that it may use.
            options: of the runtime, instead of those that it was measured with.

        Raises:
            DataError: the runtime is not installed, or does not take the program.
        """
        program = self.program
        if "threads" in program["options"]:
            options["threads"] = threads
        program["options"] = program["options"] | options
        try:
            return classify.loaded(program, str(self.folder.resolve()), self.package)
        except ImportError as error:
            wanted = " ".join(program["requires"])
            raise DataError(f"{self.folder}: {error}; it needs {wanted}: pip install {wanted}") from None
        except Exception as error:
            if type(error).__name__ != "RefusedError":  # the bundle's own, which is no class that we know
                raise
            raise DataError(f"{self.folder}: {error}") from None


def opened(folder: Path) -> Bundle:
    """Check a bundle and read what it says of itself.

    Raises:
        DataError: it is no bundle, holds no program, or is not as it was shipped.
    """
    try:
        manifest, content = classify.checked(folder)
        digest = files.sha256(folder / classify.SUMS)
        package = f"{classify.PACKAGE}_{digest[:16]}"
        if not any(isinstance(each, classify.Checked) and each.package == package for each in sys.meta_path):
            sys.meta_path.insert(0, classify.Checked(content, package))
        described = import_module(f"{package}.preprocess").read(folder / "preprocess.json")
    except (classify.UserError, ValueError, FileNotFoundError) as error:
        raise DataError(" ".join(str(error).split())) from None
    return Bundle(folder, manifest, digest, package, described["inputs"], described["targets"].get(classify.TARGET, {}))


def placed(bundle: Bundle, workers: int | None, threads: int | None) -> tuple[int, int]:
    """How many workers, and how many threads each: together never more than there are processors.

    Args:
        bundle: what is served.
        workers: as wished; None: as many as the processors allow.
        threads: of each; None: as many as the bundle was measured with.

    Raises:
        ParamsError: they are more than the processors that this process may use.
    """
    limit = cpu_limit()
    cores = max(1, min(cpus_allowed(), int(limit) if limit else cpus_allowed()))
    threads = threads or int(bundle.program["options"].get("threads", 1))
    wanted = workers or max(1, cores // threads)
    if wanted * threads > cores:
        raise ParamsError(
            f"{wanted} workers with {threads} threads each are more than the {cores} processors here, and all would "
            f"wait for each other; allowed: workers times threads up to {cores}: --workers, --threads"
        )
    return wanted, threads
