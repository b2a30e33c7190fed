"""Judges a run: every promise of the service, held against what was asked, answered, and is kept in the end.

Pure, and near-linear in the length of the history. Whatever it finds is a breach: where the history leaves
room (an answer that was lost, two requests at once, an exception that docs/operations.md states), the service
gets the benefit of it. It is blind to what the history does not say; test_planted.py shows what it sees.
"""

from collections.abc import Callable, Iterator

from tests.faults.final_state import FinalState
from tests.faults.history import History
from tests.faults.promises import answers, limits, pages, sessions, stakes
from tests.faults.promises.run import Rules, Run, Violation

__all__ = ["PROMISES", "Rules", "Violation", "check"]

PROMISES: tuple[Callable[[Run], Iterator[Violation]], ...] = (
    answers.client_does_one_thing_at_a_time,
    stakes.acknowledged_stake_is_kept,
    stakes.stake_is_made_once,
    stakes.nothing_unasked_is_made,
    stakes.key_answers_one_stake,
    stakes.acknowledged_user_is_kept,
    pages.pages_are_true,
    sessions.ended_session_stays_ended,
    sessions.disabled_user_is_out,
    sessions.standing_session_is_taken,
    sessions.refresh_token_is_taken_once,
    sessions.ends_are_kept,
    sessions.changed_password_holds,
    limits.at_most_the_quota,
    limits.refused_only_when_used_up,
    answers.answer_is_documented,
    answers.request_is_answered,
    answers.answer_is_in_time,
    answers.retry_after_is_told,
    answers.request_id_is_told,
)


def check(history: History, final_state: FinalState, rules: Rules | None = None) -> list[Violation]:
    """Every breach of a promise, promise by promise."""
    run = Run(history, final_state, rules or Rules())
    return [violation for promise in PROMISES for violation in promise(run)]
