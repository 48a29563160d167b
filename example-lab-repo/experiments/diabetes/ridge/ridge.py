"""One trial: ridge regression of one strength, judged by cross-validation. The sweep in task.yaml makes twelve of it."""

from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score, root_mean_squared_error
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

import lab

config = lab.config
columns, progression = load_diabetes(return_X_y=True, scaled=False)
model = make_pipeline(
    StandardScaler(),
    PolynomialFeatures(config["degree"], include_bias=False),
    StandardScaler(),
    Ridge(alpha=config["alpha"]),
)

guess = progression * 0.0
folds = KFold(config["folds"], shuffle=True, random_state=config["seed"])
for number, (seen, unseen) in enumerate(lab.track(list(folds.split(columns)))):
    model.fit(columns[seen], progression[seen])
    guess[unseen] = model.predict(columns[unseen])
    lab.log({"fold/rmse": root_mean_squared_error(progression[unseen], guess[unseen])}, step=number)

rmse = root_mean_squared_error(progression, guess)
lab.finish(score={"eval/rmse": rmse, "eval/r2": r2_score(progression, guess)})
print(f"alpha {config['alpha']:g}, degree {config['degree']}: off by {rmse:.2f}")
