"""A training by several workers, or with dense layers on several devices, beside the same one in a single process."""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from tasks import paths
from tasks.bench import openssh
from tasks.closure import Reader
from tasks.code import hangs
from tasks.errors import DataError, DeviceError, ModelError, ParamsError
from tasks.examples import Arrays, dataset
from tasks.files import write_json
from tasks.params import Train, check
from tasks.training import fit, parallel, split, spread
from tests import least
from tests.board import Board

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
TOLERANCE = 1e-5  # of a weight, after ten steps; sums in another order come to about 3e-7
READY = "print('{\"ready\": true}', flush=True); import sys, time; sys.stdin.readline(); "


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Images of three classes. The last batch of training has three, that of validation one, for two workers."""
    rng = np.random.default_rng(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("project"))
        image = {"kind": "image", "shape": [6, 6, 1], "mean": [0.0], "scale": [255.0]}
        label = {"kind": "class", "classes": ["a", "b", "c"]}
        described = {"schema_version": 1, "inputs": {"image": image}, "targets": {"label": label}}
        write_json(paths.DATA / "preprocess.json", described)
        for name, count in (("train", 83), ("validation", 257)):
            labels = rng.integers(0, 3, count)
            images = rng.integers(0, 200, (count, 6, 6, 1)) + 20 * labels[:, None, None, None]
            dataset.save(paths.DATA / name, Arrays({"image": images.astype(np.uint8)}, {"label": labels}))
        yield


def settings(**more):
    given = {"epochs": 2, "batch_size": 20, "optimizer": "momentum", "learning_rate": 0.05, "clip": 1.0}
    return Train.model_validate(given | more)


def model():
    fit.reset(7)
    image = keras.Input((6, 6, 1), name="image")
    seen = keras.layers.Conv2D(4, 3, use_bias=False)(image)
    seen = keras.layers.ReLU()(keras.layers.BatchNormalization()(seen))
    wide = keras.layers.Dense(16, activation="relu", kernel_regularizer=keras.regularizers.l2(0.01))
    return keras.Model(image, keras.layers.Dense(3, activation="softmax")(wide(keras.layers.Flatten()(seen))))


@pytest.fixture(scope="module")
def alone(prepared):
    made = model()
    history = fit.fit(made, dataset.load("train"), dataset.load("validation"), settings(), label="alone")
    return made.get_weights(), history


def agree(made, history, alone):
    other, known = alone
    pairs = list(zip(made.weights, other, strict=True))
    trained = {id(variable) for variable in made.trainable_variables}
    assert max(np.abs(ours.numpy() - theirs).max() for ours, theirs in pairs if id(ours) in trained) < TOLERANCE
    for ours, theirs in pairs:
        # a running variance is n / (n - 1) times as large by the kernel of one device; n is the pixels of a batch
        assert np.allclose(ours, theirs, rtol=1 / 300, atol=TOLERANCE)
    for name, values in known.items():
        # of training, what is told of a batch of three in unequal shares is their plain mean
        assert history[name] == pytest.approx(values, rel=1e-4 if name.startswith("val") else 0.02), name
    assert max(np.abs(new - old).max() for new, old in zip(other, model().get_weights(), strict=True)) > 0.01


def test_workers_come_to_what_one_comes_to_even_if_they_were_killed(alone, tmp_path):
    params, seen = settings(parallel={"workers": 2}), []

    def killed(_epoch, _metrics):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        parallel.fit(model(), params, label="test", checkpoint=tmp_path / "c", on_epoch=killed)
    made, paces = model(), []
    history = parallel.fit(
        made,
        params,
        label="test",
        checkpoint=tmp_path / "c",
        on_epoch=lambda epoch, _: seen.append(epoch),
        on_pace=paces.append,
    )
    agree(made, history, alone)
    assert 0 not in seen  # which was finished
    assert len(paces) == len(seen)


def test_layers_on_three_devices_come_to_what_those_on_one_come_to(alone, tmp_path):
    made = model()
    history = parallel.fit(made, settings(parallel={"layers": 3}), label="test", checkpoint=tmp_path / "c")
    agree(made, history, alone)


@pytest.mark.slow
def test_hosts_come_to_what_one_comes_to_and_none_outlives_another(alone, tmp_path, monkeypatch):
    if Board.SSHD is None or shutil.which("ssh") is None:
        pytest.skip("no sshd: `apt-get install openssh-server openssh-client`")
    board = Board(tmp_path / "ssh")
    monkeypatch.setenv(openssh.CONFIG, str(board.config))
    params = settings(parallel={"hosts": ["board"], "python": sys.executable})
    board.start()
    try:
        made = model()
        history = parallel.fit(made, params, label="test", checkpoint=tmp_path / "c")
        agree(made, history, alone)
        assert board.eventually(lambda: not list(board.tmp.iterdir()))

        def cut(_epoch, _metrics):
            for folder in Path("/proc").glob("[0-9]*"):
                with suppress(OSError):  # it has just ended, or is another user's
                    there = str(board.tmp) in str((folder / "cwd").readlink())
                    if there and (folder / "cmdline").read_bytes().startswith(os.fsencode(sys.executable)):
                        os.kill(int(folder.name), signal.SIGKILL)

        with pytest.raises(DeviceError, match="worker on board"):
            parallel.fit(model(), params, label="test", checkpoint=tmp_path / "d", on_epoch=cut)
        assert board.eventually(lambda: not list(board.tmp.iterdir()))
    finally:
        board.stop()


@pytest.mark.slow
def test_each_device_holds_its_columns_and_what_the_optimizer_knows_of_them():
    script = """
from tasks.training import fit, split
fit.import_tensorflow()
import tensorflow as tf, tf_keras as keras
one = tf.config.LogicalDeviceConfiguration()
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], [one, one])
inputs = keras.Input((4,))
parted = split.split(keras.Model(inputs, keras.layers.Dense(6)(inputs)), ["CPU:0", "CPU:1"])
optimizer = keras.optimizers.Adam()
optimizer.build(parted.trainable_variables)
for each in [*parted.trainable_variables, *optimizer.variables[1:]]:
    print(each.device[-1], *each.shape)
"""
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, timeout=300, check=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    # kernels, biases, and two moments of each, in the order of their weights
    assert sorted(line[0] for line in lines) == ["0"] * 6 + ["1"] * 6
    assert sum(line[1:] == ["4", "3"] for line in lines) == 6


def test_a_parted_model_answers_as_the_whole_one_and_is_put_together_again():
    whole, images = model(), np.random.default_rng(1).random((5, 6, 6, 1), np.float32)
    parted = split.split(whole, ["CPU:0", "CPU:0", "CPU:0"])
    assert [weight.shape[-1] for weight in parted.layers[-2].weights] == [6, 5, 5] * 2
    assert parted.output_names == whole.output_names
    assert np.allclose(parted(images), whole(images), atol=1e-6)
    again = model()
    again.set_weights([np.zeros_like(weight) for weight in again.get_weights()])
    split.join(parted, again)
    assert all(np.array_equal(a, b) for a, b in zip(again.get_weights(), whole.get_weights(), strict=True))


def test_a_model_without_wide_layers_is_refused():
    inputs = keras.Input((4,))
    with pytest.raises(ModelError, match="no dense layer of 4 columns or more"):
        split.split(keras.Model(inputs, keras.layers.Dense(3)(inputs)), ["CPU:0"] * 4)


@pytest.mark.parametrize(("examples", "size"), [(101, 20), (3, 20)])
def test_a_batch_too_small_for_all_workers_is_refused(examples, size):
    with pytest.raises(ModelError, match=r"last batch of an epoch has [13] of (101|3) examples"):
        spread.check(examples, size, 4)
    spread.check(examples, size, 1)


@pytest.fixture
def worker(prepared, monkeypatch):
    """Has a script stand in for the process that fits."""
    started = []

    def of(script):
        def start(number, name, _command, *more):
            started.append(original(number, name, [sys.executable, "-I", "-c", script], *more))
            return started[-1]

        original = parallel._started
        monkeypatch.setattr(parallel, "_started", start)

    yield of
    assert all(each.process.returncode is not None for each in started)


def asked(tmp_path, **way):
    params = settings(parallel=way or {"workers": 2})
    return parallel.fit(model(), params, label="train baseline", checkpoint=tmp_path / "c")


def test_a_worker_that_dies_is_told_with_its_last_words(worker, tmp_path):
    worker(f"{READY} sys.exit('out of memory')")
    with pytest.raises(
        DeviceError, match=r"train baseline: the worker on this machine ended with code 1.*out of memory"
    ):
        asked(tmp_path)


def test_a_worker_that_is_silent_is_given_up(worker, tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, "SILENT_S", 2.0)
    worker("import time; time.sleep(600)")
    with pytest.raises(DeviceError, match="no sign of life of the workers on this machine for 2 s"):
        asked(tmp_path)


def test_what_a_worker_cannot_do_is_told_in_its_words(worker, tmp_path):
    worker(f"""{READY} print('{{"error": "too few", "kind": "ModelError"}}', flush=True); time.sleep(600)""")
    with pytest.raises(ModelError, match=r"^too few$"):
        asked(tmp_path)


def test_workers_of_other_versions_are_refused(worker, tmp_path):
    worker("""print('{"at": {"port": 1, "ssh": []}, "versions": {"tensorflow": "1.15"}}', flush=True); import time
time.sleep(600)""")
    with pytest.raises(DeviceError, match=r"this machine has tensorflow 1\.15; 2\.\d+\.\d+ is needed"):
        asked(tmp_path, hosts=["elsewhere"])


def test_images_that_lie_outside_cannot_travel(worker, tmp_path):
    index = paths.DATA / "train" / dataset.INDEX.format("image")
    index.touch()
    try:
        with pytest.raises(DataError, match=r"files that lie on this machine alone; prepare: \{pack: true\}"):
            asked(tmp_path, hosts=["elsewhere"])
    finally:
        index.unlink()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"parallel": {}}, "one of `workers`, `hosts` and `layers` expected"),
        ({"parallel": {"workers": 2, "layers": 2}}, "one of `workers`, `hosts` and `layers` expected"),
        ({"parallel": {"hosts": ["a", "a"]}}, "each once expected; received a, a"),
        ({"parallel": {"hosts": ["-oProxyCommand=x"]}}, "received '-oProxyCommand=x'"),
        ({"parallel": {"workers": 4}, "batch_size": 3}, "one example for each of 4 workers expected; received 3"),
        ({"parallel": {"workers": 2}, "optimizer": "muon"}, "muon needs a layer's whole gradient"),
        ({"parallel": {"workers": 2}, "epochs": 0}, "nothing is trained in 0 epochs"),
    ],
)
def test_what_cannot_be_parallel_is_refused(given, told):
    with pytest.raises(ParamsError, match=told):
        check(Train, {"epochs": 1} | given, Path("params.yaml"))


def test_only_who_trains_in_parallel_hangs_from_how_that_is_done():
    usual = least.params({"source": "digits"})
    asks = usual.model_copy(update={"train": settings(parallel={"workers": 2})})
    plain, spreading = (hangs.train(params, Reader()) for params in (usual, asks))
    ours = {f"tasks/training/{name}.py" for name in ("parallel", "worker", "spread", "split")}
    assert ours <= set(spreading["files"])
    assert not ours & set(plain["files"])
    assert "parallel" not in plain["settings"]["train"]
