"""What a run on a GPU costs beside its work: a kernel's launch, and the host link.

Times, on the first CUDA device, with the driver's own library and nothing else installed:

* an empty kernel, launched and waited for; and one of many launched without waiting in between;
* copies of page-locked and of usual memory to the device and back, from 8 bytes to 256 MiB;
* a fixed cost and a bandwidth fitted to these copies by least squares of the relative error.

Usage: python measure.py > FILE.json
"""

import ctypes
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

PTX = b""".version 7.0
.target sm_70
.address_size 64
.visible .entry nothing() { ret; }
"""
REPEATS = 200
SIZES = [8 * 4**power for power in range(13)]


def check(code: int) -> None:
    """End with a code of the driver that says what went wrong."""
    if code:
        sys.exit(f"CUDA driver error {code}")


def seconds(action: Callable[[], None], repeats: int = REPEATS) -> dict[str, float]:
    """Median seconds of ``action``, and its quartiles."""
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        taken.append(time.perf_counter() - start)
    low, middle, high = statistics.quantiles(taken, n=4)
    return {"median_s": middle, "low_s": low, "high_s": high}


def fitted(times: dict[int, float]) -> dict[str, float]:
    """Fixed seconds and seconds a byte that go through ``times``, by size."""
    # Weighted by 1/t^2: both a short copy and a long one count by their relative error.
    rows = [(1 / t, size / t) for size, t in times.items()]
    a = sum(x * x for x, _ in rows)
    b = sum(x * y for x, y in rows)
    c = sum(y * y for _, y in rows)
    p, q = sum(x for x, _ in rows), sum(y for _, y in rows)
    determinant = a * c - b * b
    return {
        "fixed_s": (p * c - q * b) / determinant,
        "bytes_per_s": determinant / (a * q - b * p),
    }


def main() -> None:
    """Time all of it and print JSON."""
    cuda = ctypes.CDLL("libcuda.so.1")
    check(cuda.cuInit(0))
    device, context = ctypes.c_int(), ctypes.c_void_p()
    check(cuda.cuDeviceGet(ctypes.byref(device), 0))
    name = ctypes.create_string_buffer(100)
    check(cuda.cuDeviceGetName(name, 100, device))
    check(cuda.cuCtxCreate_v2(ctypes.byref(context), 0, device))
    module, kernel = ctypes.c_void_p(), ctypes.c_void_p()
    check(cuda.cuModuleLoadData(ctypes.byref(module), PTX))
    check(cuda.cuModuleGetFunction(ctypes.byref(kernel), module, b"nothing"))
    one = (1, 1, 1, 1, 1, 1, 0, None, None, None)

    def launch() -> None:
        check(cuda.cuLaunchKernel(kernel, *one))

    def launch_and_wait() -> None:
        launch()
        check(cuda.cuCtxSynchronize())

    def launch_many() -> None:
        for _ in range(1000):
            launch()
        check(cuda.cuCtxSynchronize())

    seconds(launch_and_wait)  # the first ones also load the kernel
    many = seconds(launch_many, 20)
    report = {
        "device": name.value.decode(),
        "host": platform.processor() or platform.machine(),
        "driver": subprocess.run(
            ["nvidia-smi", "--query-gpu=driver_version,pcie.link.gen.max,pcie.link.width.max",
             "--format=csv,noheader"], capture_output=True, text=True, check=False,
        ).stdout.strip(),
        "launch_and_wait": seconds(launch_and_wait, 2000),
        "launch_of_many": {key: value / 1000 for key, value in many.items()},
        "copies": {},
    }  # fmt: skip
    on_device, locked = ctypes.c_void_p(), ctypes.c_void_p()
    largest = SIZES[-1]
    check(cuda.cuMemAlloc_v2(ctypes.byref(on_device), ctypes.c_size_t(largest)))
    check(cuda.cuMemHostAlloc(ctypes.byref(locked), ctypes.c_size_t(largest), 0))
    usual = ctypes.create_string_buffer(largest)
    ctypes.memset(usual, 1, largest)
    ctypes.memset(locked, 1, largest)
    for kind, host in (("locked", locked), ("usual", ctypes.cast(usual, ctypes.c_void_p))):
        for way in ("to_device", "to_host"):
            times = {}
            for size in SIZES:
                whole = ctypes.c_size_t(size)

                def copy(
                    whole: ctypes.c_size_t = whole, way: str = way, host: object = host
                ) -> None:
                    if way == "to_device":
                        check(cuda.cuMemcpyHtoD_v2(on_device, host, whole))
                    else:
                        check(cuda.cuMemcpyDtoH_v2(host, on_device, whole))
                    check(cuda.cuCtxSynchronize())

                copy()
                times[size] = seconds(copy, 20 if size > 1 << 22 else REPEATS)["median_s"]
            report["copies"][f"{kind}_{way}"] = {"median_s": times, **fitted(times)}
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
