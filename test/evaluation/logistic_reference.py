"""Print reference weights of logistic regressions; test/evaluation/logistic.test.ts reads logistic_reference.json.

Run it with scikit-learn 1.9.1:
    python test/evaluation/logistic_reference.py > test/evaluation/logistic_reference.json
"""

import json

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

rng = np.random.default_rng(3)
out = []
for n, k, separable in [(12, 2, False), (60, 4, False), (40, 3, True), (200, 6, False)]:
    rows = rng.normal(size=(n, k)) * 10.0 ** rng.integers(-2, 3, k) + rng.normal(size=k)
    rows[:, -1] = rows[0, -1] if k == 4 else rows[:, -1]  # a constant feature
    odds = (rows[:, 0] - rows[:, 0].mean()) / rows[:, 0].std() * 2
    labels = odds > 0 if separable else rng.random(n) < 1 / (1 + np.exp(-odds))
    scaler = StandardScaler().fit(rows)
    model = LogisticRegression(C=1.0, tol=1e-13, max_iter=100_000, solver="newton-cholesky")
    model.fit(scaler.transform(rows), labels)
    weights = np.where(scaler.var_ > 1e-20, model.coef_[0] / scaler.scale_, 0)
    intercept = model.intercept_[0] - (weights * scaler.mean_).sum()
    out.append({"rows": rows.tolist(), "labels": labels.tolist(), "weights": weights.tolist(), "intercept": intercept})
print(json.dumps(out))
