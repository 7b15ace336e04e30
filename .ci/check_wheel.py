"""Fail unless a wheel holds one top-level package with its data and nothing else."""

import sys
import zipfile
from pathlib import Path

wheel = Path(sys.argv[1])
names = zipfile.ZipFile(wheel).namelist()
tops = {name.split("/")[0] for name in names}
packages = {top for top in tops if not top.endswith(".dist-info")}
assert packages == {"llmrg"}, f"{wheel.name} installs {sorted(packages)}, expected llmrg alone"
needed = [
    *(f"llmrg/_data/prompts/{path.name}" for path in Path("prompts").glob("*.toml")),
    *(f"llmrg/_data/pipelines/{path.name}" for path in Path("pipelines").glob("*.toml")),
    "llmrg/_bundled/ml-latest-small/ratings.csv.gz",
    "llmrg/_bundled/ml-latest-small/README.txt",
    "llmrg/evaluation/static/report.css",
    "llmrg/py.typed",
]
missing = [name for name in needed if name not in names]
assert not missing, f"{wheel.name} lacks {missing}"
print(f"{wheel.name}: {len(names)} files, one package")
