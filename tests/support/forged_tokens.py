"""Access tokens that must be refused, each made out of a good one and the secret it is signed with.

Some are signed with the real key and break one rule; the others are what can be tried without the key.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

Forge = Callable[[str, str], str]
"""From a good token and its secret to the forged text."""

OTHER_SECRET = "another-process-signs-with-this-one-000"


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    header, payload, signature = token.split(".")
    return json.loads(unb64(header)), json.loads(unb64(payload)), unb64(signature)


def segment(content: dict[str, Any] | bytes) -> str:
    """A segment as a library writes it, so that a forgery differs in nothing but what its name says."""
    if isinstance(content, dict):
        content = json.dumps(content, separators=(",", ":")).encode()
    return b64(content)


def sign(header: dict[str, Any] | bytes, payload: dict[str, Any] | bytes, secret: str) -> str:
    """Sign anything, as no library would."""
    algorithm = header.get("alg", "") if isinstance(header, dict) else ""
    digest = {"HS384": "sha384", "HS512": "sha512"}.get(algorithm, "sha256")
    text = f"{segment(header)}.{segment(payload)}"
    return f"{text}.{b64(hmac.digest(secret.encode(), text.encode(), digest))}"


def resign(token: str, payload: dict[str, Any] | bytes, secret: str) -> str:
    """Another payload behind the token's own header, well signed."""
    text = f"{token.split('.')[0]}.{segment(payload)}"
    return f"{text}.{b64(hmac.digest(secret.encode(), text.encode(), hashlib.sha256))}"


def _with_claims(**changes: Any) -> Forge:
    """Signed with the real key: some claims set, or left out where the value is `...`."""

    def forge(token: str, secret: str) -> str:
        claims = {**parts(token)[1], **changes}
        return resign(token, {k: v for k, v in claims.items() if v is not ...}, secret)

    return forge


def _shifted(**offsets_s: int) -> Forge:
    """Signed with the real key: some times moved by so many seconds."""

    def forge(token: str, secret: str) -> str:
        claims = parts(token)[1]
        return resign(token, {**claims, **{k: claims[k] + s for k, s in offsets_s.items()}}, secret)

    return forge


def _retyped(claim: str, change: Callable[[Any], Any]) -> Forge:
    """Signed with the real key: one claim as another type or spelling."""

    def forge(token: str, secret: str) -> str:
        claims = parts(token)[1]
        return resign(token, {**claims, claim: change(claims[claim])}, secret)

    return forge


def _with_header(signed_with_key: bool = True, **changes: Any) -> Forge:
    """Some header parameters set, or left out where the value is `...`."""

    def forge(token: str, secret: str) -> str:
        header, payload, _ = parts(token)
        header = {k: v for k, v in {**header, **changes}.items() if v is not ...}
        return sign(header, payload, secret if signed_with_key else OTHER_SECRET)

    return forge


def _unsigned(algorithm: str) -> Forge:
    def forge(token: str, _: str) -> str:
        header, payload, _signature = parts(token)
        return (
            f"{b64(json.dumps({**header, 'alg': algorithm}).encode())}.{b64(json.dumps(payload).encode())}."
        )

    return forge


def _flip_signature_bit(token: str, _: str) -> str:
    head, signature = token.rsplit(".", 1)
    data = bytearray(unb64(signature))
    data[0] ^= 1
    return f"{head}.{b64(bytes(data))}"


def _respell_last_character(token: str, _: str) -> str:
    """The last character of a signature has two bits to spare: another spelling of the same bytes."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    forged = token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]
    assert unb64(forged.rsplit(".", 1)[1]) == unb64(token.rsplit(".", 1)[1])
    return forged


def _other_user_old_signature(token: str, _: str) -> str:
    header, _payload, signature = token.split(".")
    claims = {**parts(token)[1], "sub": "00000000-0000-7000-8000-000000000000"}
    return f"{header}.{segment(claims)}.{signature}"


def _duplicate_algorithm(token: str, secret: str) -> str:
    header, payload, _ = parts(token)
    raw = b'{"alg":"none",' + unb64(segment(header))[1:]
    return sign(raw, payload, secret)


def _nested(token: str, secret: str) -> str:
    return resign(token, token.encode(), secret)


def _five_segments(token: str, _: str) -> str:
    header, payload, signature = token.split(".")
    return f"{header}..{payload}.{signature}.{signature}"


def _json_serialisation(token: str, _: str) -> str:
    header, payload, signature = token.split(".")
    return json.dumps({"protected": header, "payload": payload, "signature": signature})


def _oversized(token: str, secret: str) -> str:
    return resign(token, {**parts(token)[1], "note": "x" * 4096}, secret)


_SYMMETRIC_JWK = {"kty": "oct", "k": b64(OTHER_SECRET.encode())}

FORGED_TOKENS: list[tuple[str, Forge]] = [
    # What can be tried without the key.
    ("empty", lambda token, secret: ""),
    ("not a token", lambda token, secret: "not-a-token"),
    ("alg none, no signature", _unsigned("none")),
    ("alg None, no signature", _unsigned("None")),
    ("alg NONE, no signature", _unsigned("NONE")),
    ("alg empty, no signature", _unsigned("")),
    ("good header, signature left out", lambda token, secret: token.rsplit(".", 1)[0] + "."),
    ("good header, last segment left out", lambda token, secret: token.rsplit(".", 1)[0]),
    ("one bit of the signature flipped", _flip_signature_bit),
    ("signature cut short", lambda token, secret: token[:-4]),
    ("another user's id under the old signature", _other_user_old_signature),
    ("signed with another key", lambda token, secret: resign(token, parts(token)[1], OTHER_SECRET)),
    ("signed with an empty key", lambda token, secret: resign(token, parts(token)[1], "")),
    (
        "signed with the key id as key",
        lambda token, secret: resign(token, parts(token)[1], parts(token)[0]["kid"]),
    ),
    ("own key in jwk", _with_header(False, jwk=_SYMMETRIC_JWK)),
    ("own key at jku", _with_header(False, jku="https://attacker.invalid/keys.json")),
    ("own key at x5u", _with_header(False, x5u="https://attacker.invalid/certificate.pem")),
    ("own certificate in x5c", _with_header(False, x5c=["MIIB"])),
    ("kid of a file known to all", _with_header(False, kid="../../../../dev/null")),
    ("kid with SQL", _with_header(False, kid="x' UNION SELECT 'key")),
    ("alg RS256 on the shared key", _with_header(alg="RS256")),
    ("alg in another case", _with_header(alg="hs256")),
    ("last character spelled otherwise", _respell_last_character),
    ("padded", lambda token, secret: token + "="),
    ("five segments", _five_segments),
    ("JSON serialisation", _json_serialisation),
    ("white space inside", lambda token, secret: token.replace(".", ". ", 1)),
    ("a letter of another script", lambda token, secret: "ｅ" + token[1:]),
    ("twice", lambda token, secret: f"{token}.{token}"),
    # Signed with the real key, and still none of ours.
    ("alg HS512", _with_header(alg="HS512")),
    ("alg HS384", _with_header(alg="HS384")),
    ("two algs", _duplicate_algorithm),
    ("typ JWT", _with_header(typ="JWT")),
    ("no typ", _with_header(typ=...)),
    ("no kid", _with_header(kid=...)),
    ("unknown kid", _with_header(kid="2019-01")),
    ("kid of another type", _with_header(kid=1)),
    ("critical extension", _with_header(crit=["exp"])),
    ("unencoded payload", _with_header(b64=False, crit=["b64"])),
    ("compressed", _with_header(zip="DEF")),
    ("expired", _shifted(iat=-900, nbf=-900, exp=-900)),
    ("no exp", _with_claims(exp=...)),
    ("exp as a string", _retyped("exp", str)),
    ("exp as a fraction", _retyped("exp", lambda seconds: seconds + 0.5)),
    ("exp as a boolean", _with_claims(exp=True)),
    ("exp at the end of time", _with_claims(exp=10**30)),
    ("lives longer than any of ours", _shifted(exp=3600)),
    ("not yet valid", _shifted(nbf=60)),
    ("made in the future", _shifted(iat=60, exp=60)),
    ("negative iat", _with_claims(iat=-1)),
    ("another issuer", _with_claims(iss="someone-else")),
    ("another audience", _with_claims(aud="another-service")),
    ("several audiences", _retyped("aud", lambda audience: [audience, "another-service"])),
    ("no audience", _with_claims(aud=...)),
    ("no subject", _with_claims(sub=...)),
    ("subject that is no id", _with_claims(sub="testuser")),
    ("subject in another spelling", _retyped("sub", str.upper)),
    ("subject in braces", _retyped("sub", lambda sub: "{" + sub + "}")),
    ("no session", _with_claims(sid=...)),
    ("session as null", _with_claims(sid=None)),
    ("session in another spelling", _retyped("sid", lambda sid: sid.replace("-", ""))),
    ("no epoch", _with_claims(epoch=...)),
    ("epoch as a string", _retyped("epoch", str)),
    ("epoch as a boolean", _with_claims(epoch=True)),
    ("negative epoch", _with_claims(epoch=-1)),
    ("no jti", _with_claims(jti=...)),
    ("a list for claims", lambda token, secret: resign(token, b"[]", secret)),
    ("claims that are no JSON", lambda token, secret: resign(token, b"{", secret)),
    ("claims that are no UTF-8", lambda token, secret: resign(token, b'{"iss":"\xff"}', secret)),
    ("claims nested without end", lambda token, secret: resign(token, b'{"":' + b"[" * 1300, secret)),
    ("a token in a token", _nested),
    ("longer than any of ours", _oversized),
]
"""A name and how to make it. `expired` is refused as `token_expired`, the others as `invalid_token`."""
