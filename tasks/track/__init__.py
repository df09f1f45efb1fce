"""Publishing to MLflow, each record once. The JSON files are the truth: a server that is away loses nothing.

`contents` says what MLflow shall hold, `store` brings it there, and `database` keeps the project's own store whole and
in its place. MLflow is imported nowhere else, and only when there is something to send. `ledger` remembers what each
server has. Without it the server itself is asked, by the digest that each run is tagged with; if a server was emptied,
delete `.tercet/published.json`.

`promote(folder, name)` makes a bundle its device's champion in the registry, when the device has confirmed that it
runs it, and `reinstate(digest, device, name)` one that was registered before; `champions` says more.
"""

from tasks.track.champions import Promoted, promote, reinstate
from tasks.track.pages import Address, Command, hint, links, ui
from tasks.track.publisher import Published, publish
from tasks.track.stream import curves, settle

__all__ = [
    "Address", "Command", "Promoted", "Published", "curves", "hint", "links", "promote", "publish", "reinstate",
    "settle", "ui",
]  # fmt: skip
