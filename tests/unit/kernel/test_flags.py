"""Flags: the stricter of sealed and requested counts; loosening is inert."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopilot.kernel.errors import ContractError
from autopilot.kernel.flags import FLAGS, Mode, effective, parse_mode, settle

NAMES = (
    "evidence_gate",
    "leases",
    "attestation",
    "tool_guard",
    "plan_lock",
    "test_pins",
    "watchdog",
    "telemetry",
)
MODES = st.sampled_from(Mode)


def test_the_table():
    assert tuple(FLAGS) == NAMES
    assert {name: flag.default for name, flag in FLAGS.items()} == {
        **dict.fromkeys(NAMES, Mode.ENFORCE),
        "telemetry": Mode.OBSERVE,
    }
    assert Mode.OFF < Mode.OBSERVE < Mode.ENFORCE
    # The order of phases cannot be switched: there is no flag that could.
    assert "sequence" not in FLAGS


def test_without_anything_set_the_defaults_hold():
    settled = settle({}, {})
    assert dict(settled.modes) == {name: flag.default for name, flag in FLAGS.items()}
    assert settled.loosenings == ()


def test_loosening_is_inert_and_seen():
    settled = settle({}, {"leases": "off", "tool_guard": "observe", "watchdog": "enforce"})
    assert dict(settled.modes) == dict(settle({}, {}).modes)
    assert [change.as_data() for change in settled.loosenings] == [
        {"flag": "leases", "from": "enforce", "to": "off"},
        {"flag": "tool_guard", "from": "enforce", "to": "observe"},
    ]


def test_a_sealed_loosening_holds_until_tightened_again():
    assert settle({"leases": Mode.OBSERVE}, {}).modes["leases"] is Mode.OBSERVE
    settled = settle({"leases": Mode.OBSERVE}, {"leases": "enforce"})
    assert settled.modes["leases"] is Mode.ENFORCE
    assert settled.loosenings == ()
    assert settle({"leases": Mode.OBSERVE}, {"leases": "off"}).modes["leases"] is Mode.OBSERVE


@pytest.mark.parametrize("text", ["", "ENFORCE", "Off", "on", "true", "0", " off", "off\n", "enforce "])
def test_other_words_are_no_modes(text):
    with pytest.raises(ContractError) as caught:
        parse_mode(text, "leases")
    assert caught.value.code == "bad_config"


def test_unknown_flags_and_modes_a_flag_does_not_have():
    with pytest.raises(ContractError) as caught:
        settle({}, {"sequence": "off"})
    assert caught.value.code == "unknown_flag"
    with pytest.raises(ContractError) as caught:
        parse_mode("enforce", "telemetry")
    assert caught.value.code == "bad_config"
    assert parse_mode("off", "telemetry") is Mode.OFF


@given(
    sealed=st.dictionaries(st.sampled_from(NAMES), MODES),
    requested=st.dictionaries(st.sampled_from(NAMES[:-1]), MODES.map(lambda mode: mode.word)),
)
def test_no_request_ever_loosens(sealed, requested):
    before = settle(sealed, {}).modes
    settled = settle(sealed, requested)
    for name in FLAGS:
        assert settled.modes[name] >= before[name]
        if name in requested:
            assert settled.modes[name] >= parse_mode(requested[name], name)
    inert = {change.flag for change in settled.loosenings}
    assert inert == {name for name, text in requested.items() if parse_mode(text, name) < before[name]}


@given(flag=st.sampled_from(NAMES), sealed=st.none() | MODES, first=st.none() | MODES, second=st.none() | MODES)
def test_effective_is_the_strictest(flag, sealed, first, second):
    base = FLAGS[flag].default if sealed is None else sealed
    assert effective(flag, sealed, None) is base
    assert effective(flag, sealed, first) == max(base, first if first is not None else base)
    assert effective(flag, effective(flag, sealed, first), second) == effective(
        flag, effective(flag, sealed, second), first
    )
