"""Vega-Lite's JavaScript, out of the package that carries it: the page that holds it asks no server for anything."""

import base64
import hashlib
from functools import cache

SNIPPET = "globalThis.vegaEmbed = vegaEmbed;"  # what the page calls it by


@cache
def vega() -> str:
    """Vega, Vega-Lite and vega-embed as one module of JavaScript, the same for each version of vl-convert-python."""
    from vl_convert import javascript_bundle

    return _inline(javascript_bundle(SNIPPET))


def policy(*scripts: str) -> str:
    """A content security policy under which these scripts run inline and nothing is fetched, evaluated or sent."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return f"default-src 'none'; style-src 'unsafe-inline'; script-src {allowed}"


def _inline(script: str) -> str:
    """The same where `</script` would end the element that holds it: such text stands in strings alone."""
    return script.replace("</script", "<\\/script")
