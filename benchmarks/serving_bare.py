"""What one writes by hand: FastAPI and a LiteRT interpreter, as FastAPI's pages and LiteRT's guide show it.

    python benchmarks/serving_bare.py BUNDLE --port N [--inline]

A handler that is a `def` runs in FastAPI's threads, so the interpreter has a lock; `--inline` is an `async def`, which
holds the event loop while it infers. Bodies and answers are those of `tercet serve`.
"""

import argparse
import json
from pathlib import Path
from threading import Lock

import numpy as np
import uvicorn
from ai_edge_litert.interpreter import Interpreter
from fastapi import FastAPI
from pydantic import BaseModel

parser = argparse.ArgumentParser()
parser.add_argument("bundle", type=Path)
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--inline", action="store_true")
OPTIONS = parser.parse_args()
BUNDLE = OPTIONS.bundle
DESCRIBED = json.loads((BUNDLE / "preprocess.json").read_text())
(SPEC,) = DESCRIBED["inputs"].values()
CLASSES = DESCRIBED["targets"]["label"]["classes"]

interpreter = Interpreter(str(BUNDLE / "model.tflite"), num_threads=1)
interpreter.allocate_tensors()
taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
lock, app = Lock(), FastAPI()


class Body(BaseModel):
    instances: list[list[list[int]]]


def answer(image: list[list[int]]) -> dict:
    real = (np.array(image, np.float32).reshape(1, *SPEC["shape"]) - SPEC["mean"]) / SPEC["scale"]
    scale, zero = taken["quantization"]
    if scale:
        real = np.clip(np.round(real / scale) + zero, -128, 127)
    with lock:
        interpreter.set_tensor(taken["index"], real.astype(taken["dtype"]))
        interpreter.invoke()
        output = interpreter.get_tensor(given["index"])[0]
    scale, zero = given["quantization"]
    scores = (output.astype(np.float32) - zero) * scale if scale else output
    index = int(scores.argmax())
    shares = dict(zip(CLASSES, scores.tolist(), strict=True))
    return {"label": CLASSES[index], "index": index, "score": float(scores[index]), "probabilities": shares}


if OPTIONS.inline:

    @app.post("/predict")
    async def inline(body: Body) -> dict:
        return {"predictions": [answer(image) for image in body.instances]}

else:

    @app.post("/predict")
    def predict(body: Body) -> dict:
        return {"predictions": [answer(image) for image in body.instances]}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=OPTIONS.port, log_level="warning", access_log=False)
