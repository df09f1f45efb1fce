"""What PostgreSQL and the S3 store hold, written to a file and brought back, with the real ones."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tasks.errors import DataError, TercetError
from tasks.services import backup, buckets, place, postgres, s3, stack
from tasks.services.processes import stop

LARGE = 9 * 2**20  # bytes: an object that is sent in parts
pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def stores(monkeypatch):
    """A folder that PostgreSQL's own user may enter, with both stores in it."""
    folder = Path(tempfile.mkdtemp(prefix="tercet-stores-"))
    folder.chmod(0o711)
    monkeypatch.chdir(folder)
    found = place.made()
    list(stack.start_stores(found))
    yield found
    end(found)
    shutil.rmtree(folder)


def end(found):
    for service in stack.stores(found):
        stop(service)


def held(found):
    """The rows and the objects, as clients read them."""
    client = buckets.client(s3.url(found), found.secrets["s3-key"], found.secrets["s3-secret"])
    listed = [(name, each["Key"]) for name in buckets.NAMES for each in client.list_objects_v2(Bucket=name)["Contents"]]
    objects = {(name, key): client.get_object(Bucket=name, Key=key)["Body"].read() for name, key in listed}
    rows = {name: postgres.sql(found, name, "select * from kept order by 1") for name in postgres.DATABASES}
    return rows, objects


def test_all_comes_back_and_nothing_else(stores, tmp_path):
    client = buckets.client(s3.url(stores), stores.secrets["s3-key"], stores.secrets["s3-secret"])
    for name in postgres.DATABASES:
        postgres.sql(stores, name, f"create table kept (n int, word text); insert into kept values (1, '{name} ü')")
    client.put_object(Bucket="dvc", Key="files/md5/ab/cdef", Body=os.urandom(LARGE))
    client.put_object(Bucket="mlflow", Key="1/run/artifacts/a b.json", Body=b"{}")
    before = held(stores)

    file = tmp_path / "kept.tar"
    assert backup.backup(file) == 2
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(TercetError, match="run: what they hold is about to be replaced"):
        backup.restore(file)

    postgres.sql(stores, "prefect", "delete from kept")
    client.put_object(Bucket="dvc", Key="of/later", Body=b"1")
    end(stores)
    shutil.rmtree(stores.home / "postgres")
    broken = tmp_path / "broken.tar"
    broken.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(DataError, match="a file of `tercet backup` is expected"):
        backup.restore(broken)
    assert backup.restore(file) == 2
    list(stack.start_stores(stores))
    assert held(stores) == before


def test_a_dump_that_cannot_be_loaded_leaves_the_database(stores, tmp_path):
    postgres.sql(stores, "mlflow", "create table kept (n int); insert into kept values (7)")
    (tmp_path / "mlflow.dump").write_bytes(b"PGDMP and no more")
    with pytest.raises(TercetError, match="pg_restore"):
        postgres.load(stores, "mlflow", tmp_path / "mlflow.dump")
    assert postgres.sql(stores, "mlflow", "select n from kept").strip() == "7"


def test_what_does_not_run_is_told(stores, tmp_path):
    end(stores)
    with pytest.raises(TercetError, match=r"postgres, s3 of .* do not run: `tercet up` first"):
        backup.backup(tmp_path / "kept.tar")
    assert not (tmp_path / "kept.tar").exists()
