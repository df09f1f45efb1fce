"""The buckets of an S3 store: `python -m tasks.services.buckets ADDRESS` makes those that are not there yet.

That command takes its keys from the environment, as every client of S3 does: AWS_ACCESS_KEY_ID and so on.
"""

import sys
from typing import Any

NAMES = ("dvc", "mlflow")
REGION = "us-east-1"  # which clients want to be told; the store takes any
ANSWER_S, MOVE_S, TRIES = 5, 300, 5


def client(address: str, key: str | None = None, secret: str | None = None) -> Any:
    """A client of the store, past any proxy and with time limits; without keys by those of the environment."""
    import boto3  # type: ignore[import-untyped]  # of the group `services`; it has no types
    from botocore.config import Config  # type: ignore[import-untyped]  # likewise

    limits = Config(connect_timeout=ANSWER_S, read_timeout=MOVE_S, retries={"max_attempts": TRIES}, proxies={})
    return boto3.client(
        "s3", endpoint_url=address, region_name=REGION, config=limits,
        aws_access_key_id=key, aws_secret_access_key=secret,
    )  # fmt: skip


def make(store: Any) -> None:
    """Make those that are not there."""
    there = {each["Name"] for each in store.list_buckets()["Buckets"]}
    for name in NAMES:
        if name not in there:
            store.create_bucket(Bucket=name)


if __name__ == "__main__":
    make(client(sys.argv[1]))
