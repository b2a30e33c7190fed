"""What is in the database at the end is what was asked for: kept, once, as asked, and nothing else."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from tests.faults.history import Operation
from tests.faults.promises.run import Intention, Run, Violation, text_of


def acknowledged_stake_is_kept(run: Run) -> Iterator[Violation]:
    """Every acknowledged stake is in the database, as its user's, with the amount and period asked for."""
    for create in run.of_kind("create"):
        if create.outcome != "ok":
            continue
        stake_id = str(create.answer.get("stakeId"))
        asked = (create.user, str(create.request["amount"]), str(create.request["period"]))
        kept = [
            (run.names.get(row.user_id), row.amount, row.period) for row in run.rows_by_id.get(stake_id, ())
        ]
        if kept != [asked]:
            detail = f"stake {stake_id}, acknowledged as {asked}, is in the database as {kept}"
            yield Violation("acknowledged_stake_is_kept", detail, (create.number,))


def stake_is_made_once(run: Run) -> Iterator[Violation]:
    """What was asked for once, however often it was sent, is in the database at most once."""
    for intention, rows in run.rows_by_intention.items():
        if len(rows) > 1:
            detail = f"{_say(intention)} was made as {[row.id for row in rows]}"
            yield Violation("stake_is_made_once", detail, _numbers(run.creates.get(intention, ())))


def nothing_unasked_is_made(run: Run) -> Iterator[Violation]:
    """Nothing is in the database that nobody asked for, or that every answer refused."""
    asked_names = {operation.user for operation in run.of_kind("sign_up") if operation.outcome != "fail"}
    for user in run.final.users:
        if user.username not in asked_names:
            yield Violation("nothing_unasked_is_made", f"nobody made the user {user.username}")
    for intention, rows in run.rows_by_intention.items():
        asked = run.creates.get(intention, [])
        periods = {str(create.request["period"]) for create in asked if create.outcome != "fail"}
        for row in rows:
            if row.period not in periods:
                detail = f"{_say(intention)} for {row.period} months is in the database as {row.id}"
                yield Violation("nothing_unasked_is_made", detail, _numbers(asked))


def key_answers_one_stake(run: Run) -> Iterator[Violation]:
    """All acknowledgements of one Idempotency-Key, and the key's row, name one stake, and repeats say so."""
    rows = {(run.names.get(row.user_id), row.key): row.stake_id for row in run.final.keys}
    for (user, key), creates in _acknowledged_by_key(run).items():
        answered = {str(create.answer.get("stakeId")) for create in creates}
        kept = rows.get((user, key))
        if answered != {kept}:
            detail = f"key {key} of {user} answered {sorted(answered)}; its row names {kept}"
            yield Violation("key_answers_one_stake", detail, _numbers(creates))
        first_ended_s = min(create.ended_s for create in creates)
        for create in creates:
            told = text_of(create.answer, "idempotency-replayed")
            if create.started_s > first_ended_s and told != "true":
                detail = f"a repetition of key {key} of {user} was not called one"
                yield Violation("key_answers_one_stake", detail, (create.number,))


def acknowledged_user_is_kept(run: Run) -> Iterator[Violation]:
    """Every user that was acknowledged is in the database, with the id that was told."""
    for sign_up in run.of_kind("sign_up"):
        row = run.users.get(sign_up.user)
        if sign_up.outcome == "ok" and (row is None or row.id != sign_up.answer.get("id")):
            detail = f"user {sign_up.user}, acknowledged as {sign_up.answer.get('id')}, is {row}"
            yield Violation("acknowledged_user_is_kept", detail, (sign_up.number,))


def _acknowledged_by_key(run: Run) -> dict[tuple[str, str], list[Operation]]:
    by_key = defaultdict(list)
    for create in run.of_kind("create"):
        key = text_of(create.request, "idempotency_key")
        if key is not None and create.outcome == "ok":
            by_key[create.user, key].append(create)
    return by_key


def _say(intention: Intention) -> str:
    return f"the stake of {intention[1]} by {intention[0]}"


def _numbers(operations: Iterable[Operation]) -> tuple[int, ...]:
    return tuple(operation.number for operation in operations)
