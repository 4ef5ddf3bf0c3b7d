"""Print reference values of agreement between raters; test/evaluation/agreement.test.ts reads agreement_reference.json.

Run it with scikit-learn 1.9.1, statsmodels 0.15.0 and irrCAC 0.4.4:
    python test/evaluation/agreement_reference.py > test/evaluation/agreement_reference.json
"""

import json

import numpy as np
import pandas as pd
from irrCAC.raw import CAC
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import cohens_kappa, fleiss_kappa

rng = np.random.default_rng(7)
out = {"cohen": [], "fleiss": []}
for n, k in [(7, 2), (20, 2), (50, 3), (200, 4)]:
    a = rng.integers(0, k, n)
    b = np.where(rng.random(n) < 0.6, a, rng.integers(0, k, n))
    table = np.zeros((k, k))
    np.add.at(table, (a, b), 1)
    r = cohens_kappa(table)
    out["cohen"].append({"a": a.tolist(), "b": b.tolist(), "kappa": cohen_kappa_score(a, b), "se": r.std_kappa})
for n, m, k in [(8, 3, 2), (30, 5, 3), (60, 4, 2)]:
    t = np.stack([np.bincount(rng.choice(k, m, p=rng.dirichlet(np.ones(k) * 0.7)), minlength=k) for _ in range(n)])
    out["fleiss"].append({"counts": t.tolist(), "kappa": fleiss_kappa(t)})
rows, counts = [], []
while len(rows) < 25:
    row = [
        None if rng.random() < 0.3 else ["accept", "reject"][int(rng.random() < 0.5 + 0.3 * (len(rows) % 2))]
        for _ in range(4)
    ]
    if sum(x is not None for x in row) < 2:
        continue
    rows.append(row)
    counts.append([row.count("accept"), row.count("reject")])
est = CAC(pd.DataFrame(rows), digits=15).fleiss()["est"]
out["unequal"] = {
    "counts": counts,
    "kappa": est["coefficient_value"],
    "observed": est["pa"],
    "expected": est["pe"],
}
print(json.dumps(out))
