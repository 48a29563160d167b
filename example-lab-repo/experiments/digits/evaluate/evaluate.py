"""Looks at what the trained network gets wrong, digit by digit."""

import csv
import sys
from pathlib import Path

import joblib
from sklearn.metrics import confusion_matrix

import lab

sys.path.append(str(Path(__file__).parents[1] / "shared"))
from data import load

_, (images, labels) = load()
trained = lab.artifacts_of("digits/train")[0]  # one folder a trial of the needed task, and that has one
model = joblib.load(Path(trained, "model.joblib"))

table = confusion_matrix(labels, model.predict(images))
accuracy = table.diagonal() / table.sum(axis=1)  # of the images of a digit, how many were read as it

with open("confusion.csv", "w", newline="") as file:
    out = csv.writer(file)
    out.writerow(["digit", *(f"read as {digit}" for digit in range(10))])
    out.writerows([digit, *row.tolist()] for digit, row in enumerate(table))

lab.log({f"accuracy/{digit}": float(value) for digit, value in enumerate(accuracy)})
lab.finish(
    score={"eval/error": float(1 - table.trace() / table.sum()), "eval/error_worst_digit": float(1 - accuracy.min())}
)
print(f"hardest: {accuracy.argmin()}, {accuracy.min():.0%} read correctly")
