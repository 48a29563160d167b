"""Draws noisy points on a line and keeps them as an artifact. Needs nothing but Python."""

import json
import random

import lab

chance = random.Random(lab.config["seed"])
points = [(x, 3 * x + 1 + chance.gauss(0, 0.1)) for x in (chance.uniform(-1, 1) for _ in range(lab.config["count"]))]
with open("points.json", "w") as file:
    json.dump(points, file)
lab.save_artifact("points.json", kind="dataset")
lab.finish(score={"points": len(points)})
