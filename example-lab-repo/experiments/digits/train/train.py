"""Trains a small network on the digits, epoch by epoch. Goes on where an interrupted attempt stopped."""

import sys
import warnings
from pathlib import Path

import joblib
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier

import lab

sys.path.append(str(Path(__file__).parents[1] / "shared"))
from data import load

warnings.simplefilter("ignore", ConvergenceWarning)  # one epoch at a time never "converges"
config = lab.config
(x_train, y_train), (x_test, y_test) = load()

checkpoint = lab.resume()  # a path, or None at a first start
if checkpoint:
    model, done = joblib.load(checkpoint)  # the model carries its own random state: the run goes on as if unbroken
    print(f"going on after epoch {done}")
else:
    done = 0
    model = MLPClassifier(
        hidden_layer_sizes=(config["hidden"],),
        solver="sgd",
        learning_rate_init=config["learning_rate"],
        batch_size=8,
        random_state=config["seed"],
    )

for epoch in range(done + 1, config["epochs"] + 1):
    model.partial_fit(x_train, y_train, classes=range(10))
    chances = model.predict_proba(x_test)
    accuracy = float((chances.argmax(axis=1) == y_test).mean())
    lab.log(
        {"train/loss": model.loss_, "eval/loss": log_loss(y_test, chances), "eval/accuracy": accuracy},
        step=epoch,
    )
    lab.update_progress(100 * epoch / config["epochs"])
    if epoch % 5 == 0:
        joblib.dump((model, epoch), "checkpoint.joblib")
        lab.save_checkpoint("checkpoint.joblib", step=epoch, keep_last=2)  # hashed, then renamed: never half there

joblib.dump(model, "model.joblib")
lab.save_artifact("model.joblib", kind="model")
lab.finish(score={"eval/accuracy": accuracy})
print(f"{accuracy:.1%} of {len(y_test)} digits read correctly")
