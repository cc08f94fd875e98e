"""Fail unless the package named is the only one in this environment, installers aside.

python -I tools/check_alone.py pm-frames
"""

import sys
from importlib.metadata import distributions

[name] = sys.argv[1:]
installed = {distribution.metadata["Name"].lower() for distribution in distributions()}
others = installed - {name, "pip", "setuptools", "wheel"}
if name not in installed or others:
    sys.exit(f"expected {name} alone, found {sorted(installed)}")
print(f"{name} is alone in its environment")
