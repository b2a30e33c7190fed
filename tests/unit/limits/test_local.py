"""What a process knows of limits by itself, its log and the table of the blocked, against naive models."""

from hypothesis import given
from hypothesis import strategies as st

from stakehold.limits.blocks import BlockTable
from stakehold.limits.fallback import LocalLog
from stakehold.limits.headers import LimitState
from stakehold.limits.policies import Policy
from tests.support.fakes import ManualClock

SHORT, LONG = Policy("auth", 4, 10), Policy("global", 6, 30)
steps = st.lists(
    st.tuples(
        st.sampled_from(["admit", "record", "take back"]),
        st.sampled_from(["u:1", "u:2"]),
        st.integers(0, 8).map(str),
        st.floats(0, 15),
    ),
    max_size=60,
)


@given(steps, st.integers(1, 5))
def test_the_local_log_is_an_exact_sliding_log(
    taken: list[tuple[str, str, str, float]], processes: int
) -> None:
    """Admission, what remains and what is charged agree with a list of all charges, at every step."""
    clock = ManualClock()
    local = LocalLog(clock, processes)
    charges: dict[tuple[str, str], dict[str, float]] = {}
    for action, subject, request, pause_s in taken:
        clock.advance(pause_s)
        now_s = clock.monotonic_s()
        logs = []
        for policy in (SHORT, LONG):
            log = charges.setdefault((subject, policy.name), {})
            for one in [one for one, at_s in log.items() if at_s <= now_s - policy.window_s]:
                del log[one]
            logs.append((policy, log, max(1, policy.quota // processes)))
        if action == "take back":
            local.take_back(subject, (SHORT, LONG), request)
            for _, log, _ in logs:
                log.pop(request, None)
            continue
        if action == "record":
            local.record(subject, (SHORT, LONG), request)
            for _, log, _ in logs:
                log.setdefault(request, now_s)
            continue
        decision = local.admit(subject, (SHORT, LONG), request)
        full = [policy for policy, log, share in logs if request not in log and len(log) >= share]
        assert [state.policy for state in decision.violated] == full
        if not full:
            assert decision.charged == tuple(policy for policy, log, _ in logs if request not in log)
            for _, log, _ in logs:
                log.setdefault(request, now_s)
        assert [state.remaining for state in decision.limits] == [
            max(0, share - len(log)) for _, log, share in logs
        ]


def test_a_local_refusal_says_when_to_come_back() -> None:
    """The wait told is long enough, also when more was let in than the share."""
    clock = ManualClock()
    local = LocalLog(clock, processes=2)
    for number in range(4):
        local.record("u:1", (SHORT,), str(number))
        clock.advance(1)
    (state,) = local.admit("u:1", (SHORT,), "more").violated
    assert state.reset_s == 8, "two of four must leave before the share of two has room"
    clock.advance(state.reset_s - 1)
    assert local.admit("u:1", (SHORT,), "more").violated
    clock.advance(1)
    assert not local.admit("u:1", (SHORT,), "more").violated


def test_the_subject_not_seen_for_longest_is_forgotten() -> None:
    """Beyond its bound the log forgets idle subjects first."""
    local = LocalLog(ManualClock(), processes=1, subjects_max=3)
    one = Policy("auth", 1)
    for subject in ("a", "b", "c", "a", "d"):
        local.record(subject, (one,), f"first of {subject}")
    assert local.admit("a", (one,), "second").violated
    assert not local.admit("b", (one,), "second").violated


def test_a_block_ends_by_itself_and_concerns_its_subject_and_policy() -> None:
    """The table refuses until the moment told, and no other subject or policy."""
    clock = ManualClock()
    table = BlockTable(clock)
    table.block("u:1", (LimitState(SHORT, 0, 7),), clock.monotonic_s())
    assert table.find("u:1", (SHORT, LONG)) == (LimitState(SHORT, 0, 7),)
    assert table.find("u:1", (LONG,)) == table.find("u:2", (SHORT,)) == ()
    clock.advance(6.5)
    assert table.find("u:1", (SHORT,)) == (LimitState(SHORT, 0, 1),)
    clock.advance(0.5)
    assert table.find("u:1", (SHORT,)) == ()


def test_the_table_of_the_blocked_is_bounded() -> None:
    """Beyond its bound it forgets blocks that are over, and the oldest if none is."""
    clock = ManualClock()
    table = BlockTable(clock, blocks_max=3)
    for number, wait_s in enumerate((5, 50, 50)):
        table.block(f"u:{number}", (LimitState(SHORT, 0, wait_s),), clock.monotonic_s())
    clock.advance(5)
    table.block("u:3", (LimitState(SHORT, 0, 50),), clock.monotonic_s())
    assert table.find("u:1", (SHORT,))
    table.block("u:4", (LimitState(SHORT, 0, 50),), clock.monotonic_s())
    assert not table.find("u:1", (SHORT,))
    assert all(table.find(f"u:{number}", (SHORT,)) for number in (2, 3, 4))
