"""A username has one spelling, a new password is not a common one, a state refuses what has ended."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stakehold.domain.accounts import (
    UserState,
    check_new_password,
    normalise_password,
    normalise_username,
)
from stakehold.domain.common_passwords import COMMON_PASSWORDS

TEXTS = st.text(min_size=1, max_size=64)
# Where folding and composition meet: Greek, whose iota subscript (U+0345) folds to a letter, and marks.
GREEK = st.text(
    st.characters(min_codepoint=0x1F00, max_codepoint=0x1FFF, categories=["L"])
    | st.characters(min_codepoint=0x300, max_codepoint=0x345),
    min_size=3,
    max_size=6,
)
WORDS = st.text(st.characters(categories=["L", "Nd", "Mn"]), min_size=3, max_size=20)


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("testuser", "testuser"),
        ("TestUser", "testuser"),
        ("ｔｅｓｔｕｓｅｒ", "testuser"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("ﬁnance", "finance"),
        ("José", "jos\u00e9"),
        ("Jose\u0301", "jos\u00e9"),
        ("a.b_c-d+e@example.org", "a.b_c-d+e@example.org"),
        ("Ωμέγα", "ωμέγα"),
        ("日本語", "日本語"),
        ("хранилище", "хранилище"),
        ("007", "007"),
    ],
)
def test_a_username_has_one_spelling(raw: str, name: str) -> None:
    """Width, case, ligatures and composition make no other name."""
    assert normalise_username(raw) == name


@example("αβγ\u0345\u0301")
@given(TEXTS | WORDS | GREEK)
def test_normalising_again_changes_nothing(raw: str) -> None:
    """The normal form of a normal form is itself, and so are the forms of its other spellings."""
    try:
        name = normalise_username(raw)
    except ValueError:
        return
    assert normalise_username(name) == name
    assert unicodedata.is_normalized("NFKC", name)
    assert unicodedata.normalize("NFKC", name.casefold()) == name
    assert 3 <= len(name) <= 64


@given(WORDS)
def test_every_spelling_is_the_same_user(raw: str) -> None:
    """Upper case, folded case and decomposed text of a name are that name, where they are names."""
    try:
        name = normalise_username(raw)
    except ValueError:
        return
    for spelling in (raw.casefold(), unicodedata.normalize("NFD", raw), unicodedata.normalize("NFKC", raw)):
        if len(spelling) <= 64:
            assert normalise_username(spelling) == name


@pytest.mark.parametrize(
    "raw",
    [
        "", "ab", "a" * 65, "e\u0301" * 33,
        "\ufdfa" * 60, "two words", " lead", "trail ", "tab\tbed", "line\nbreak",
        "nul\x00byte", "zero\u200bwidth", "join\u200der", "soft\u00adhyphen", "left\u202eright",
        "bom\ufeffname", "del\x7fete", "vari\ufe0fation", "han\u3164gul", "half\uffa0gul", "cgj\u034fjoin",
        "tag\U000e0041ged", "vs\U000e0100x", "\u0301accent", ".dot", "-dash", "@at", "slash/ed",
        "back\\slash", "quo\"te", "apo'strophe", "semi;colon", "<script>", "per%cent", "sur\ud800rogate",
        "priv\ue000ate", "un\U000e0fffassigned", "emoji🙂face", "nb\u00a0sp", "{curly}", "col:on", "com,ma",
        "as*k", "½half", "a\u2028b",
    ],
)  # fmt: skip
def test_what_would_confuse_is_no_username(raw: str) -> None:
    """Controls, white space, the invisible, what has meaning elsewhere, too short, too long: refused."""
    with pytest.raises(ValueError, match="A username"):
        normalise_username(raw)


@given(st.text(max_size=200))
def test_no_text_makes_normalising_a_username_fail_otherwise(raw: str) -> None:
    """A name without control characters, or a ValueError."""
    try:
        name = normalise_username(raw)
    except ValueError:
        return
    assert all(unicodedata.category(character)[0] not in "CZ" for character in name)


@pytest.mark.parametrize("password", ["short", "sevenoc", "q" * 129])
def test_a_new_password_has_8_to_128_characters(password: str) -> None:
    """Seven are too few, 129 too many."""
    with pytest.raises(ValueError, match="8 to 128 characters"):
        check_new_password(password, "testuser")


@pytest.mark.parametrize("password", ["tr0ub4dr", "correct horse battery", "🗝🗝🗝🗝🗝🗝🗝🗝", "q" * 128, "        "])
def test_any_other_characters_and_lengths_will_do(password: str) -> None:
    """No rules of composition: length is what counts, in code points."""
    assert check_new_password(password, "testuser") == password


@pytest.mark.parametrize("password", ["e\u0301" * 4, "\ufdfa", "ﬃ" * 7, "q" * 127 + "e\u0301"])
def test_length_is_counted_as_written_and_in_normal_form(password: str) -> None:
    """Eight code points that compose to four are four; one that decomposes to eighteen is one."""
    with pytest.raises(ValueError, match="8 to 128"):
        check_new_password(password, "testuser")


@pytest.mark.parametrize("name", ["㎏㎏", "a\u0301e\u0301", "㎏" * 33, "a\u0301" * 33])
def test_a_username_has_3_to_64_characters_as_written_and_in_normal_form(name: str) -> None:
    """What is too short or too long either way is refused."""
    with pytest.raises(ValueError, match="3 to 64"):
        normalise_username(name)


@pytest.mark.parametrize(
    "password",
    [
        "password123",
        "PassWord123",
        "ｐａｓｓｗｏｒｄ１２３",
        "12345678",
        "qwertyuiop",
        "iloveyou",
        "1q2w3e4r",
    ],
)
def test_the_commonest_are_refused_in_any_case(password: str) -> None:
    """Changing case or width does not make them rare."""
    with pytest.raises(ValueError, match="commonest"):
        check_new_password(password, "testuser")


def test_the_list_is_of_what_could_be_chosen_otherwise() -> None:
    """Every entry is in the form that is compared and long enough to get that far; there are 3,000."""
    assert len(COMMON_PASSWORDS) >= 3000
    for entry in COMMON_PASSWORDS:
        with pytest.raises(ValueError, match="commonest"):
            check_new_password(entry.upper(), "testuser")


@pytest.mark.parametrize(
    ("password", "username"),
    [("long-username", "long-username"), ("Long-Username", "long-username"), ("STRASSENNAME", "straßenname")],
)
def test_the_username_is_no_password(password: str, username: str) -> None:
    """Nor is another spelling of it."""
    with pytest.raises(ValueError, match="username"):
        check_new_password(password, username)


@pytest.mark.parametrize("password", ["noncharacter\uffff", "unassigned\U000e0fff"])
def test_characters_unknown_to_unicode_are_refused(password: str) -> None:
    """A later Unicode could normalise them otherwise, and the password would be lost."""
    with pytest.raises(ValueError, match="not known"):
        check_new_password(password, "testuser")


@given(st.text(min_size=8, max_size=40))
def test_a_password_that_was_accepted_signs_in(password: str) -> None:
    """What is hashed at sign-up is what is hashed at sign-in, from any spelling of it."""
    try:
        chosen = check_new_password(password, "someone else")
    except ValueError:
        return
    assert normalise_password(password) == chosen
    assert normalise_password(chosen) == chosen
    assert normalise_password(unicodedata.normalize("NFD", password)) == chosen


@pytest.mark.parametrize("raw", ["", "x" * 1025, "sur\ud800rogate"])
def test_what_cannot_be_anyones_password_is_refused_before_work(raw: str) -> None:
    """Nothing at all, more than 1024 characters, or no Unicode."""
    with pytest.raises(ValueError, match="password"):
        normalise_password(raw)


@pytest.mark.parametrize("raw", ["x", "password123", "x" * 1024])
def test_signing_in_knows_no_other_rule(raw: str) -> None:
    """Common, short and long passwords are compared like any other."""
    assert normalise_password(raw) == raw


STATE = UserState(status="active", epoch=3, revoked_sessions=frozenset({"gone"}))


@pytest.mark.parametrize(
    ("state", "epoch", "session_id", "refused"),
    [
        (STATE, 3, "here", False),
        (STATE, 3, "gone", True),
        (STATE, 2, "here", True),
        (STATE, 4, "here", False),
        (STATE, 4, "gone", True),
        (UserState("disabled", 3, frozenset()), 3, "here", True),
        (UserState("disabled", 3, frozenset()), 4, "here", True),
    ],
)
def test_a_state_refuses_what_has_ended(state: UserState, epoch: int, session_id: str, refused: bool) -> None:
    """Refused: anyone disabled, earlier epochs, revoked sessions. A later epoch was read after this state."""
    assert state.refuses(epoch, session_id) is refused
