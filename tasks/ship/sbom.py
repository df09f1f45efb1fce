"""What a bundle is made of, as a software bill of materials: CycloneDX 1.6 in JSON (ECMA-424).

Nothing of the hour and nothing random is in it, so the same bundle has the same bytes.
"""

from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from tasks.ship.libraries import Library
from tasks.ship.manifest import File, Manifest

FILE = "sbom.cdx.json"
MODEL, DATA = "model", "data"  # how parts of the bill refer to each other


def bill(name: str, manifest: Manifest, libraries: Mapping[str, Library], files: Mapping[str, File]) -> dict[str, Any]:
    """The bill.

    Args:
        name: of the project.
        manifest: of a bundle that holds a program.
        libraries: that its script runs on.
        files: the bundle's, but the manifest and what is made after it.
    """
    program, data = manifest.program, manifest.data
    assert program is not None
    assert data is not None
    model = {
        "type": "machine-learning-model",
        "bom-ref": MODEL,
        "name": f"{name}/{manifest.variant}",
        "version": program.sha256,
        "hashes": _hashes(program.sha256),
        **_licences(manifest.licences.get(MODEL), expression=False),
    }
    source = {
        "type": "data",
        "bom-ref": DATA,
        "name": data.source,
        "version": data.sha256,
        "hashes": _hashes(data.sha256),
    }
    parts = [source, *(_file(path, files[path]) for path in sorted(files)), *map(_library, libraries.values())]
    identity = "".join(f"{path}{files[path].sha256}" for path in sorted(files))
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_OID, identity)}",
        "version": 1,
        "metadata": {"tools": {"components": _tools(manifest)}, "component": model},
        "components": parts,
        "dependencies": _dependencies(libraries),
    }


def _tools(manifest: Manifest) -> list[dict[str, Any]]:
    return [{"type": "application", "name": name, "version": told} for name, told in sorted(manifest.versions.items())]


def _file(path: str, file: File) -> dict[str, Any]:
    return {"type": "file", "bom-ref": f"file:{path}", "name": path, "hashes": _hashes(file.sha256)}


def _library(library: Library) -> dict[str, Any]:
    at = f"@{library.version}" if library.version else ""
    purl = f"pkg:pypi/{library.name}{at}"
    found = {"type": "library", "bom-ref": purl, "name": library.name, "purl": purl}
    found |= {"version": library.version} if library.version else {}
    return found | _licences(library.licence, expression=library.expression)


def _licences(name: str | None, *, expression: bool) -> dict[str, Any]:
    if name is None:
        return {}
    return {"licenses": [{"expression": name} if expression else {"license": {"name": name}}]}


def _hashes(sha256: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": sha256}]


def _dependencies(libraries: Mapping[str, Library]) -> list[dict[str, Any]]:
    purls = {name: _library(each)["purl"] for name, each in libraries.items()}
    needed = {purls[name]: sorted(purls[other] for other in each.needs) for name, each in libraries.items()}
    model = {MODEL: [DATA, *sorted(purls.values())]}
    return [{"ref": part, "dependsOn": others} for part, others in (model | needed).items()]
