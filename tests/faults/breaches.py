"""At least one way to break each promise, in a good run, by making one thing wrong."""

import dataclasses
from collections.abc import Callable
from typing import Any

from tests.faults.broken import Breach, Broken
from tests.faults.final_state import StakeRow, UserRow
from tests.faults.history import Operation
from tests.faults.imagined import RULES


def _stake_is_lost(run: Broken) -> bool:
    create = run.one("create")
    if create is None:
        return False
    return run.rows("stakes", [row for row in run.final.stakes if row.id != create.answer["stakeId"]])


def _stake_has_another_amount(run: Broken) -> bool:
    create = run.one("create")
    if create is None:
        return False
    rows = [
        dataclasses.replace(row, amount="0.5") if row.id == create.answer["stakeId"] else row
        for row in run.final.stakes
    ]
    return run.rows("stakes", rows)


def _stake_is_doubled(run: Broken) -> bool:
    rows = run.final.stakes
    return bool(rows) and run.rows("stakes", [*rows, dataclasses.replace(rows[0], id="0-double")])


def _stake_from_nowhere(run: Broken) -> bool:
    return run.rows("stakes", [*run.final.stakes, StakeRow("user ada", "9", "777", "12")])


def _refused_stake_is_made(run: Broken) -> bool:
    refused = [one for one in run.operations if one.kind == "create" and one.status == 429]
    if not refused:
        return False
    amount, period = str(refused[0].request["amount"]), str(refused[0].request["period"])
    asked = [one for one in run.operations if one.request.get("amount") == amount and one.outcome != "fail"]
    return not asked and run.rows(
        "stakes", [*run.final.stakes, StakeRow(f"user {refused[0].user}", "9", amount, period)]
    )


def _user_from_nowhere(run: Broken) -> bool:
    return run.rows("users", [*run.final.users, UserRow("user eve", "eve", "active", 0)])


def _user_is_lost(run: Broken) -> bool:
    return run.rows("users", [row for row in run.final.users if row.username != "ada"])


def _key_answers_another_stake(run: Broken) -> bool:
    create = run.one("create", lambda one: "idempotency-replayed" in one.answer)
    other = run.one("create", lambda one: create is not None and one.user == create.user)
    if create is None or other is None or other.answer["stakeId"] == create.answer["stakeId"]:
        return False
    return run.answer(create, stakeId=other.answer["stakeId"])


def _key_row_is_lost(run: Broken) -> bool:
    create = run.one("create", lambda one: one.request["idempotency_key"] is not None)
    return create is not None and run.rows("keys", [])


def _acknowledged_before(run: Broken, read: Operation) -> set[str]:
    return {
        str(one.answer["stakeId"])
        for one in run.operations
        if one.kind == "create" and one.outcome == "ok" and one.ended_s < read.started_s
    }


def _shown(read: Operation) -> list[Any]:
    items = read.answer["items"]
    assert isinstance(items, list)
    return items


def _lists_showing(run: Broken, wanted: Callable[[Operation, list[Any]], bool]) -> Operation | None:
    return run.one("list", lambda one: wanted(one, _shown(one)))


def _page_lacks_the_newest(run: Broken) -> bool:
    read = _lists_showing(
        run, lambda one, items: one.request["page"] == 1 and bool(items) and not one.answer["hasMore"]
        and items[0]["id"] in _acknowledged_before(run, one),
    )  # fmt: skip
    if read is None:
        return False
    return run.answer(read, items=_shown(read)[1:])


def _page_has_a_gap(run: Broken) -> bool:
    read = _lists_showing(
        run, lambda one, items: len(items) >= 3 and not one.answer["hasMore"]
        and items[1]["id"] in _acknowledged_before(run, one),
    )  # fmt: skip
    if read is None:
        return False
    items = _shown(read)
    return run.answer(read, items=[items[0], *items[2:]])


def _page_takes_back_what_was_seen(run: Broken) -> bool:
    """Of a stake whose making nobody was told of, one page shows it and a later one does not."""
    told = {one.answer.get("stakeId") for one in run.operations if one.kind == "create"}
    silent = {row.id for row in run.final.stakes if row.id not in told}
    lists = [one for one in run.operations if one.kind == "list" and one.status == 200]
    reads = [one for one in lists if one.request["page"] == 1]
    for first in reads:
        for later in reads:
            for item in _shown(first):
                items = _shown(later)
                rest = [one for one in items if one["id"] != item["id"]]
                lacks_it = len(rest) < len(items) and not later.answer["hasMore"]
                if item["id"] in silent and later.started_s > first.ended_s and lacks_it:
                    return run.answer(later, items=rest)
    return False


def _ended_s(operation: Operation) -> float:
    return operation.ended_s


def _page_shows_a_stake_twice(run: Broken) -> bool:
    read = _lists_showing(run, lambda one, items: bool(items))
    if read is None:
        return False
    items = _shown(read)
    return run.answer(read, items=[items[0], *items])


def _page_is_too_long(run: Broken) -> bool:
    read = _lists_showing(run, lambda one, items: len(items) == 2 == one.request["limit"])
    return read is not None and run.replace(read, request={**read.request, "limit": 1})


def _page_promises_too_much(run: Broken) -> bool:
    last = _lists_showing(
        run,
        lambda one, items: bool(items) and len(items) == one.request["limit"] and not one.answer["hasMore"],
    )
    return last is not None and run.answer(last, hasMore=True)


def _page_shows_anothers_stake(run: Broken) -> bool:
    read = run.one("list")
    if read is None:
        return False
    owned = [row for row in run.final.stakes if row.user_id != f"user {read.user}"]
    return bool(owned) and run.answer(
        read, items=[{"id": owned[0].id, "amount": owned[0].amount, "period": owned[0].period}]
    )


def _page_shows_what_never_was(run: Broken) -> bool:
    read = run.one("list")
    return read is not None and run.answer(read, items=[{"id": "9", "amount": "1", "period": "12"}])


def _page_shows_another_amount(run: Broken) -> bool:
    read = _lists_showing(run, lambda one, items: bool(items))
    if read is None:
        return False
    first, *rest = _shown(read)
    return run.answer(read, items=[{**first, "amount": "0.5"}, *rest])


def _known_stake_is_not_found(run: Broken) -> bool:
    read = run.one("get", lambda one: one.request["stake_id"] in _acknowledged_before(run, one))
    return read is not None and run.replace(
        read, status=404, outcome="fail", answer={"code": "not_found", "x-request-id": "r"}
    )


def _another_stake_is_got(run: Broken) -> bool:
    read = run.one("get")
    return read is not None and run.replace(read, request={**read.request, "stake_id": "another"})


def _token_works_after(kind: str, **wanted: Any) -> Breach:
    def breach(run: Broken) -> bool:
        end = run.one(kind, lambda one: all(one.request.get(name) == wanted[name] for name in wanted))
        return end is not None and run.add("me", end)

    return breach


def _token_works_after_a_disabling(run: Broken) -> bool:
    disable = run.one("disable")
    if disable is None:
        return False
    begun = run.one("sign_in", lambda one: one.user == disable.user and one.ended_s < disable.started_s)
    return begun is not None and run.add(
        "me", disable, session=begun.answer["session"], epoch=begun.answer["epoch"]
    )


def _token_works_after_a_refresh_token_came_twice(run: Broken) -> bool:
    refresh = run.one("refresh")
    if refresh is None:
        return False
    run.add("refresh", refresh, 401)
    return run.add("me", refresh, session=refresh.request["session"], epoch=99)


def _disabled_user_signs_in(run: Broken) -> bool:
    sign_up = run.one("sign_up")
    assert sign_up is not None
    return run.add("disable", sign_up) and run.add("sign_in", sign_up)


def _good_token_is_refused(run: Broken) -> bool:
    begun = run.one("sign_in")
    if begun is None:
        return False
    run.operations = [one for one in run.operations if one.kind not in ("sign_out", "change_password")]
    run.operations = [one for one in run.operations if one.kind not in ("disable", "refresh")]
    token = {"session": begun.answer["session"], "epoch": begun.answer["epoch"]}
    return run.add("me", begun, 401, **token) and run.answer(run.operations[-1], code="session_ended")


def _refresh_token_works_twice(run: Broken) -> bool:
    refresh = run.one("refresh")
    return refresh is not None and run.add("refresh", refresh)


def _session_is_lost(run: Broken) -> bool:
    return run.one("sign_in") is not None and run.rows("sessions", [])


def _sign_out_is_lost(run: Broken) -> bool:
    end = run.one("sign_out", lambda one: not one.request["all"])
    if end is None:
        return False
    rows = [dataclasses.replace(row, revoked=False, epoch=99) for row in run.final.sessions]
    return run.rows("sessions", rows)


def _old_password_works(run: Broken) -> bool:
    change = run.one("change_password")
    return change is not None and run.add("sign_in", change)


def _new_password_is_refused(run: Broken) -> bool:
    change = run.one("change_password")
    if change is None or run.one("disable", lambda one: one.user == change.user):
        return False
    changes = [one for one in run.operations if one.kind == "change_password" and one.user == change.user]
    last = max(changes, key=_ended_s)
    if any(one is not last and (one.outcome == "unknown" or one.ended_s > last.started_s) for one in changes):
        return False
    if any(one.kind == "sign_out" and one.outcome == "unknown" for one in run.operations):
        return False  # It may end the signing-in that is added.
    run.add("sign_in", last, 401, password=last.request["new_password"])
    return last.outcome == "ok" and run.answer(run.operations[-1], code="invalid_credentials")


def _one_too_many(run: Broken) -> bool:
    quota, window_s = RULES.limits["stake-read"]
    reads = [one for one in run.operations if one.kind == "list"]
    for count in range(quota + 1):
        run.add("list", reads[0], 429)
        start_s = 1000.0 + count * window_s / (quota + 2)
        run.replace(
            run.operations[-1], started_s=start_s, ended_s=start_s + 0.01, status=304,
            outcome="fail", user="eve",
        )  # fmt: skip
    return True


def _refused_too_soon(run: Broken) -> bool:
    read = run.one("me")
    if read is None:
        return False
    run.add("me", read, 429)
    run.replace(run.operations[-1], started_s=1000.0, ended_s=1000.1)
    return run.answer(run.operations[-1], **{"code": "rate_limited", "violated-policies": ["account"]})


def _no_headers(name: str, *statuses: int) -> Breach:
    def breach(run: Broken) -> bool:
        found = [one for one in run.operations if one.status in statuses and name in one.answer]
        return bool(found) and run.answer(found[0], **{name.replace("-", "_"): None})

    return breach


def _repetition_is_not_called_one(run: Broken) -> bool:
    create = run.one("create", lambda one: one.answer["stakeId"] in _acknowledged_before(run, one))
    return create is not None and run.answer(create, idempotency_replayed=None)


def _with(kind: str, **changes: Any) -> Breach:
    def breach(run: Broken) -> bool:
        found = run.one(kind)
        return found is not None and run.replace(found, **changes)

    return breach


def _takes_long(run: Broken) -> bool:
    read = run.one("list")
    if read is None:
        return False
    run.operations = [one for one in run.operations if one.client != read.client or one.number <= read.number]
    return run.replace(read, ended_s=read.started_s + RULES.answer_s + 0.1)


def _strange_code(run: Broken) -> bool:
    found = [one for one in run.operations if one.status == 503]
    return bool(found) and run.answer(found[0], code="internal_error")


def _unknown_outcome_of_a_read(run: Broken) -> bool:
    read = run.one("list")
    answer = {"code": "outcome_unknown", "x-request-id": "r", "retry-after": "1"}
    return read is not None and run.replace(read, status=503, answer=answer)


def _client_overlaps_itself(run: Broken) -> bool:
    return run.replace(run.operations[0], ended_s=run.operations[-1].started_s + 1.0)


BREACHES: dict[str, tuple[Breach, ...]] = {
    "acknowledged_stake_is_kept": (_stake_is_lost, _stake_has_another_amount),
    "stake_is_made_once": (_stake_is_doubled,),
    "nothing_unasked_is_made": (_stake_from_nowhere, _refused_stake_is_made, _user_from_nowhere),
    "key_answers_one_stake": (
        _key_answers_another_stake, _key_row_is_lost, _repetition_is_not_called_one
    ),
    "acknowledged_user_is_kept": (_user_is_lost,),
    "no_page_is_older_than_an_acknowledged_write": (
        _page_lacks_the_newest, _page_has_a_gap, _known_stake_is_not_found
    ),
    "no_page_is_older_than_one_seen_before": (_page_takes_back_what_was_seen,),
    "page_is_in_order": (_page_shows_a_stake_twice,),
    "page_is_the_part_asked_for": (_page_is_too_long, _page_promises_too_much, _another_stake_is_got),
    "nobody_sees_another_users_stake": (_page_shows_anothers_stake,),
    "shown_stake_is_kept": (_page_shows_what_never_was,),
    "shown_stake_is_as_kept": (_page_shows_another_amount,),
    "ended_session_stays_ended": (
        _token_works_after("sign_out", all=False), _token_works_after("sign_out", all=True),
        _token_works_after("change_password"), _token_works_after_a_disabling,
        _token_works_after_a_refresh_token_came_twice, _sign_out_is_lost,
    ),
    "disabled_user_is_out": (_disabled_user_signs_in,),
    "standing_session_is_taken": (_good_token_is_refused,),
    "refresh_token_is_taken_once": (_refresh_token_works_twice,),
    "acknowledged_session_is_kept": (_session_is_lost,),
    "changed_password_holds": (_old_password_works, _new_password_is_refused),
    "at_most_the_quota": (_one_too_many,),
    "refused_only_when_used_up": (_refused_too_soon,),
    "answer_is_documented": (_with("list", status=500), _strange_code, _unknown_outcome_of_a_read),
    "request_is_answered": (_with("me", status=None),),
    "answer_is_in_time": (_takes_long,),
    "retry_after_is_told": (_no_headers("retry-after", 503), _no_headers("retry-after", 429)),
    "request_id_is_told": (_no_headers("x-request-id", 200, 201, 204),),
    "client_does_one_thing_at_a_time": (_client_overlaps_itself,),
}  # fmt: skip
