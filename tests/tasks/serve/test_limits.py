"""What a server refuses, and how: too much, too late, too many threads, damaged bundles, inputs that are none."""

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import DataError, ParamsError
from tasks.serve import app
from tasks.serve import bundle as bundles
from tasks.serve.app import Limits
from tasks.serve.bundle import opened, placed
from tasks.serve.classifier import Classifier, refusal
from tasks.serve.counts import Counts
from tasks.serve.pool import Answer, Handler, Job, Pool
from tasks.serve.server import Service
from tests.bundles import GOLDEN, noise
from tests.serving import WAIT_S, Client, bundle, read_slowly, sealed, served, serving

IMAGE = noise(1)[0].tolist()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle(tmp_path_factory.mktemp("limits") / "b")


@pytest.fixture(scope="module")
def client(folder: Path) -> Client:
    with serving(folder, Limits(seconds=WAIT_S, bytes=10_000)) as client:
        yield client


@pytest.fixture(scope="module")
def classifier(folder: Path) -> Classifier:
    return Classifier(opened(folder), 1, Counts())


def service(folder: Path, handle: Handler, limits: Limits) -> Service:
    """A service whose only worker does what the test says."""
    made, counts = opened(folder), Counts()
    failed = lambda said: refusal(500, said)  # noqa: E731
    pool = Pool([handle], capacity=limits.inside, most=1, limit_s=limits.seconds, failed=failed)
    return Service(app.made(made, pool, counts, limits), pool, "", WAIT_S)


def test_a_full_queue_sends_away_and_then_goes_on(folder: Path) -> None:
    go = threading.Event()

    def handle(jobs: list[Job]) -> list[Answer]:
        assert go.wait(WAIT_S)
        return [Answer(200, b"{}")] * len(jobs)

    with served(service(folder, handle, Limits(seconds=WAIT_S, inside=3))) as client, ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(client.predict, IMAGE) for _ in range(3)]
        while client.get("/ready").status == 200:
            time.sleep(0.01)
        away = client.predict(IMAGE)
        assert (away.status, away.json) == (503, {"error": "too many requests wait; try later"})
        assert int(away.headers["retry-after"]) >= 1
        assert client.get("/health").status == 200
        go.set()
        assert [each.result().status for each in waiting] == [200] * 3
        assert client.predict(IMAGE).status == 200
        assert client.get("/ready").status == 200


def test_what_is_half_read_counts_and_leaves_no_trace(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    made = service(folder, lambda jobs: [Answer(200, b"{}")] * len(jobs), Limits(seconds=WAIT_S, inside=2))
    with served(made) as client:
        read_slowly(client, "/predict", made.pool)
        assert [client.predict(IMAGE).status for _ in range(3)] == [200] * 3
        assert client.ask("POST", "/predict", b"<a/>", "application/xml").status == 415
    assert (made.pool.inside, capfd.readouterr().err) == (0, "")


def test_a_body_that_does_not_come_or_is_too_large_gives_its_place_back(folder: Path) -> None:
    limits = Limits(seconds=0.1, inside=1, bytes=10)
    made = service(folder, lambda jobs: [Answer(200, b"{}")] * len(jobs), limits)
    with served(made) as client:
        with client.begin("/predict") as late:
            assert late.recv(100).startswith(b"HTTP/1.1 504 ")
        assert client.ask("POST", "/predict", b"0123456789a").status == 413
        assert made.pool.inside == 0


def test_who_has_waited_too_long_is_told_so_and_costs_nothing_more(folder: Path) -> None:
    go, handled = threading.Event(), []

    def handle(jobs: list[Job]) -> list[Answer]:
        handled.extend(json.loads(job.body)["instances"][0] for job in jobs)
        assert go.wait(WAIT_S)
        return [Answer(200, b"{}")] * len(jobs)

    with served(service(folder, handle, Limits(seconds=0.2))) as client:
        with ThreadPoolExecutor(2) as threads:
            late = [each.result() for each in [threads.submit(client.predict, k) for k in (1, 2)]]
        assert [(each.status, each.json) for each in late] == [(504, {"error": "no answer within 0.2 s"})] * 2
        time.sleep(0.3)
        assert client.get("/health").status == 500, "its worker hangs"
        go.set()
        while client.get("/health").status != 200:
            time.sleep(0.01)
        while client.predict(3).status != 200:
            time.sleep(0.01)
    assert handled[0] in (1, 2)
    assert set(handled[1:]) == {3}, "the other of the first two was not worth working on"


def test_a_worker_that_fails_fails_one_request(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def handle(jobs: list[Job]) -> list[Answer]:
        if json.loads(jobs[0].body) == {"instances": [0]}:
            raise RuntimeError("out of\nmemory")
        return [Answer(200, b"{}")] * len(jobs)

    with served(service(folder, handle, Limits(seconds=WAIT_S))) as client:
        assert (client.predict(0).status, client.predict(0).json) == (500, {"error": "out of memory"})
        assert client.predict(1).status == 200
    assert "a request failed: RuntimeError: out of memory" in capfd.readouterr().err


WRONG: dict[str, tuple[Any, str]] = {
    "no JSON": (b"{", "unexpected end"),
    "another key": ({"inputs": [1]}, '{"instances": [example, …]} expected; received the keys inputs'),
    "a list": ([IMAGE], '{"instances": [example, …]} expected; received list'),
    "no example": ({"instances": []}, "1 to 256 examples in a request expected; received 0"),
    "another size": (
        {"instances": [[[1, 2], [3, 4]]]},
        "images of uint8 [n, 8, 8, 1] expected; received uint8 [1, 2, 2",
    ),
    "ragged": ({"instances": [[[1], [3, 4]]]}, "image: rows of one length expected; received rows of several"),
    "floats": ({"instances": [[[0.5] * 8] * 8]}, "image: whole numbers from 0 to 255 expected of an image's pixels"),
    "too bright": ({"instances": [[[256] * 8] * 8]}, "image: whole numbers from 0 to 255 expected of an image's"),
    "truths": ({"instances": [[[True] * 8] * 8]}, "image: whole numbers from 0 to 255 expected"),
    "nothing": ({"instances": [None]}, "image: whole numbers from 0 to 255 expected"),
    "a text": ({"instances": ["seven"]}, "image: images in numbers expected; received a text"),
    "another name": (
        {"instances": [{"picture": 1}]},
        "each example by the names image expected; received the names pict",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_input_is_told_in_one_line(client: Client, case: str) -> None:
    body, said = WRONG[case]
    told = client.ask("POST", "/predict", body if isinstance(body, bytes) else json.dumps(body).encode())
    assert told.status == 422
    assert list(told.json) == ["error"]
    assert said in told.json["error"]
    assert "\n" not in told.json["error"]


def test_other_bodies_are_refused_by_size_and_kind(client: Client) -> None:
    big = client.ask("POST", "/predict", b" " * 10_001)
    assert (big.status, big.json["error"]) == (413, "a body of up to 10000 bytes expected")
    assert client.ask("POST", "/predict", b"<a/>", "application/xml").status == 415
    broken = client.ask("POST", "/predict", b"\x89PNG\r\n\x1a\nno", "image/png")
    assert (broken.status, "\n" in broken.json["error"]) == (422, False)
    assert client.get("/predict").status == 405
    assert client.get("/elsewhere").status == 404


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["image", "x"]), inner, max_size=2),
    max_leaves=20,
)


@given(body=st.binary(max_size=40) | JSONS.map(lambda value: json.dumps({"instances": [value, value]}).encode()))
def test_nothing_that_comes_breaks_a_worker(classifier: Classifier, body: bytes) -> None:
    loop = asyncio.new_event_loop()
    try:
        jobs = [Job(kind, body, loop.create_future()) for kind in ("application/json", "image/png", "text/plain")]
    finally:
        loop.close()
    for answer in classifier(jobs):
        assert answer.status == 422, "no draw is an image of 8 by 8"
        assert len(json.loads(answer.content)["error"].splitlines()) == 1


@given(cores=st.integers(1, 64), workers=st.none() | st.integers(1, 80), threads=st.none() | st.integers(1, 80))
def test_workers_times_threads_never_exceed_the_processors(
    folder: Path, cores: int, workers: int | None, threads: int | None
) -> None:
    made = opened(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundles, "cpus_allowed", lambda: cores)
        patch.setattr(bundles, "cpu_limit", lambda: None)
        if (workers or 1) * (threads or 1) > cores:
            with pytest.raises(ParamsError, match=f"the {cores} processors here"):
                placed(made, workers, threads)
            return
        found = placed(made, workers, threads)
    assert found[0] * found[1] <= cores
    assert found == (workers or cores // found[1], threads or 1)


def test_a_share_of_processors_counts_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "cpus_allowed", lambda: 8)
    monkeypatch.setattr(bundles, "cpu_limit", lambda: 2.5)
    assert placed(opened(folder), None, None) == (2, 1)
    with pytest.raises(ParamsError, match="3 workers with 1 threads each are more than the 2 processors here"):
        placed(opened(folder), 3, None)


def test_no_more_threads_run_than_were_asked_for(tmp_path: Path) -> None:
    """The bundle was measured with two; one worker of one thread is all that may run."""
    made = bundle(tmp_path / "b", options={"kernels": "default", "threads": 2})

    def threads() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    before = threads()
    one = Classifier(opened(made), 1, Counts())
    assert threads() == before
    three = Classifier(opened(made), 3, Counts())
    assert threads() > before, "the check would be empty"
    del one, three


@pytest.mark.parametrize("name", ["model", "preprocess.py", "manifest.json"])
def test_a_damaged_bundle_is_not_served(tmp_path: Path, name: str) -> None:
    made = bundle(tmp_path / "b")
    path = made / (name if name != "model" else "float32.tflite")
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(DataError, match=f"not as it was shipped: {path.name}"):
        opened(made)


def test_a_runtime_that_refuses_or_is_missing_is_told(tmp_path: Path) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"no model")
    with pytest.raises(DataError, match=r"b: .*"):
        Classifier(opened(bundle(tmp_path / "b", broken)), 1, Counts())
    made = bundle(tmp_path / "c")
    (made / "runner" / "litert.py").write_text("import a_runtime_of_nobody\n")
    program = json.loads((made / "manifest.json").read_text())["program"]
    sealed(made, {"variant": "v", "device": "d", "program": {**program, "requires": ["a-runtime==1"]}})
    with pytest.raises(DataError, match=r"it needs a-runtime==1: pip install a-runtime==1"):
        Classifier(opened(made), 1, Counts())


def test_two_bundles_side_by_side_have_modules_of_their_own(tmp_path: Path) -> None:
    one = bundle(tmp_path / "one")
    other = bundle(tmp_path / "other", GOLDEN / "int8.tflite")
    (other / "preprocess.py").write_text("def read(path):\n    return {'inputs': {'x': 1}, 'targets': {}}\n")
    sealed(other, json.loads((other / "manifest.json").read_text()))
    assert opened(other).inputs == {"x": 1}
    assert list(opened(one).inputs) == ["image"]
