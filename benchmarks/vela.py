"""What the Vela compiler says of a network whose cycles are published: the line of infra/published/compiled.csv.

MobileNetV2 at 224 pixels with random weights, in integers throughout, for the machine of Arm's evaluation kit. Random
weights are compressed less than trained ones, so what waits for the flash takes longer here than there.

    python benchmarks/vela.py

Takes a minute and 2 GB. Seen: infra/published/compiled.csv.
"""

from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tasks.bench import devices
from tasks.bench.kinds import ethos_u
from tasks.examples import Arrays
from tasks.formats import cost
from tasks.published import compiled, networks
from tasks.quantize import litert

DEVICE = "ethos-u55-128"
SIDE = 224


def main() -> None:
    import tf_keras as keras

    keras.utils.set_random_seed(0)
    model = keras.applications.MobileNetV2(weights=None)
    images = np.random.default_rng(0).random((4, SIDE, SIDE, 3), np.float32)
    device = devices.load(DEVICE)
    assert isinstance(device, ethos_u.EthosU)
    with TemporaryDirectory() as folder:
        path = Path(folder, "model.tflite")
        path.write_bytes(litert.convert(model, "int8", Arrays({model.input_names[0]: images}, {})))
        network = networks.known(each.product for each in cost.read(path) if each.product)
        cycles = ethos_u.vela(path, device, Path(folder)).number("cycles_total")
    compiler = f"ethos-u-vela {version('ethos-u-vela')}"
    print("network,accelerator,system,memory,compiler,cycles")
    print(f"{network},{device.accelerator},{device.system},{device.memory},{compiler},{cycles:.0f}")
    for guess in compiled.guesses(DEVICE):
        print(f"{guess.network}: {guess.published:.0f} cycles are published, so it is off by {guess.error:+.1%}")


if __name__ == "__main__":
    main()
