"""What a service answers by HTTP."""

from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

ANSWER_S = 5.0


def answers(address: str) -> bool:
    """Whether there is a page."""
    return said(address) is not None


def said(address: str) -> bytes | None:
    """What a page holds, asked past any proxy: these services are on this machine; None where there is none."""
    try:
        with build_opener(ProxyHandler({})).open(address, timeout=ANSWER_S) as page:
            content: bytes = page.read()
    except (URLError, OSError, ValueError):
        return None
    return content
