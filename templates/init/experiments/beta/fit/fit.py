"""Least squares on the points that beta/points left behind; they lie below needs/beta/points/<job>/."""

import json
from pathlib import Path

import lab

(folder,) = lab.artifacts_of("beta/points")
points = json.loads(Path(folder, "points.json").read_text())
mean_x = sum(x for x, _ in points) / len(points)
mean_y = sum(y for _, y in points) / len(points)
slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)
offset = mean_y - slope * mean_x
error = sum((slope * x + offset - y) ** 2 for x, y in points) / len(points)
lab.finish(score={"eval/error": error})
print(f"y = {slope:.3f} x + {offset:.3f}, mean squared error {error:.4f}")
