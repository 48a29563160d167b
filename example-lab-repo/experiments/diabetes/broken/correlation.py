"""How strongly does one column go with the disease? Asked for a column that the data does not have, it says so and fails."""

import sys

import numpy
from sklearn.datasets import load_diabetes

import lab

data = load_diabetes(scaled=False)
column = lab.config["column"]
if column not in data.feature_names:
    reason = f"the diabetes data has no column {column!r}; it has {', '.join(data.feature_names)}"
    lab.error(reason)  # what `lab why` and the results page show
    sys.exit(reason)

values = data.data[:, data.feature_names.index(column)]
lab.finish(score={"correlation": float(numpy.corrcoef(values, data.target)[0, 1])})
