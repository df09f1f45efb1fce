"""Which views of a project are saved on which server, so that their addresses can be told without asking it."""

import json

from tasks import files, paths, redact

VIEWS = paths.STATE / "views.json"


def keep(uri: str, views: dict[str, str]) -> None:
    """Note the views of a server, by what they show, with their addresses within its pages."""
    files.write_json(VIEWS, {"uri": redact.shown(uri), "views": views})


def known(uri: str) -> dict[str, str]:
    """Those that are saved there; none where that is not known."""
    try:
        written = json.loads(VIEWS.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(written, dict) or written.get("uri") != redact.shown(uri):
        return {}
    views = written.get("views")
    return {str(title): str(address) for title, address in views.items()} if isinstance(views, dict) else {}
