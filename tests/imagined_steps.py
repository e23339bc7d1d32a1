"""A machine whose constants are known, instead of processes that make keys and run circuits."""

import math
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np

from fhecost.circuits.work import bootstrap_key_bytes, key_conversion_units, key_product_units
from fhecost.measurement import calibration_run
from fhecost.measurement.calibration_steps import sets_of
from fhecost.measurement.cases import LookupCase
from fhecost.measurement.cpu_use import CpuUse
from fhecost.measurement.fit import lookup_work
from fhecost.measurement.forked import OutOfMemoryError, StepTimes
from fhecost.measurement.records import LinearSample, LookupSample, TransferSample
from fhecost.measurement.run_record import RunTimes
from fhecost.measurement.single_circuits import SingleCircuit

CONSTANTS = {
    "fourier_unit_s": 8e-11,
    "external_product_unit_s": 9e-10,
    "key_switch_unit_s": 7e-11,
    "key_byte_s": 4e-10,
}
LINEAR_S, EFFICIENCY, PROBE_S = 6e-10, 0.7, 0.05
RUN_S, BYTE_S = 1e-3, 2e-9


class ImaginedMachine:
    """What stands for this machine; ``others`` is what other programs have in the next steps."""

    def __init__(self, monkeypatch, threads=2):
        self.threads = threads
        self.others = iter(())
        self.waits = []
        self.steps = []
        self.broken_off_after = None
        self.out_of_memory_at = None
        self.day = "2026-01-01"
        replaced = {
            "available_threads": lambda: threads,
            "compile_case": self.compile_case,
            "forks": self.forks,
            "settled_probe_seconds": lambda: PROBE_S,
            "wait_for_quiet": self.wait_for_quiet,
            "now": lambda: f"{self.day}T10:20:30+00:00",
            "transfer_circuit": lambda case: (SimpleNamespace(transfer=case), np.zeros(1)),
            "transfer_sample": self.transfer_sample,
            "import_concrete": lambda: None,
        }
        for name, value in replaced.items():
            monkeypatch.setattr(calibration_run, name, value)

    def wait_for_quiet(self, most_s, progress):
        self.waits.append(most_s)
        return 0.0

    def compile_case(self, case, lookups=None):
        pbs, switch = sets_of(case)
        circuit = SimpleNamespace(pbs=pbs, switch=switch, case=case, lookups=lookups)
        if isinstance(case, LookupCase):
            values = np.zeros(lookups)
            return SingleCircuit(circuit, values, pbs, switch, LookupSample, {"elements": lookups})
        what = {"operations": 131073, "lwe_dimension": pbs.output_lwe_dimension}
        return SingleCircuit(circuit, np.zeros(1), pbs, switch, LinearSample, what)

    @contextmanager
    def forks(self, threads):
        yield SimpleNamespace(run=self.run)

    def run(self, circuit, inputs, repeats, most_s):
        if self.broken_off_after == len(self.steps):
            raise KeyboardInterrupt
        self.steps.append(circuit)
        if hasattr(circuit, "transfer"):
            times = self.times(RUN_S, 0.0, repeats.together, 4104, 4104)
            return StepTimes(times=times, cpu=self.cpu())
        if circuit.pbs.polynomial_size == self.out_of_memory_at:
            raise OutOfMemoryError("the process was killed; out of memory?")
        lookups = circuit.lookups or 1
        sample = SimpleNamespace(pbs=circuit.pbs, key_switch=circuit.switch)
        *units, key_bytes = lookup_work(sample, 1)
        *unit_s, key_byte_s = CONSTANTS.values()
        one_s = sum(count * each for count, each in zip(units, unit_s, strict=True))
        linear_s = 0.0 if circuit.lookups else 131073 * circuit.pbs.output_lwe_dimension * LINEAR_S
        keys_s = key_byte_s * key_bytes + linear_s
        each = EFFICIENCY if self.threads > 1 and lookups > 1 else 1.0
        together_s = math.ceil(lookups / self.threads) * one_s / each + keys_s
        bsk = bootstrap_key_bytes(circuit.pbs)
        ksk = key_bytes - bsk
        return StepTimes(
            times=self.times(
                together_s,
                (1.4e-8 * bsk + 1.6e-9 * key_product_units(circuit.pbs)) / self.threads
                + 1.1e-8 * ksk,
                repeats.together,
                2 * bsk + ksk,
                bsk + ksk,
                1.7e-10 * key_conversion_units(circuit.pbs) + 2.7e-9 * bsk,
            ),
            alone_s=(lookups * one_s + keys_s,) * repeats.alone,
            cpu=self.cpu(),
        )

    def cpu(self):
        """What a step has of the processors, beside others that are at work now."""
        others = next(self.others, 0.0)
        return CpuUse(cpus=2, wall_s=10, own_s=20 * (1 - others), others_s=20 * others)

    def times(self, warm_s, keygen_s, runs, peak, keys, cold_s=0.0):
        return RunTimes(
            threads=self.threads,
            keygen_s=keygen_s or 1e-3,
            encrypt_s=0.1,
            cold_s=warm_s + cold_s,
            warm_s=(warm_s,) * runs,
            decrypt_s=0.1,
            probe_s=(PROBE_S,) * 3,
            start_memory_bytes=345_000_000,
            keygen_peak_memory_bytes=345_000_000 + keys,
            peak_memory_bytes=345_000_000 + peak,
        )

    def transfer_sample(self, circuit, times, probes):
        inputs, outputs = 4104 * circuit.transfer.inputs, 4104 * circuit.transfer.outputs
        return TransferSample(
            threads=self.threads,
            seconds=(RUN_S + BYTE_S * (inputs + outputs),) * len(times.warm_s),
            probes_s=probes,
            input_bytes=inputs,
            output_bytes=outputs,
            elements=0,
        )
