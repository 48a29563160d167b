"""Fits a line to noisy points by gradient descent. Needs nothing but Python."""

import json
import random

import lab

config = lab.config
chance = random.Random(config["seed"])
points = [(x, 3 * x + 1 + chance.gauss(0, 0.1)) for x in (chance.uniform(-1, 1) for _ in range(200))]
train, test = points[:150], points[150:]
slope = offset = 0.0


def loss(some):
    return sum((slope * x + offset - y) ** 2 for x, y in some) / len(some)


for step in range(1, config["steps"] + 1):
    errors = [(slope * x + offset - y, x) for x, y in train]
    slope -= config["learning_rate"] * 2 * sum(error * x for error, x in errors) / len(train)
    offset -= config["learning_rate"] * 2 * sum(error for error, _ in errors) / len(train)
    lab.log({"train/loss": loss(train), "eval/loss": loss(test)}, step=step)
    lab.update_progress(100 * step / config["steps"])

with open("model.json", "w") as file:
    json.dump({"slope": slope, "offset": offset, "loss": loss(test)}, file)
lab.save_artifact("model.json", kind="model")
lab.finish(score={"eval/loss": loss(test)})
print(f"y = {slope:.3f} x + {offset:.3f}, loss {loss(test):.4f}")
