"""Whether a service answers by HTTP."""

from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

ANSWER_S = 5.0


def answers(address: str) -> bool:
    """Whether there is a page, asked past any proxy: these services are on this machine."""
    try:
        with build_opener(ProxyHandler({})).open(address, timeout=ANSWER_S):
            return True
    except (URLError, OSError, ValueError):
        return False
