"""Circuit profiles drawn at random, made consistent, or freed from that for a case by hand."""

from hypothesis import strategies as st

from fhecost.circuits.profile import (
    LINEAR_OPERATIONS,
    CircuitProfile,
    KeySwitchParameters,
    KeySwitchUse,
    LinearUse,
    PbsParameters,
    PbsUse,
    Stage,
)
from fhecost.circuits.work import bootstrap_key_bytes, key_switch_key_bytes, stage_units

COUNTS = st.integers(1, 5000)
# Concrete's sets: k > 1 with small polynomials only, up to the widest lookup of 16 bits.
SIZES = st.one_of(
    st.tuples(st.integers(1, 6), st.sampled_from([256, 512, 1024])),
    st.tuples(st.integers(1, 2), st.sampled_from([2**power for power in range(11, 17)])),
)


def consistent(content):
    """A profile's ``content`` with the keys, the work and the errors that its stages have.

    Keys may be larger than the stages need, and stay so.
    """
    stages = [Stage.model_validate(stage) for stage in content["stages"]]
    pbs = {use.parameters for stage in stages for use in stage.pbs}
    switches = {use.parameters for stage in stages for use in stage.key_switches}
    count = sum(stage.pbs_count for stage in stages)
    return {
        **content,
        "bsk_bytes": max(content["bsk_bytes"], sum(map(bootstrap_key_bytes, pbs))),
        "ksk_bytes": max(content["ksk_bytes"], sum(map(key_switch_key_bytes, switches))),
        "complexity": sum(map(stage_units, stages)),
        "global_p_error": min(1.0, max(1, count) * content["p_error"]),
        "hash": "",
    }


def unchecked(circuit, **values):
    """``circuit`` with other values, which need not go together.

    For a case by hand: no circuit has no keys, but without their cost a lookup's is seen alone.
    """
    content = {name: getattr(circuit, name) for name in CircuitProfile.model_fields}
    made = CircuitProfile.model_construct(**{**content, **values})
    object.__setattr__(made, "hash", made._content_hash())
    return made


@st.composite
def pbs_parameters(draw):
    dimension, size = draw(SIZES)
    return PbsParameters(
        lwe_dimension=draw(st.integers(400, 1300)),
        glwe_dimension=dimension,
        polynomial_size=size,
        level_count=draw(st.integers(1, 4)),
        base_log=draw(st.integers(2, 16)),
    )


@st.composite
def key_switch_parameters(draw):
    dimension, size = draw(SIZES)
    return KeySwitchParameters(
        input_lwe_dimension=dimension * size,
        # That of another ring: the n of a bootstrap must be one that follows.
        output_lwe_dimension=draw(st.sampled_from([512, 768, 1024, 1280])),
        level_count=draw(st.integers(1, 8)),
        base_log=draw(st.integers(1, 8)),
    )


def uses(kind, parameters, fewest):
    """Up to three sets, each used some times."""
    one = st.builds(kind, parameters=parameters, count=COUNTS)
    return st.lists(one, min_size=fewest, max_size=3, unique_by=lambda use: use.parameters)


LINEAR = st.builds(
    LinearUse,
    operation=st.sampled_from(LINEAR_OPERATIONS),
    lwe_dimension=st.integers(1, 2**16),
    count=COUNTS,
)


@st.composite
def stages(draw, earlier=()):
    """A stage of one of the kinds that circuits have: which operations are in it."""
    kind = draw(st.sampled_from(["lookups", "PBS", "KS", "linear"]))
    pbs = draw(uses(PbsUse, pbs_parameters(), 1)) if kind in ("lookups", "PBS") else []
    switches = (
        draw(uses(KeySwitchUse, key_switch_parameters(), 1)) if kind in ("lookups", "KS") else []
    )
    linear = draw(st.lists(LINEAR, min_size=int(kind == "linear"), max_size=2))
    lookups = sum(use.count for use in pbs)
    depth = draw(st.integers(1, min(4, lookups) if pbs else 4))
    needed = -(-lookups // depth)
    # Without lookups the width is that of the largest tensor, whatever is done with it.
    width = draw(st.integers(needed, lookups) if pbs else COUNTS)
    return Stage(
        name=f"stage {len(earlier)}",
        pbs=tuple(pbs),
        key_switches=tuple(switches),
        linear=tuple(linear),
        depth=depth,
        parallel_width=width,
        predecessors=tuple(draw(st.sets(st.sampled_from(earlier)))) if earlier else (),
    )


@st.composite
def profiles(draw):
    """A circuit of one to six stages, each of which does something."""
    drawn = []
    for _ in range(draw(st.integers(1, 6))):
        drawn.append(draw(stages([stage.name for stage in drawn])))
    content = {
        "name": "drawn",
        "source": "hypothesis",
        "stages": tuple(drawn),
        "bsk_bytes": draw(st.integers(0, 10**10)),
        "ksk_bytes": draw(st.integers(0, 10**10)),
        "input_bytes": draw(st.integers(0, 10**9)),
        "output_bytes": draw(st.integers(0, 10**9)),
        "max_bit_width": draw(st.integers(1, 16)),
        "p_error": draw(st.floats(0, 1)),
    }
    return CircuitProfile.model_validate(consistent(content))
