"""What may be shown of an address, and of a message about it: never what could let somebody in.

Of an address that is scheme, host, port and path. Whoever sends to it may have put a secret before the `@`, or behind
`?` and `#`, and a library quotes an address whole or in parts, encoded or decoded.
"""

import os
import re
from collections.abc import Iterator
from urllib.parse import quote, unquote

SECRETS = (
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "PREFECT_API_AUTH_STRING",
    "TERCET_NOTIFY_URL",
    "TERCET_KEYS_PASSPHRASE",
)  # variables of the environment that hold one
MARK = "***"
SEPARATORS = r"[/?#:@\[\]&;=]"
WORD = 6  # a shorter part of a secret is cut out where it is a word of its own: "ro" stands in "error" too


def redact(text: str, address: str = "") -> str:
    """Text without the secrets of the addresses in it, and without those of `address` wherever they stand."""
    if address:
        text = text.replace(address, shown(address))
        for secret in sorted(set(_secrets(address)), key=len, reverse=True):
            alone = re.escape(secret)
            text = re.sub(alone if len(secret) >= WORD else rf"(?<!\w){alone}(?!\w)", MARK, text)
    return re.sub(r"[a-zA-Z][\w+.-]*://\S+", lambda found: shown(found[0]), text)


def shown(address: str) -> str:
    """An address without user, password, query and fragment.

    A password may hold a slash, as SQLAlchemy reads it, so all that is before the last `@` is cut. Where a `?` stands
    before it nobody can tell the password from the query, and nothing is shown.
    """
    scheme, separator, rest = address.partition("://")
    if not separator:
        return address
    before, _, after = rest.rpartition("@")
    return f"{scheme}://{MARK if re.search('[?#]', before) else re.split('[?#]', after)[0]}"


def _secrets(address: str) -> Iterator[str]:
    """Each part of an address that is not shown, as it stands there, decoded and encoded; and the environment's own."""
    _, _, rest = address.partition("://")
    before, _, after = rest.rpartition("@")
    hidden = [before, *before.split(":", 1), *re.split(SEPARATORS, before)]
    for pair in re.split("[?#&]", after)[1:]:
        hidden += [pair, pair.partition("=")[2], *re.split(SEPARATORS, pair.partition("=")[2])]
    if re.search("[?#]", before):
        hidden += re.split(SEPARATORS, after)
    hidden += [os.environ.get(name, "") for name in SECRETS]
    for part in filter(None, hidden):
        for form in (part, unquote(part), quote(part, safe="")):
            yield from (form, repr(form)[1:-1])
