"""What a service answers by HTTP."""

from base64 import b64encode
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

ANSWER_S = 5.0


def answers(address: str, user: str | None = None) -> bool:
    """Whether there is a page, for a user (`name:password`) where one is given."""
    return said(address, user) is not None


def said(address: str, user: str | None = None) -> bytes | None:
    """What a page holds, asked past any proxy: these services are on this machine; None where there is none."""
    try:
        request = Request(address)  # noqa: S310  # an address of this machine, which we have made
        if user is not None:
            request.add_header("Authorization", f"Basic {b64encode(user.encode()).decode()}")
        with build_opener(ProxyHandler({})).open(request, timeout=ANSWER_S) as page:
            content: bytes = page.read()
    except (URLError, OSError, ValueError):
        return None
    return content
