"""Makes `int4.ptx` of `int4.cu`, without the compiler's remarks. It needs nvcc of CUDA 13."""

import re
import subprocess

from tasks.decoder.kernels import MADE, SOURCE, digest

VERSION = "7.4"  # of PTX: the first with all that is used

said = subprocess.run(
    ["nvcc", "-ptx", "-arch=compute_80", str(SOURCE), "-o", "/dev/stdout"], check=True, capture_output=True, text=True
)
lines = [line.strip() for line in said.stdout.splitlines()]
kept = [re.sub(r"\s+", " ", line) for line in lines if line and not line.startswith("//")]
kept[0] = f".version {VERSION}"
MADE.write_text("\n".join([f"// of {SOURCE.name}, sha256 {digest()}", *kept, ""]), encoding="ascii")
