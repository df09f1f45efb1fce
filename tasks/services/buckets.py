"""The buckets of an S3 store, and what is in them, for stores that `tercet up` has not started.

    python -m tasks.services.buckets ADDRESS               make those that are not there yet
    python -m tasks.services.buckets ADDRESS fetch FOLDER  write every object to a file, FOLDER/bucket/key
    python -m tasks.services.buckets ADDRESS fill FOLDER   have them hold these files, and nothing else

These commands take their keys from the environment, as every client of S3 does: AWS_ACCESS_KEY_ID and so on.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks import files

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


def fetch(store: Any, folder: Path) -> int:
    """Write every object to a file, `folder/bucket/key`; how many there are.

    What is in the folder already stays, and a kill leaves no half of an object under its name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    part, count = folder / ".part", 0
    for bucket in NAMES:
        for key in _listed(store, bucket):
            path = folder / bucket / key
            path.parent.mkdir(parents=True, exist_ok=True)
            store.download_file(bucket, key, str(part))
            part.replace(path)
            count += 1
    return count


def fill(store: Any, folder: Path) -> int:
    """Have the buckets hold what `fetch` has written, and nothing else; how many objects that is.

    Nothing is taken away before all has come.
    """
    count, others = 0, []
    for bucket in NAMES:
        root = folder / bucket
        here = {path.relative_to(root).as_posix(): path for path in (files.below(root) if root.is_dir() else ())}
        for key, path in here.items():
            store.upload_file(str(path), bucket, key)
        others += [(bucket, key) for key in _listed(store, bucket) if key not in here]
        count += len(here)
    for bucket, key in others:
        store.delete_object(Bucket=bucket, Key=key)
    return count


def _listed(store: Any, bucket: str) -> Iterator[str]:
    for page in store.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        yield from (key for each in page.get("Contents", ()) if not (key := each["Key"]).endswith("/"))  # no folders


if __name__ == "__main__":
    address, *words = sys.argv[1:]
    match words:
        case []:
            make(client(address))
        case ["fetch", folder]:
            fetch(client(address), Path(folder))
        case ["fill", folder]:
            fill(client(address), Path(folder))
        case _:
            sys.exit(f"received {' '.join(words)}; allowed: nothing more, `fetch FOLDER` or `fill FOLDER`")
