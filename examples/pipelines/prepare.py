"""Write the example's data: the wines that come with scikit-learn, in files of 20, one of them with gaps.

python examples/pipelines/prepare.py [FOLDER]
"""

import sys
from pathlib import Path

from sklearn.datasets import load_wine

folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent) / "data"
folder.mkdir(parents=True, exist_ok=True)
wines = load_wine(as_frame=True).data
wines.loc[::50, "alcohol"] = None
for start in range(0, len(wines), 20):
    wines[start : start + 20].to_csv(folder / f"wines-{start:03}.csv", index=False)
print(f"{len(wines)} wines in {len(list(folder.glob('*.csv')))} files in {folder}")
